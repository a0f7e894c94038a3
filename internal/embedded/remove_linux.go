//go:build !no_embedded

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker-relink/relink/internal/embedded/engine"
)

// Remove stops the daemon of the place and removes all that is there. What an
// image's users own belongs to subordinate IDs of the user: that is removed by
// root of the namespace that has them.
func Remove(ctx context.Context, p Place, force bool) error {
	if err := Stop(ctx, p, force); err != nil {
		return err
	}
	if _, err := os.Stat(p.State()); err == nil {
		if mode, err := findMode(); err == nil && mode == ModeUser {
			o := order{Place: p, Mode: mode}
			if err := o.run(ctx, jobRemove); err != nil {
				return err
			}
		}
	}
	err := os.RemoveAll(p.Dir)
	if dir := filepath.Dir(p.Socket()); filepath.Dir(dir) != p.Dir {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return fmt.Errorf("removing the embedded builder: %w", err)
	}
	return nil
}

// Probe finds out by trying what the builder can do on this machine.
func Probe(ctx context.Context) (Mode, []Ability) {
	mode, err := findMode()
	if err == nil {
		err = probe(ctx, mode)
	}
	if err != nil {
		mode = ModeNone
	}
	run := err
	if run == nil && engine.Runtime() == "" {
		run = engine.ErrNoRuntime
	}
	return mode, abilities(err, run)
}

// probe makes the namespaces of a daemon and mounts in them.
func probe(ctx context.Context, mode Mode) error {
	dir, err := os.MkdirTemp("", "docker-relink-")
	if err != nil {
		return fmt.Errorf("trying what can be done: %w", err)
	}
	defer os.RemoveAll(dir)
	return order{Place: Place{Dir: dir}, Mode: mode}.run(ctx, jobProbe)
}
