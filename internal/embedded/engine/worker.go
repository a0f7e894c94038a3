//go:build !no_embedded

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/diff/apply"
	ctdmetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/executor"
	dockerfileversion "github.com/moby/buildkit/frontend/dockerfile/version"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/util/winlayers"
	bkversion "github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker/base"
	wlabel "github.com/moby/buildkit/worker/label"
	bolt "go.etcd.io/bbolt"
)

// namespace is the one in which buildkitd keeps its records.
const namespace = "buildkit"

// worker is BuildKit's worker together with the databases below it.
type worker struct {
	*base.Worker
	databases []*bolt.DB
}

// Close closes what BuildKit's own worker leaves open. The worker itself is
// closed by the controller.
func (w *worker) Close() error {
	var errs []error
	for _, db := range w.databases {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// able is what a worker can do beside keeping and moving layers.
type able struct {
	name        string
	snapshotter func(root string) (snapshots.Snapshotter, error)
	executor    executor.Executor
	networks    map[pb.NetMode]network.Provider
}

func newWorker(ctx context.Context, opts Options, hosts docker.RegistryHosts) (_ *worker, err error) {
	can := lazy()
	if !opts.Lazy {
		if can, err = full(opts); err != nil {
			return nil, err
		}
	}
	root := filepath.Join(opts.Root, can.name)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("making the worker's state: %w", err)
	}
	w := &worker{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	opt, err := w.options(ctx, root, opts, can)
	if err != nil {
		return nil, err
	}
	opt.RegistryHosts = hosts
	opt.GCPolicy = gcPolicy(opts.Config.Workers.OCI.GCConfig, opts.Root)
	if w.Worker, err = base.NewWorker(ctx, opt); err != nil {
		return nil, fmt.Errorf("making the worker: %w", err)
	}
	return w, nil
}

// options open the stores of a worker.
func (w *worker) options(ctx context.Context, root string, opts Options, can able) (base.WorkerOpt, error) {
	snapshotter, err := can.snapshotter(filepath.Join(root, "snapshots"))
	if err != nil {
		return base.WorkerOpt{}, fmt.Errorf("opening the snapshots: %w", err)
	}
	blobs, err := local.NewStore(filepath.Join(root, "content"))
	if err != nil {
		return base.WorkerOpt{}, fmt.Errorf("opening the content store: %w", err)
	}
	db, err := bolt.Open(filepath.Join(root, "containerdmeta.db"), 0o600, opts.bolt())
	if err != nil {
		return base.WorkerOpt{}, fmt.Errorf("opening the records of content: %w", err)
	}
	w.databases = append(w.databases, db)
	records := ctdmetadata.NewDB(db, blobs, map[string]snapshots.Snapshotter{can.name: snapshotter})
	if err := records.Init(ctx); err != nil {
		return base.WorkerOpt{}, fmt.Errorf("opening the records of content: %w", err)
	}
	md, err := metadata.NewStore(filepath.Join(root, "metadata_v2.db"))
	if err != nil {
		return base.WorkerOpt{}, fmt.Errorf("opening the records of the cache: %w", err)
	}
	// The store of records takes no options, and it need not outlive a crash
	// where nothing else does.
	if db, ok := md.DB().(*bolt.DB); ok && opts.Lazy {
		db.NoSync = true
	}
	id, err := base.ID(root)
	if err != nil {
		return base.WorkerOpt{}, fmt.Errorf("naming the worker: %w", err)
	}
	content := containerdsnapshot.NewContentStore(records.ContentStore(), namespace)
	return base.WorkerOpt{
		ID:               id,
		Root:             root,
		Labels:           labels(can),
		Platforms:        archutil.SupportedPlatforms(false),
		BuildkitVersion:  buildkitVersion(),
		MetadataStore:    md,
		NetworkProviders: can.networks,
		Executor:         can.executor,
		Snapshotter:      containerdsnapshot.NewSnapshotter(can.name, records.Snapshotter(can.name), namespace, nil),
		ContentStore:     content,
		Applier:          winlayers.NewFileSystemApplierWithWindows(content, apply.NewFileSystemApplier(content)),
		Differ:           winlayers.NewWalkingDiffWithWindows(content, walking.NewWalkingDiff(content)),
		LeaseManager:     leaseutil.WithNamespace(ctdmetadata.NewLeaseManager(records), namespace),
		GarbageCollect:   records.GarbageCollect,
		MountPoolRoot:    filepath.Join(root, "cachemounts"),
	}, nil
}

func labels(can able) map[string]string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return map[string]string{
		wlabel.Executor:    "oci",
		wlabel.Snapshotter: can.name,
		wlabel.Hostname:    host,
		wlabel.Network:     "host",
	}
}

func buildkitVersion() client.BuildkitVersion {
	return client.BuildkitVersion{
		Package:           bkversion.Package,
		Version:           bkversion.Version,
		Revision:          bkversion.Revision,
		DockerfileVersion: dockerfileversion.Version(),
	}
}
