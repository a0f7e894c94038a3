//go:build no_embedded

package commands

import (
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/buildx/util/dockerutil/dockerconfig"
	"github.com/docker/buildx/util/imagetools"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// This program was built without the embedded builder.

func withEmbedded(cmd *cobra.Command, _ command.Cli, _ func(*cobra.Command) bool) *cobra.Command {
	return cmd
}

func unpacksNothing(*cobra.Command) bool { return false }

func addBuilderCmd(*cobra.Command, command.Cli, inner) {}

func buildxDir(dockerCli command.Cli) string { return confutil.NewConfig(dockerCli).Dir() }

func registryOptions(dockerCli command.Cli) imagetools.Opt {
	return imagetools.Opt{Auth: dockerconfig.LoadAuthConfig(dockerCli)}
}

func engineHint() string {
	return "Start Docker, or choose another builder: docker buildx create --use, docker buildx ls."
}
