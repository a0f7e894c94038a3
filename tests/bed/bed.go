// Package bed is the test bed: a real registry, a real BuildKit daemon, the
// real Docker CLI with buildx and relink as plugins, base images, and the
// reading and comparing of the images that come out of it.
package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Bed is a running set of engines and the private configuration of the Docker
// CLI that uses them.
type Bed struct {
	Registry *Registry
	Builder  *Builder

	dir   string
	tools tools
	bases bases

	mu       sync.Mutex
	builders int
}

// tools are the paths of the programs that the bed runs.
type tools struct {
	docker, buildx, relink, registry, buildkitd string
}

// ErrMissing says that a program that the bed needs is not there.
var ErrMissing = errors.New("not found")

// Root is the top of the source tree.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Start starts the engines. It takes the Docker CLI, buildx and the engines
// from .cache/bin and relink from bin, where make puts them.
func Start(ctx context.Context) (*Bed, error) { return start(ctx, true) }

// start starts a bed with a BuildKit daemon of its own or without one, and then
// no BuildKit daemon need be there at all.
func start(ctx context.Context, daemon bool) (_ *Bed, err error) {
	programs, err := findTools(daemon)
	if err != nil {
		return nil, err
	}
	// Not under TMPDIR: the paths of sockets must stay short.
	dir, err := os.MkdirTemp("/tmp", "relink-bed-")
	if err != nil {
		return nil, fmt.Errorf("making the bed's directory: %w", err)
	}
	b := &Bed{dir: dir, tools: programs}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if err := mountMemory(dir); err != nil {
		return nil, err
	}
	if err := b.writeDockerConfig(); err != nil {
		return nil, err
	}
	if b.Registry, err = startRegistry(ctx, programs.registry, filepath.Join(dir, "registry")); err != nil {
		return nil, err
	}
	if daemon {
		b.Builder, err = b.startBuilder(ctx, "bed", "")
	}
	return b, err
}

// Close stops the engines and removes all that they kept.
func (b *Bed) Close() error {
	var errs []error
	if b.Builder != nil {
		errs = append(errs, b.Builder.Close())
	}
	if b.Registry != nil {
		errs = append(errs, b.Registry.Close())
	}
	return errors.Join(append(errs, unmount(b.dir), os.RemoveAll(b.dir))...)
}

func findTools(daemon bool) (tools, error) {
	if os.Getuid() != 0 {
		return tools{}, fmt.Errorf("root, which buildkitd needs: %w", ErrMissing)
	}
	if _, err := exec.LookPath("runc"); err != nil {
		return tools{}, fmt.Errorf("runc (make setup installs it): %w", ErrMissing)
	}
	var t tools
	for _, program := range []struct {
		path *string
		name string
		make string
	}{
		{&t.docker, ".cache/bin/docker", "tools"},
		{&t.buildx, ".cache/bin/buildx", "tools"},
		{&t.registry, ".cache/bin/registry", "tools"},
		{&t.buildkitd, ".cache/bin/buildkitd", "tools"},
		{&t.relink, "bin/docker-relink", "build"},
	} {
		*program.path = filepath.Join(Root(), program.name)
		if program.path == &t.buildkitd && !daemon {
			continue
		}
		if _, err := os.Stat(*program.path); err != nil {
			return tools{}, fmt.Errorf("%s (make %s makes it): %w", program.name, program.make, ErrMissing)
		}
	}
	return t, nil
}

var shared struct {
	once sync.Once
	bed  *Bed
	err  error
}

// Main runs the tests of a package that use Shared, and stops the engines
// afterwards. It gives the exit code for os.Exit.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.bed != nil {
		if err := shared.bed.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the test bed:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Shared gives the bed that all tests of a package use, and starts it for the
// first of them. Where a program is missing the test is skipped, but fails
// when CI is set: there, a test that did not run must not look like a pass.
func Shared(t testing.TB) *Bed {
	t.Helper()
	if testing.Short() {
		t.Skip("needs engines, and -short is given")
	}
	shared.once.Do(func() { shared.bed, shared.err = Start(context.Background()) })
	if shared.err == nil {
		return shared.bed
	}
	if errors.Is(shared.err, ErrMissing) && os.Getenv("CI") == "" {
		t.Skipf("needs engines: %v", shared.err)
	}
	t.Fatalf("starting the test bed: %v", shared.err)
	return nil
}
