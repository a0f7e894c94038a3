// Package plugin is the glue between the Docker CLI and the commands: the
// plugin's metadata, the standalone mode, buildx's drivers, and the one place
// where an error becomes lines on stderr and an exit code.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/docker/buildx/util/cobrautil"
	"github.com/docker/buildx/util/desktop"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/debug"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/stack"
	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/codes"

	"github.com/docker-relink/relink/commands"
	"github.com/docker-relink/relink/internal/cliplugin"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/version"
	"github.com/docker-relink/relink/plugin/early"

	// The start, with less work for the garbage collector.
	_ "github.com/docker-relink/relink/plugin/heap"

	// The drivers that buildx itself links; each registers its factory.
	_ "github.com/docker/buildx/driver/cloud"
	_ "github.com/docker/buildx/driver/docker"
	_ "github.com/docker/buildx/driver/docker-container"
	_ "github.com/docker/buildx/driver/kubernetes"
	_ "github.com/docker/buildx/driver/remote"

	// Log-in to a Kubernetes cluster by OpenID Connect, as buildx has it.
	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc"

	// BuildKit's gRPC codec: the generated vtprotobuf code instead of reflection.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
)

// Main runs the program and returns its exit code.
func Main() int {
	if code, ok := child(); ok {
		return code
	}
	stack.SetVersionInfo(version.Version, version.Revision)
	setUpTracing()
	dockerCli, err := command.NewDockerCli()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = run(dockerCli)
	report(dockerCli.Err(), err)
	return exitCode(err)
}

func run(dockerCli *command.DockerCli) error {
	program := cliplugin.Of(os.Args[0])
	newRoot := commands.NewRootCmd
	if program == cliplugin.DiffBuild {
		newRoot = commands.NewDiffBuildRootCmd
	}
	if plugin.RunningStandalone() {
		defer flushMetrics(dockerCli)
		root, err := newRoot(filepath.Base(os.Args[0]), false, dockerCli)
		if err != nil {
			return err
		}
		return root.Execute()
	}
	root, err := newRoot(program.Name, true, dockerCli)
	if err != nil {
		return err
	}
	return plugin.RunPlugin(dockerCli, root, early.Metadata(program))
}

// flushMetrics sends what the meter provider still holds. The Docker CLI does
// so for its plugins; on our own we have to.
func flushMetrics(dockerCli *command.DockerCli) {
	if mp, ok := dockerCli.MeterProvider().(command.MeterProvider); ok {
		if err := mp.ForceFlush(context.Background()); err != nil {
			otel.Handle(err)
		}
	}
}

// report prints err as buildx does: policy messages, the lines of the
// Dockerfile that are to blame, then the error itself and what to do about it.
func report(w io.Writer, err error) {
	var status cli.StatusError
	var code cobrautil.ExitCodeError
	switch {
	case err == nil, errors.As(err, &code):
		return
	case errors.As(err, &status):
		if status.Status != "" {
			fmt.Fprintln(w, status.Status)
		}
		return
	}
	for _, msg := range policysession.DenyMessages(err) {
		if msg.GetMessage() != "" {
			fmt.Fprintf(w, "Policy: %s\n", msg.GetMessage())
		}
	}
	for _, s := range solvererrdefs.Sources(err) {
		s.Print(w)
	}
	if debug.IsEnabled() {
		fmt.Fprintf(w, "ERROR: %+v\n", stack.Formatter(err))
	} else {
		fmt.Fprintf(w, "ERROR: %v\n", err)
	}
	if hint := errdefs.Hint(err); hint != "" {
		fmt.Fprintln(w, hint)
	}
	var ebr *desktop.ErrorWithBuildRef
	if errors.As(err, &ebr) {
		ebr.Print(w)
	}
}

// exitCode is the exit code that buildx gives for the same error
// (cmd/buildx/main.go).
func exitCode(err error) int {
	var status cli.StatusError
	var code cobrautil.ExitCodeError
	own, has := errdefs.ExitCode(err)
	switch {
	case err == nil:
		return 0
	case has:
		return own
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &status):
		return max(status.StatusCode, 1)
	case errors.Is(err, context.Canceled):
		return 130
	}
	switch grpcerrors.Code(err) {
	case codes.Internal:
		return 100
	case codes.ResourceExhausted:
		return 102
	case codes.Canceled:
		return 130
	default:
		return 1
	}
}
