//go:build !no_embedded

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/bklog"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/docker-relink/relink/internal/embedded/engine"
)

// pipeSize is what a connection within the process holds.
const pipeSize = 1 << 20

// InProcess is a builder in this process that unpacks nothing. It is made when
// the first connection is wanted, and its state is gone when it is closed.
type InProcess struct {
	Settings Settings

	once   sync.Once
	err    error
	dir    string
	engine *engine.Engine
	listen *bufconn.Listener
	served chan error
}

// Open connects to the builder.
func (p *InProcess) Open(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
	p.once.Do(func() { p.err = p.start() })
	if p.err != nil {
		return nil, p.err
	}
	dial := client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return p.listen.DialContext(ctx)
	})
	return client.New(ctx, "unix:///in-process", append(opts, dial)...)
}

func (p *InProcess) start() (err error) {
	cfg, err := loadConfig(p.Settings.Config)
	if err != nil {
		return err
	}
	if p.dir, err = os.MkdirTemp("", "docker-relink-"); err != nil {
		return fmt.Errorf("making the embedded builder's state: %w", err)
	}
	p.engine, err = engine.New(context.Background(), engine.Options{Root: p.dir, Lazy: true, Config: cfg},
		grpc.ChainUnaryInterceptor(quietUnary), grpc.ChainStreamInterceptor(quietStream))
	if err != nil {
		return errors.Join(err, os.RemoveAll(p.dir))
	}
	p.listen = bufconn.Listen(pipeSize)
	p.served = make(chan error, 1)
	go func() { p.served <- p.engine.Serve(p.listen) }()
	return nil
}

// Close ends the builder and removes its state.
func (p *InProcess) Close() error {
	if p.engine == nil {
		return nil
	}
	return errors.Join(p.engine.Close(), <-p.served, os.RemoveAll(p.dir))
}

// silent takes a daemon's log, which has no place on the terminal of a command:
// what a user has to know comes back as progress or as an error.
func silent() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

func quietUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return handle(bklog.WithLogger(ctx, silent()), req)
}

func quietStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(srv, quietServerStream{stream})
}

// quietServerStream is a stream whose context has a log that nobody reads.
type quietServerStream struct{ grpc.ServerStream }

func (s quietServerStream) Context() context.Context {
	return bklog.WithLogger(s.ServerStream.Context(), silent())
}
