//go:build !no_embedded

// Package engine is BuildKit's daemon without its command line: the solver, one
// worker, the frontends and the caches, served on a listener. It is what
// buildkitd puts together, in two forms: one that can do what the machine lets
// it do, and a lazy one that unpacks nothing and so needs no privileges.
package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/cache/remotecache"
	inlineremotecache "github.com/moby/buildkit/cache/remotecache/inline"
	localremotecache "github.com/moby/buildkit/cache/remotecache/local"
	registryremotecache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/resolver"
	bkworker "github.com/moby/buildkit/worker"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// hostNetwork is the entitlement that buildx gives the builders that it makes:
// the network of a RUN is the host's in any case.
const hostNetwork = "network.host"

// Options say what engine to make.
type Options struct {
	// Root is the folder with the engine's state; one engine at a time.
	Root string
	// Lazy is an engine that never unpacks a layer. Its state is for one
	// command, and so it is not made to survive a power cut.
	Lazy bool
	// Rootless says that this process is root only in a user namespace.
	Rootless bool
	// Config is what buildkitd.toml may say. Of the worker it is the limits of
	// garbage collection and the DNS settings that count.
	Config config.Config
	// Stop ends what waits for events of the history, so that a server can
	// stop gracefully.
	Stop <-chan struct{}
}

// Engine is a builder in this process.
type Engine struct {
	server     *grpc.Server
	controller *control.Controller
	worker     *worker
}

// New makes an engine that does not listen yet.
func New(ctx context.Context, opts Options, server ...grpc.ServerOption) (_ *Engine, err error) {
	if err := os.MkdirAll(opts.Root, 0o700); err != nil {
		return nil, fmt.Errorf("making the builder's state: %w", err)
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, fmt.Errorf("making the builder's sessions: %w", err)
	}
	hosts := resolver.NewRegistryConfig(opts.Config.Registries)
	w, err := newWorker(ctx, opts, hosts)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	workers := &bkworker.Controller{}
	if err := workers.Add(w.Worker); err != nil {
		return nil, fmt.Errorf("adding the worker: %w", err)
	}
	controller, err := newController(opts, sessions, workers, w, hosts)
	if err != nil {
		return nil, err
	}
	e := &Engine{controller: controller, worker: w, server: grpc.NewServer(append(server,
		grpc.ChainUnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.ChainStreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)...)}
	healthv1.RegisterHealthServer(e.server, health.NewServer())
	controller.Register(e.server)
	return e, nil
}

// Serve answers on l until that or the engine is closed.
func (e *Engine) Serve(l net.Listener) error {
	if err := e.server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving the builder: %w", err)
	}
	return nil
}

// Close ends what runs and closes the state.
func (e *Engine) Close() error {
	e.server.Stop()
	return errors.Join(e.controller.Close(), e.worker.Close())
}

func newController(opts Options, sessions *session.Manager, workers *bkworker.Controller, w *worker, hosts docker.RegistryHosts) (_ *control.Controller, err error) {
	cache, err := bboltcachestorage.NewStore(filepath.Join(opts.Root, "cache.db"))
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	history, err := boltutil.SafeOpen(filepath.Join(opts.Root, "history.db"), 0o600, opts.bolt())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the history: %w", err), cache.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, history.Close(), cache.Close())
		}
	}()
	frontends, err := newFrontends(opts.Config, workers)
	if err != nil {
		return nil, err
	}
	exporters, importers := newCaches(sessions, w, hosts)
	entitlements := opts.Config.Entitlements
	if !slices.Contains(entitlements, hostNetwork) {
		entitlements = append(slices.Clone(entitlements), hostNetwork)
	}
	return control.NewController(control.Opt{
		SessionManager:            sessions,
		WorkerController:          workers,
		Frontends:                 frontends,
		ResolveCacheExporterFuncs: exporters,
		ResolveCacheImporterFuncs: importers,
		CacheManager:              solver.NewCacheManager(context.Background(), "local", cache, bkworker.NewCacheResultStorage(workers)),
		Entitlements:              entitlements,
		HistoryDB:                 history,
		CacheStore:                cache,
		LeaseManager:              w.LeaseManager(),
		ContentStore:              w.ContentStore(),
		HistoryConfig:             opts.Config.History,
		GarbageCollect:            w.GarbageCollect,
		GracefulStop:              opts.Stop,
	})
}

// newFrontends are the Dockerfile frontend that is linked in, and the one that
// runs frontends out of images.
func newFrontends(cfg config.Config, workers *bkworker.Controller) (map[string]frontend.Frontend, error) {
	images, err := gateway.NewGatewayFrontend(workers.Infos(), cfg.Frontends.Gateway.AllowedRepositories)
	if err != nil {
		return nil, fmt.Errorf("setting up frontends that are images: %w", err)
	}
	return map[string]frontend.Frontend{
		"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
		"gateway.v0":    images,
	}, nil
}

// newCaches are the caches that need nothing but a registry or a folder. Those of
// cloud storage (gha, s3, azblob) are left out: their libraries would make the
// program a tenth bigger for everybody.
func newCaches(sessions *session.Manager, w *worker, hosts docker.RegistryHosts) (map[string]remotecache.ResolveCacheExporterFunc, map[string]remotecache.ResolveCacheImporterFunc) {
	exporters := map[string]remotecache.ResolveCacheExporterFunc{
		"registry": registryremotecache.ResolveCacheExporterFunc(sessions, hosts),
		"local":    localremotecache.ResolveCacheExporterFunc(sessions),
		"inline":   inlineremotecache.ResolveCacheExporterFunc(),
	}
	importers := map[string]remotecache.ResolveCacheImporterFunc{
		"registry": registryremotecache.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
		"local":    localremotecache.ResolveCacheImporterFunc(sessions),
	}
	return exporters, importers
}

// bolt are the options of the databases.
func (o Options) bolt() *bolt.Options {
	return &bolt.Options{FreelistType: bolt.FreelistMapType, NoSync: o.Lazy}
}
