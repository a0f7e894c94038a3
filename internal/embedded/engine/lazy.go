//go:build !no_embedded

package engine

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
)

// ReasonError is why an engine cannot do something, for the user.
type ReasonError string

func (r ReasonError) Error() string { return string(r) }

// ErrUnpacks is what a lazy engine says when a layer's files are wanted.
const ErrUnpacks = ReasonError("this needs the files of a layer, and nothing can be unpacked here: `docker relink builder status` says why")

// lazy is a worker for work that never looks into a layer.
func lazy() able {
	return able{
		name:        "lazy",
		snapshotter: func(string) (snapshots.Snapshotter, error) { return noSnapshots{}, nil },
		executor:    NoExecutor{Why: ErrUnpacks},
	}
}

// noSnapshots has no snapshots and makes none.
type noSnapshots struct{}

func (noSnapshots) Stat(_ context.Context, key string) (snapshots.Info, error) {
	return snapshots.Info{}, fmt.Errorf("snapshot %s: %w", key, cerrdefs.ErrNotFound)
}

func (noSnapshots) Update(_ context.Context, info snapshots.Info, _ ...string) (snapshots.Info, error) {
	return snapshots.Info{}, fmt.Errorf("snapshot %s: %w", info.Name, cerrdefs.ErrNotFound)
}

func (noSnapshots) Usage(_ context.Context, key string) (snapshots.Usage, error) {
	return snapshots.Usage{}, fmt.Errorf("snapshot %s: %w", key, cerrdefs.ErrNotFound)
}

func (noSnapshots) Mounts(context.Context, string) ([]mount.Mount, error) { return nil, ErrUnpacks }

func (noSnapshots) Prepare(context.Context, string, string, ...snapshots.Opt) ([]mount.Mount, error) {
	return nil, ErrUnpacks
}

func (noSnapshots) View(context.Context, string, string, ...snapshots.Opt) ([]mount.Mount, error) {
	return nil, ErrUnpacks
}

func (noSnapshots) Commit(context.Context, string, string, ...snapshots.Opt) error { return ErrUnpacks }

func (noSnapshots) Remove(_ context.Context, key string) error {
	return fmt.Errorf("snapshot %s: %w", key, cerrdefs.ErrNotFound)
}

func (noSnapshots) Walk(context.Context, snapshots.WalkFunc, ...string) error { return nil }

func (noSnapshots) Close() error { return nil }

// NoExecutor runs nothing, and says why.
type NoExecutor struct{ Why error }

// Run fails.
func (e NoExecutor) Run(_ context.Context, _ string, _ executor.Mount, _ []executor.Mount, _ executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if started != nil {
		close(started)
	}
	return nil, e.Why
}

// Exec fails.
func (e NoExecutor) Exec(context.Context, string, executor.ProcessInfo) error { return e.Why }
