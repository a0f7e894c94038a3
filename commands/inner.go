package commands

import (
	"slices"

	buildxcommands "github.com/docker/buildx/commands"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/internal/errdefs"
)

// inner is a root command of buildx's, with the commands of it that commands of ours
// run. They are not those that the user sees: what ours sets on them is for that run.
// Commands of ours can share one, as a process runs one of them.
type inner struct {
	*cobra.Command
	build, bake, prune *cobra.Command
}

func newInner(dockerCli *command.DockerCli) (inner, error) {
	root := buildxcommands.NewRootCmd("buildx", true, dockerCli)
	stock := inner{Command: root, build: take(root, "build"), bake: take(root, "bake"), prune: take(root, "prune")}
	if stock.build == nil || stock.bake == nil || stock.prune == nil {
		return inner{}, errdefs.Internalf("buildx lacks one of the commands build, bake and prune")
	}
	return stock, nil
}

// follow has the inner commands use the builder that the user named, and end
// when the outer one does. In a plugin, the flags of the root stand on the
// command that was called.
func (i inner) follow(outer *cobra.Command, commands ...*cobra.Command) error {
	if err := i.PersistentFlags().Set("builder", outer.Flag("builder").Value.String()); err != nil {
		return err
	}
	for _, c := range commands {
		c.SetContext(outer.Context())
	}
	return nil
}

// lendFlags puts the flags that people see of one command on another, but some.
func lendFlags(to, from *cobra.Command, but []string) {
	from.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden && !slices.Contains(but, flag.Name) {
			to.Flags().AddFlag(flag)
		}
	})
}
