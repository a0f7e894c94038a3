//go:build !no_embedded && !linux

package embedded

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/moby/buildkit/client"

	"github.com/docker-relink/relink/internal/errdefs"
)

func linuxOnly() error {
	return errdefs.Unsupportedf("Start Docker, or name another builder with --builder; `docker relink rebase` works without.",
		"the embedded builder unpacks layers on Linux only, and this is %s", runtime.GOOS)
}

// Connect fails: there is no daemon on this system.
func Connect(context.Context, Place, Settings, ...client.ClientOpt) (*client.Client, error) {
	return nil, linuxOnly()
}

// Stop does nothing: there is no daemon on this system.
func Stop(context.Context, Place, bool) error { return nil }

// Child says that this program is no daemon.
func Child() (code int, ok bool) { return 0, false }

func private(string) error { return nil }

// Remove removes what is in the place.
func Remove(_ context.Context, p Place, _ bool) error {
	if err := os.RemoveAll(p.Dir); err != nil {
		return fmt.Errorf("removing the embedded builder: %w", err)
	}
	return nil
}

// Probe says what the builder can do on this system.
func Probe(context.Context) (Mode, []Ability) { return ModeNone, abilities(linuxOnly(), linuxOnly()) }
