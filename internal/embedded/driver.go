//go:build !no_embedded

package embedded

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/docker/buildx/driver"
	"github.com/docker/buildx/util/progress"
	"github.com/moby/buildkit/client"
	dockerclient "github.com/moby/moby/client"
)

// Open makes a connection to a builder.
type Open func(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error)

// Factory makes buildx's drivers of the embedded builder.
type Factory struct {
	Open Open
	// Chosen, when set, is called when a command is going to use the builder.
	Chosen func()
}

// Name is the name of the driver.
func (Factory) Name() string { return Name }

// Usage is the name of the driver.
func (Factory) Usage() string { return Name }

// neverByItself is below the priority of every driver that buildx chooses by
// itself for an Engine.
const neverByItself = 1000

// Priority keeps buildx from taking the driver for an Engine.
func (Factory) Priority(context.Context, string, dockerclient.APIClient, map[string][]string) int {
	return neverByItself
}

// AllowsInstances lets buildx make the driver for a builder of this name.
func (Factory) AllowsInstances() bool { return true }

// New makes a driver, which does nothing until it is asked for a client.
func (f Factory) New(_ context.Context, cfg driver.InitConfig) (driver.Driver, error) {
	if f.Chosen != nil {
		f.Chosen()
	}
	return &embeddedDriver{factory: f, cfg: cfg}, nil
}

// embeddedDriver is the embedded builder as buildx knows it.
type embeddedDriver struct {
	factory Factory
	cfg     driver.InitConfig

	mu     sync.Mutex
	booted bool
}

func (d *embeddedDriver) Factory() driver.Factory { return d.factory }

// Bootstrap starts the builder. The connection of the build itself comes later,
// with options of its own.
func (d *embeddedDriver) Bootstrap(ctx context.Context, l progress.Logger) error {
	return progress.Wrap("[internal] starting the embedded builder", l, func(progress.SubLogger) error {
		c, err := d.factory.Open(ctx)
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.booted = true
		// Held open until the program ends, so that the builder does not leave
		// in between.
		context.AfterFunc(ctx, func() { _ = c.Close() })
		return nil
	})
}

func (d *embeddedDriver) Info(context.Context) (*driver.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.booted {
		return &driver.Info{Status: driver.Running}, nil
	}
	return &driver.Info{Status: driver.Inactive}, nil
}

func (d *embeddedDriver) Client(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
	return d.factory.Open(ctx, opts...)
}

func (*embeddedDriver) Version(context.Context) (string, error) { return "", nil }

func (*embeddedDriver) Stop(context.Context, bool) error { return nil }

func (*embeddedDriver) Rm(context.Context, bool, bool, bool) error { return nil }

func (*embeddedDriver) Dial(context.Context) (net.Conn, error) {
	return nil, errors.New("the embedded builder has no connection to hand out: share it with `docker relink builder start --share`")
}

func (*embeddedDriver) Features(context.Context) map[driver.Feature]bool {
	return map[driver.Feature]bool{
		driver.OCIExporter:    true,
		driver.DockerExporter: true,
		driver.CacheExport:    true,
		driver.MultiPlatform:  true,
		driver.DirectPush:     true,
	}
}

func (*embeddedDriver) HostGatewayIP(context.Context) (net.IP, error) {
	return nil, errors.New("the embedded builder has no host-gateway: its build steps share the host's network")
}

func (*embeddedDriver) IsMobyDriver() bool { return false }

func (d *embeddedDriver) Config() driver.InitConfig { return d.cfg }
