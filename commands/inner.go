package commands

import (
	"slices"

	buildxcommands "github.com/docker/buildx/commands"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// inner is a root command of buildx's from which a command of ours takes the
// commands that it runs. They are not those that the user sees: what ours sets
// on them is for that run.
type inner struct{ *cobra.Command }

func newInner(dockerCli *command.DockerCli) inner {
	return inner{buildxcommands.NewRootCmd("buildx", true, dockerCli)}
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
