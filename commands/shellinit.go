package commands

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/internal/errdefs"
)

// The Docker CLI takes no plugin with a hyphen in its name, so "docker
// diff-build" has to become another command before the Docker CLI sees it.
const posixInit = `docker() {
	case "${1-}" in
	diff-build) shift; command docker relink diff-build "$@" ;;
	*) command docker "$@" ;;
	esac
}
`

const fishInit = `function docker --wraps docker
	switch "$argv[1]"
	case diff-build
		command docker relink diff-build $argv[2..-1]
	case '*'
		command docker $argv
	end
end
`

var shellInits = map[string]string{"bash": posixInit, "zsh": posixInit, "fish": fishInit}

func newShellInitCmd(dockerCli command.Cli) *cobra.Command {
	shells := slices.Sorted(maps.Keys(shellInits))
	return &cobra.Command{
		Use:   "shell-init " + strings.Join(shells, "|"),
		Short: `Print a shell function with which "docker diff-build" works as typed`,
		Long: `Print a shell function with which "docker diff-build" works as typed; everything
else that is called as docker is left alone. For bash, in ~/.bashrc:

  eval "$(docker relink shell-init bash)"`,
		Args:      cli.ExactArgs(1),
		ValidArgs: shells,
		RunE: func(_ *cobra.Command, args []string) error {
			text, ok := shellInits[args[0]]
			if !ok {
				return errdefs.Invalidf("Use one of "+strings.Join(shells, ", ")+".", "there is no function for the shell %q", args[0])
			}
			_, err := fmt.Fprint(dockerCli.Out(), text)
			return err
		},
		DisableFlagsInUseLine: true,
	}
}
