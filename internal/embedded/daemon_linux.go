//go:build !no_embedded

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/sirupsen/logrus"

	"github.com/docker-relink/relink/internal/embedded/engine"
)

// settling is how long a daemon waits for whoever started it to come.
const settling = 10 * time.Second

// serve is the daemon.
func (o order) serve(reply *os.File) error {
	logrus.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	// The first process of a namespace gets only the signals that it asks for.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	alive, err := o.claim()
	if err != nil {
		return err
	}
	defer alive.Close()
	if err := tryMount(o.Place.Dir); err != nil {
		return err
	}
	cfg, err := loadConfig(o.Config)
	if err != nil {
		return err
	}
	stopping := make(chan struct{})
	e, err := engine.New(context.Background(), engine.Options{
		Root: o.Place.State(), Rootless: o.Mode == ModeUser, Config: cfg, Stop: stopping,
	})
	if err != nil {
		return err
	}
	l, err := o.listen()
	if err != nil {
		return errors.Join(err, e.Close())
	}
	counted := &counter{Listener: l, changed: make(chan int, 1)}
	served := make(chan error, 1)
	go func() { served <- e.Serve(counted) }()
	if err := o.Place.write(Record{
		PID: o.PID, Version: o.Version, Config: o.Sum, Mode: o.Mode, Idle: o.Idle, Stay: o.Stay, Started: time.Now(),
	}); err != nil {
		return errors.Join(err, e.Close())
	}
	logrus.Infof("process %d listens (%s)", o.PID, o.Version)
	sayOK(reply)
	o.stay(counted, signals, stopping)
	logrus.Infof("process %d leaves", o.PID)
	return errors.Join(e.Close(), <-served, o.forget())
}

// claim takes the state for this process.
func (o order) claim() (*flock.Flock, error) {
	lock := o.Place.alive()
	ctx, cancel := context.WithTimeout(context.Background(), leaving)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, errors.Join(inUse(o.Place), err)
	}
	if err := o.forget(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func (o order) forget() error {
	if err := os.Remove(o.Place.record()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the record: %w", err)
	}
	return nil
}

// listen makes the socket, which is the user's alone.
func (o order) listen() (net.Listener, error) {
	socket := o.Place.Socket()
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing an old socket: %w", err)
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", socket)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", filepath.Base(socket), err)
	}
	return l, nil
}

// stay returns when the daemon is to end: at once by SIGINT, when nobody uses it
// any more by SIGTERM, or when it has been idle for long enough. From then on
// nobody can connect.
func (o order) stay(c *counter, signals <-chan os.Signal, stopping chan<- struct{}) {
	idle := time.NewTimer(max(o.Idle, settling))
	defer idle.Stop()
	leave := false
	for {
		select {
		case s := <-signals:
			_ = c.Close() // It is closed twice when two signals come.
			if s == syscall.SIGINT || c.open() == 0 {
				return
			}
			if !leave {
				close(stopping)
			}
			leave = true
		case n := <-c.changed:
			if n > 0 {
				idle.Stop()
				continue
			}
			if leave {
				return
			}
			idle.Reset(o.Idle)
		case <-idle.C:
			if o.Stay {
				continue
			}
			if o.closeUnused(c) {
				return
			}
			idle.Reset(50 * time.Millisecond)
		}
	}
}

// closeUnused stops listening, unless somebody uses the daemon or is about to.
func (o order) closeUnused(c *counter) bool {
	lock := o.Place.starting()
	locked, err := lock.TryLock()
	if err != nil || !locked {
		return false
	}
	defer lock.Close()
	if c.open() > 0 {
		return false
	}
	return c.Close() == nil
}

// counter is a listener that counts the connections that are open.
type counter struct {
	net.Listener
	mu      sync.Mutex
	n       int
	changed chan int
}

func (c *counter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.add(1)
	return &counted{Conn: conn, left: sync.OnceFunc(func() { c.add(-1) })}, nil
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	select {
	case <-c.changed:
	default:
	}
	c.changed <- c.n
}

func (c *counter) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	left func()
}

func (c *counted) Close() error {
	defer c.left()
	return c.Conn.Close()
}
