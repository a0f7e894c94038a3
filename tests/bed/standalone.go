package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// Alone starts a bed for a program that is no test, runs f with it, and stops
// the bed again. What fails in f comes back as the error.
func Alone(ctx context.Context, f func(t testing.TB, b *Bed)) error { return runAlone(ctx, true, f) }

// AloneWithoutDaemon is Alone with a bed that has no BuildKit daemon, but for the
// one that relink brings along.
func AloneWithoutDaemon(ctx context.Context, f func(t testing.TB, b *Bed)) error {
	return runAlone(ctx, false, f)
}

func runAlone(ctx context.Context, daemon bool, f func(t testing.TB, b *Bed)) error {
	b, err := start(ctx, daemon)
	if err != nil {
		return fmt.Errorf("starting the test bed: %w", err)
	}
	t := &alone{ctx: ctx}
	done := make(chan struct{})
	// On a goroutine of its own, for that is what FailNow ends.
	go func() {
		defer close(done)
		defer t.cleanUp()
		f(t, b)
	}()
	<-done
	return errors.Join(append(t.errs, ctx.Err(), b.Close())...)
}

// alone is the part of testing.TB that the bed uses. The interface itself has a
// method that only package testing can make; it is nil here.
type alone struct {
	testing.TB
	ctx      context.Context
	errs     []error
	cleanups []func()
}

func (a *alone) Helper()                  {}
func (a *alone) Context() context.Context { return a.ctx }
func (a *alone) Cleanup(f func())         { a.cleanups = append(a.cleanups, f) }

func (a *alone) Errorf(format string, args ...any) {
	a.errs = append(a.errs, fmt.Errorf(format, args...))
}

func (a *alone) Fatal(args ...any) {
	a.Errorf("%s", fmt.Sprint(args...))
	a.FailNow()
}

func (a *alone) Fatalf(format string, args ...any) {
	a.Errorf(format, args...)
	a.FailNow()
}

func (a *alone) FailNow() { runtime.Goexit() }

func (a *alone) TempDir() string {
	dir, err := os.MkdirTemp("", "relink-")
	if err != nil {
		a.Fatalf("making a directory: %v", err)
	}
	a.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			a.Errorf("removing a directory: %v", err)
		}
	})
	return dir
}

// cleanUp runs the clean-ups, the last one first, even when one of them fails.
func (a *alone) cleanUp() {
	if len(a.cleanups) == 0 {
		return
	}
	last := a.cleanups[len(a.cleanups)-1]
	a.cleanups = a.cleanups[:len(a.cleanups)-1]
	defer a.cleanUp()
	last()
}
