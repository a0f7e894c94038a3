//go:build !no_embedded

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/docker-relink/relink/internal/errdefs"
)

// Connect gives a connection to the daemon of the place, and starts one when
// there is none or the one that runs is of another version or has other
// settings.
func Connect(ctx context.Context, p Place, s Settings, opts ...client.ClientOpt) (*client.Client, error) {
	idle, err := idleTime()
	if err != nil {
		return nil, err
	}
	mode, err := findMode()
	if err != nil {
		return nil, err
	}
	if err := p.make(); err != nil {
		return nil, err
	}
	o := order{Place: p, Config: s.Config, Sum: s.sum(), Mode: mode, Idle: idle, Stay: s.Stay, Version: thisVersion()}
	for {
		c, err := o.join(ctx, opts)
		if c != nil || err != nil {
			return c, err
		}
		if err := o.start(ctx); err != nil {
			return nil, err
		}
	}
}

// join connects to a daemon that runs and fits; nil when there is none. The lock
// keeps the daemon from leaving until it has counted the connection.
func (o order) join(ctx context.Context, opts []client.ClientOpt) (*client.Client, error) {
	lock := o.Place.starting()
	if _, err := lock.TryRLockContext(ctx, 2*time.Millisecond); err != nil {
		return nil, fmt.Errorf("connecting to the embedded builder: %w", err)
	}
	defer lock.Close()
	if fits, err := o.fits(); err != nil || !fits {
		return nil, err
	}
	c, err := client.New(ctx, o.Place.Endpoint(), opts...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the embedded builder: %w", err)
	}
	if _, err := c.Info(ctx); err != nil {
		// It listened a moment ago; whatever has become of it, a new try finds out.
		return nil, errors.Join(ctx.Err(), c.Close())
	}
	return c, nil
}

// fits says whether a daemon answers that was started by the same order.
func (o order) fits() (bool, error) {
	conn, err := net.DialTimeout("unix", o.Place.Socket(), time.Second)
	if err != nil {
		return false, nil //nolint:nilerr // Nobody listens: one is to be started.
	}
	defer conn.Close()
	r, err := o.Place.Running()
	return err == nil && r != nil && r.Version == o.Version && r.Config == o.Sum && (r.Stay || !o.Stay), err
}

// start starts a daemon, unless somebody else has done so meanwhile.
func (o order) start(ctx context.Context) error {
	lock := o.Place.starting()
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return fmt.Errorf("starting the embedded builder: %w", err)
	}
	defer lock.Close()
	if fits, err := o.fits(); err != nil || fits {
		return err
	}
	// One that stays for the sake of stock buildx is replaced by one that stays.
	if r, err := o.Place.Running(); err == nil && r != nil {
		o.Stay = o.Stay || r.Stay
	}
	if err := Stop(ctx, o.Place, false); err != nil {
		return err
	}
	return o.spawn(ctx)
}

// Stop makes the daemon of the place leave when those that use it have ended, or
// at once, and waits until its process has ended, and with it every build step. It
// does nothing when none runs.
func Stop(ctx context.Context, p Place, force bool) error {
	sign := syscall.SIGTERM
	if force {
		sign = syscall.SIGINT
	}
	signalled, unknown := 0, time.Now()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		r, err := p.Running()
		if err != nil || r == nil && ended(signalled) {
			tick.Stop()
			return err
		}
		if r == nil {
			r = &Record{PID: signalled} // It has let go of the state, and is about to end.
		}
		if r.PID != 0 && r.PID != signalled {
			if err := syscall.Kill(r.PID, sign); err != nil && !errors.Is(err, syscall.ESRCH) {
				return errdefs.Unsupportedf("", "stopping the embedded builder (process %d): %w", r.PID, err)
			}
			signalled = r.PID
		}
		if r.PID != 0 {
			unknown = time.Now()
		} else if time.Since(unknown) > leaving {
			return inUse(p)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopping the embedded builder (process %d): %w", r.PID, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// ended says whether a process has ended, also when nobody has asked how. Its first
// thread may have ended before the others.
func ended(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || bytes.Contains(status, []byte("\nState:\tZ")) && bytes.Contains(status, []byte("\nThreads:\t1\n"))
}

// leaving is how long a daemon may take to start or to leave, when it has no
// record of itself.
const leaving = 10 * time.Second

func inUse(p Place) error {
	return errdefs.Unsupportedf("Set "+DirVar+" to another folder.", "the embedded builder's folder %s is in use by something else", p.Dir)
}

// private wants a folder to be the user's own, and to be closed to all others.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("looking at the embedded builder's folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || stat.Uid != uint32(os.Geteuid()) {
		return errdefs.Unsupportedf("Remove it, or set "+DirVar+" to a folder of your own.", "%s is not a folder of your own", dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("closing the embedded builder's folder: %w", err)
		}
	}
	return nil
}
