// Package commands has one file a subcommand.
package commands

import (
	"strings"

	buildxcommands "github.com/docker/buildx/commands"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/internal/cliplugin"
)

// NewRootCmd makes the command tree. It stands on buildx's own root command:
// its global flags (--builder, --debug) and the way it sets up the Docker CLI
// are buildx's, and so are the subcommands that we extend.
func NewRootCmd(name string, isPlugin bool, dockerCli *command.DockerCli) (*cobra.Command, error) {
	root := buildxcommands.NewRootCmd(name, isPlugin, dockerCli)
	root.Short = cliplugin.Relink.Short
	root.Long = `Build with BuildKit so that an image's own layers do not depend on its base:
a new base costs no rebuild and no pull.`

	build, err := newBuildCmd(take(root, "build"), dockerCli)
	if err != nil {
		return nil, err
	}
	bake, err := newBakeCmd(take(root, "bake"), dockerCli)
	if err != nil {
		return nil, err
	}
	stock, err := newInner(dockerCli)
	if err != nil {
		return nil, err
	}
	rebase, err := newRebaseCmd(dockerCli, stock)
	if err != nil {
		return nil, err
	}
	squash, err := newSquashCmd(dockerCli)
	if err != nil {
		return nil, err
	}
	root.RemoveCommand(root.Commands()...)
	root.AddCommand(
		withEmbedded(build, dockerCli, nil),
		withEmbedded(bake, dockerCli, nil),
		withEmbedded(rebase, dockerCli, unpacksNothing),
		withEmbedded(squash, dockerCli, nil),
		withEmbedded(newDiffBuildCmd(dockerCli, stock), dockerCli, nil),
		newShellInitCmd(dockerCli), newVersionCmd(dockerCli),
	)
	addBuilderCmd(root, dockerCli, stock)
	return root, nil
}

// take finds a subcommand of buildx's and removes it from its parent.
func take(root *cobra.Command, name string) *cobra.Command {
	for _, c := range root.Commands() {
		if c.Name() == name {
			root.RemoveCommand(c)
			return c
		}
	}
	return nil
}

// NewDiffBuildRootCmd makes diff-build a root command, with the global flags and
// the set-up of relink's.
func NewDiffBuildRootCmd(name string, isPlugin bool, dockerCli *command.DockerCli) (*cobra.Command, error) {
	root, err := NewRootCmd(name, isPlugin, dockerCli)
	if err != nil {
		return nil, err
	}
	diffBuild := take(root, "diff-build")
	root.RemoveCommand(root.Commands()...)
	_, usage, _ := strings.Cut(diffBuild.Use, " ")
	root.Use, root.Short, root.Long = name+" "+usage, diffBuild.Short, diffBuild.Long
	root.Args, root.RunE = diffBuild.Args, diffBuild.RunE
	root.Flags().AddFlagSet(diffBuild.Flags())
	return root, nil
}
