package bed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Builder is a BuildKit daemon and the buildx instance of the remote driver
// that stands for it.
type Builder struct {
	// Name is what --builder takes.
	Name string
	// Address is where the daemon listens.
	Address string

	dir    string
	daemon *process
}

const buildkitdConfig = `
insecure-entitlements = ["network.host"]
[otel]
  socketPath = "%[1]s/otel.sock"
[cdi]
  disabled = true
[worker.oci]
  enabled = true
  gc = false
[worker.containerd]
  enabled = false
[registry."%[2]s"]
  http = true
  insecure = true
`

// NewBuilder starts one more daemon, with no state, for a test that plays a
// second machine.
func (b *Bed) NewBuilder(t testing.TB) *Builder {
	t.Helper()
	return b.NewBuilderWith(t, "")
}

// NewBuilderWith does so with more in its configuration (buildkitd.toml).
func (b *Bed) NewBuilderWith(t testing.TB, more string) *Builder {
	t.Helper()
	b.mu.Lock()
	b.builders++
	name := fmt.Sprintf("bed%d", b.builders)
	b.mu.Unlock()
	builder, err := b.startBuilder(context.Background(), name, more)
	if err != nil {
		t.Fatalf("starting a builder: %v", err)
	}
	t.Cleanup(func() {
		if err := builder.Close(); err != nil {
			t.Errorf("stopping builder %s: %v", name, err)
		}
	})
	return builder
}

func (b *Bed) startBuilder(ctx context.Context, name, more string) (_ *Builder, err error) {
	builder := &Builder{Name: name, dir: filepath.Join(b.dir, name)}
	builder.Address = "unix://" + filepath.Join(builder.dir, "buildkitd.sock")
	// It mounts what it reads below its temporary directory, which goes with it.
	temp := filepath.Join(builder.dir, "tmp")
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, fmt.Errorf("making the builder's directory: %w", err)
	}
	config := filepath.Join(builder.dir, "buildkitd.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, buildkitdConfig+"%[3]s", builder.dir, b.Registry.Host, more), 0o600); err != nil {
		return nil, fmt.Errorf("writing the builder's configuration: %w", err)
	}
	builder.daemon, err = startProcess("buildkitd", filepath.Join(builder.dir, "log"), []string{"TMPDIR=" + temp}, b.tools.buildkitd,
		"--config", config, "--root", filepath.Join(builder.dir, "root"), "--addr", builder.Address)
	if err != nil {
		return nil, err
	}
	if err := builder.daemon.waitFor(builder.listens, 30*time.Second); err != nil {
		return nil, errors.Join(err, builder.Close())
	}
	// "use" makes it the default of the bed's own configuration, so a test
	// need not name it.
	args := []string{"buildx", "create", "--name", name, "--driver", "remote", "--bootstrap"}
	if name == "bed" {
		args = append(args, "--use")
	}
	result := b.run(ctx, "", nil, append(args, builder.Address)...)
	if result.Code != 0 {
		return nil, errors.Join(fmt.Errorf("creating the buildx instance: %s", result.Stderr), builder.Close())
	}
	return builder, nil
}

func (b *Builder) listens() bool {
	conn, err := net.DialTimeout("unix", strings.TrimPrefix(b.Address, "unix://"), time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// Close stops the daemon and removes its state.
func (b *Builder) Close() error {
	err := b.daemon.stop()
	return errors.Join(err, unmount(b.dir), os.RemoveAll(b.dir))
}

// unmount takes away what is mounted at a directory or below it: a daemon leaves
// mounts when it ends in the middle of a build, and its state could not be removed.
func unmount(dir string) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	defer file.Close()
	var points []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			points = append(points, fields[4])
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(points)))
	var errs []error
	for _, point := range points {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}
