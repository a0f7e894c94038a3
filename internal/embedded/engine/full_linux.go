//go:build !no_embedded

package engine

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/network"
)

// ErrNoRuntime is what an engine says that has no OCI runtime.
const ErrNoRuntime = ReasonError("RUN and frontends that are images need an OCI runtime, and there is no runc in PATH: install runc (Debian: apt-get install runc)")

// full is a worker that unpacks layers and runs what it finds a runtime for.
func full(opts Options) (able, error) {
	can := able{name: "overlayfs", snapshotter: func(root string) (snapshots.Snapshotter, error) {
		return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
	}}
	if err := overlayutils.Supported(opts.Root); err != nil {
		can.name, can.snapshotter = "native", native.NewSnapshotter
	}
	can.networks = map[pb.NetMode]network.Provider{
		pb.NetMode_UNSET: network.NewHostProvider(),
		pb.NetMode_HOST:  network.NewHostProvider(),
		pb.NetMode_NONE:  network.NewNoneProvider(),
	}
	if Runtime() == "" {
		can.executor = NoExecutor{Why: ErrNoRuntime}
		return can, nil
	}
	var err error
	can.executor, err = newExecutor(opts, can)
	return can, err
}

// Runtime is the OCI runtime that would run build steps, "" when there is none.
func Runtime() string {
	for _, name := range []string{"buildkit-runc", "runc"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func newExecutor(opts Options, can able) (executor.Executor, error) {
	monitor, err := resources.NewMonitor()
	if err != nil {
		return nil, fmt.Errorf("watching resources: %w", err)
	}
	root := filepath.Join(opts.Root, "executor")
	runs, err := runcexecutor.New(runcexecutor.Opt{
		Root:              root,
		CommandCandidates: []string{Runtime()},
		Rootless:          opts.Rootless,
		ProcessMode:       oci.ProcessSandbox,
		DNS:               dns(opts.Config.DNS),
		ResourceMonitor:   monitor,
	}, can.networks)
	if err != nil {
		return nil, fmt.Errorf("setting up the OCI runtime: %w", err)
	}
	return runs, nil
}

func dns(cfg *config.DNSConfig) *oci.DNSConfig {
	if cfg == nil {
		return nil
	}
	return &oci.DNSConfig{Nameservers: cfg.Nameservers, Options: cfg.Options, SearchDomains: cfg.SearchDomains}
}
