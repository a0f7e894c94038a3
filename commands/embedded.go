//go:build !no_embedded

package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/docker/buildx/driver"
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/buildx/util/dockerutil/dockerconfig"
	"github.com/docker/buildx/util/imagetools"
	"github.com/docker/cli/cli/command"
	"github.com/moby/buildkit/client"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/internal/embedded"
	"github.com/docker-relink/relink/internal/errdefs"
)

// lazily says whether a command, as it was called, can do without unpacking a
// layer.
type lazily func(cmd *cobra.Command) bool

// withEmbedded lets a command run on the embedded builder, when that is asked
// for or nothing else is there.
func withEmbedded(cmd *cobra.Command, dockerCli command.Cli, lazy lazily) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		choice, err := embedded.Choose(dockerCli, cmd.Flag("builder").Value.String())
		if err != nil {
			return err
		}
		if !choice.Use {
			return run(cmd, args)
		}
		var say func()
		if choice.Missing != "" {
			if err := withoutEngine(cmd, choice.Missing); err != nil {
				return err
			}
			say = insteadOf(dockerCli, cmd, choice.Missing)
		}
		end, err := useEmbedded(dockerCli, lazy != nil && lazy(cmd), say)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end()) }()
		if err := cmd.Flag("builder").Value.Set(embedded.Name); err != nil {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// withoutEngine refuses what only the Engine could take: buildx would build, and
// then fail or keep nothing.
func withoutEngine(cmd *cobra.Command, missing string) error {
	if wantsEngine(cmd) {
		return errdefs.Unsupportedf("Push it (--push) or write it to a file (-o type=oci,dest=image.tar), or start Docker.",
			"there is no Docker Engine at %s to load the image into", missing)
	}
	return nil
}

// insteadOf says once that the embedded builder takes the Engine's place.
func insteadOf(dockerCli command.Cli, cmd *cobra.Command, missing string) func() {
	return sync.OnceFunc(func() {
		if !silent(cmd) {
			fmt.Fprintf(dockerCli.Err(), "relink: no Docker Engine at %s: using the builder %q (%s=never to stop this)\n",
				missing, embedded.Name, embedded.SwitchVar)
		}
	})
}

// wantsEngine says whether the result is for the Engine, as it is by default
// when there is one.
func wantsEngine(cmd *cobra.Command) bool {
	flags := cmd.Flags()
	if load, err := flags.GetBool("load"); err == nil && load {
		return true
	}
	tags, err := flags.GetStringArray("tag")
	if err != nil || len(tags) == 0 {
		return false
	}
	for _, other := range []string{"push", "output", "call", "check", "dry-run", "explain"} {
		if flags.Changed(other) {
			return false
		}
	}
	return true
}

// useEmbedded makes the embedded builder known to buildx, until it is called off.
func useEmbedded(dockerCli command.Cli, lazy bool, chosen func()) (end func() error, err error) {
	settings, err := embedded.ReadSettings(confutil.NewConfig(dockerCli))
	if err != nil {
		return nil, err
	}
	place, err := embedded.FindPlace()
	if err != nil && !lazy {
		return nil, err
	}
	closeBuilder := func() error { return nil }
	open := func(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
		return embedded.Connect(ctx, place, settings, opts...)
	}
	if lazy {
		here := &embedded.InProcess{Settings: settings}
		open, closeBuilder = here.Open, here.Close
	}
	absent, err := embedded.Present(dockerCli, place.Endpoint(), settings)
	if err != nil {
		return nil, err
	}
	unregister := driver.Register(embedded.Factory{Open: open, Chosen: chosen})
	return func() error {
		unregister()
		return errors.Join(closeBuilder(), absent())
	}, nil
}

// unpacksNothing says whether a rebase is one that never looks into a layer:
// the result is an image, and nothing in it is scanned.
func unpacksNothing(cmd *cobra.Command) bool {
	flags := cmd.Flags()
	// Provenance has the Dockerfile frontend read a file.
	if provenance, err := flags.GetString("provenance"); err != nil || provenance != "false" {
		return false
	}
	if flags.Changed("sbom") || flags.Changed("attest") {
		return false
	}
	outputs, err := flags.GetStringArray("output")
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(outputs, func(o string) bool {
		return !strings.Contains(o, "type=oci") && !strings.Contains(o, "type=docker") &&
			!strings.Contains(o, "type=image") && !strings.Contains(o, "type=registry") && !strings.Contains(o, "type=cacheonly")
	})
}

// buildxDir is the folder in which buildx keeps the user's builders.
func buildxDir(dockerCli command.Cli) string { return embedded.BuildxDir(dockerCli) }

// registryOptions are the user's credentials and, for the embedded builder, what
// its settings say about registries: the client reads there, too.
func registryOptions(dockerCli command.Cli) imagetools.Opt {
	if opt, err := embedded.Registries(dockerCli); err == nil {
		return opt
	}
	return imagetools.Opt{Auth: dockerconfig.LoadAuthConfig(dockerCli)}
}

// engineHint says what to do when the Engine cannot be used.
func engineHint() string {
	if embedded.Denied() {
		return "Ask to be allowed to use the Docker Engine (the group docker), or build without it: --builder embedded."
	}
	return "Start Docker, or choose another builder: --builder embedded, docker buildx create --use, docker buildx ls."
}
