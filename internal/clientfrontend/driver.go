package clientfrontend

import (
	"context"

	"github.com/docker/buildx/driver"
	"github.com/moby/buildkit/client"
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
	if f.Name() == "remote" {
		// The remote driver keeps the first client it makes for good, and makes
		// it when it is asked for its state. The error is kept as well and
		// comes back from there, where buildx expects it.
		_, _ = d.Client(ctx, f.host.DialOptions()...)
	}
	w := intercepted{Driver: d, host: f.host}
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
}

func (d intercepted) Client(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
	return d.Driver.Client(ctx, append(opts, d.host.DialOptions()...)...)
}

// Features tells the host what the driver's builder can do.
func (d intercepted) Features(ctx context.Context) map[driver.Feature]bool {
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
