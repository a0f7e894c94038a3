package clientfrontend

import (
	"context"
	"errors"

	"github.com/docker/buildx/driver"
	"github.com/docker/buildx/util/progress"
	"github.com/moby/buildkit/client"

	"github.com/docker-relink/relink/internal/errdefs"
)

// Install puts the host before every driver that is registered with buildx, and
// returns the function that takes it away again.
func (h *Host) Install() (uninstall func()) {
	var undo []func()
	for _, f := range driver.GetFactories(false) {
		undo = append(undo, driver.Register(h.wrapFactory(f)))
	}
	return func() {
		for _, u := range undo {
			u()
		}
	}
}

// factory makes drivers whose clients answer frontend requests here.
type factory struct {
	driver.Factory
	host *Host
}

// wrapFactory keeps the optional interfaces that f has, and no others: buildx
// asks for them by type assertion.
func (h *Host) wrapFactory(f driver.Factory) driver.Factory {
	w := factory{Factory: f, host: h}
	resolver, resolves := f.(driver.NodeResolver)
	namer, names := f.(driver.DefaultBuilderNamer)
	switch {
	case resolves && names:
		return struct {
			factory
			driver.NodeResolver
			driver.DefaultBuilderNamer
		}{w, resolver, namer}
	case resolves:
		return struct {
			factory
			driver.NodeResolver
		}{w, resolver}
	case names:
		return struct {
			factory
			driver.DefaultBuilderNamer
		}{w, namer}
	default:
		return w
	}
}

func (f factory) New(ctx context.Context, cfg driver.InitConfig) (driver.Driver, error) {
	d, err := f.Factory.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	w := intercepted{Driver: d, host: f.host, keepsClient: f.Name() == "remote"}
	if p, ok := d.(driver.BuildPreparer); ok {
		return struct {
			intercepted
			driver.BuildPreparer
		}{w, p}, nil
	}
	return w, nil
}

// intercepted is a driver whose clients answer frontend requests here.
type intercepted struct {
	driver.Driver
	host *Host
	// keepsClient says that the driver keeps the first client it makes for good,
	// as the remote driver does.
	keepsClient bool
}

// Info makes the driver's client before the driver does so without our options.
func (d intercepted) Info(ctx context.Context) (*driver.Info, error) {
	d.makeClient(ctx)
	return d.Driver.Info(ctx)
}

// Bootstrap makes the driver's client before the driver does so without our
// options. A driver that gives up waiting does not say for whom it waited.
func (d intercepted) Bootstrap(ctx context.Context, l progress.Logger) error {
	d.makeClient(ctx)
	err := d.Driver.Bootstrap(ctx, l)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return errdefs.Invalidf("Start it, or choose another one (--builder, docker buildx ls).",
			"the builder does not answer at %s: %w", d.Config().EndpointAddr, err)
	}
	return err
}

// makeClient makes the client of a driver that keeps it. The error is kept as
// well, and comes back where buildx expects it. It is not done sooner: buildx
// makes drivers that it never asks anything of, and a client opens a connection.
func (d intercepted) makeClient(ctx context.Context) {
	if d.keepsClient {
		_, _ = d.Client(ctx)
	}
}

func (d intercepted) Client(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
	return d.Driver.Client(ctx, append(opts, d.host.DialOptions()...)...)
}

// Features tells the host what the driver's builder can do.
func (d intercepted) Features(ctx context.Context) map[driver.Feature]bool {
	d.makeClient(ctx)
	features := d.Driver.Features(ctx)
	if d.host.Features != nil {
		d.host.Features(features)
	}
	return features
}

// RequiresUncachedClient forwards an optional interface of which false is the
// absence.
func (d intercepted) RequiresUncachedClient() bool {
	u, ok := d.Driver.(driver.UncachedClientDriver)
	return ok && u.RequiresUncachedClient()
}
