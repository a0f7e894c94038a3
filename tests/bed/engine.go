package bed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// EngineKind says which Docker Engine is meant.
type EngineKind string

const (
	// CurrentEngine is a current Engine that keeps images in containerd.
	CurrentEngine EngineKind = "current"
	// GraphEngine is the same Engine with a graph driver: its BuildKit has no
	// MergeOp and no DiffOp.
	GraphEngine EngineKind = "graph"
	// DebianEngine is the old Engine that Debian packages.
	DebianEngine EngineKind = "debian"
)

// Engine is a Docker Engine with all its state in a directory of its own, and
// the Docker context that stands for it.
type Engine struct {
	// Context is the context's name.
	Context string

	bed    *Bed
	dir    string
	socket string
	daemon *process
}

// NewEngine starts an Engine for one test. Where its programs are missing the
// test is skipped, but fails when CI is set.
func (b *Bed) NewEngine(t testing.TB, kind EngineKind) *Engine {
	t.Helper()
	engine, err := b.startEngine(t.Context(), kind)
	if errors.Is(err, ErrMissing) && os.Getenv("CI") == "" {
		t.Skipf("needs a Docker Engine: %v", err)
	}
	if err != nil {
		t.Fatalf("starting a Docker Engine: %v", err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Errorf("stopping the Docker Engine %s: %v", engine.Context, err)
		}
	})
	return engine
}

func (b *Bed) startEngine(ctx context.Context, kind EngineKind) (*Engine, error) {
	path, env, err := engineEnv(kind)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "engine-")
	if err != nil {
		return nil, fmt.Errorf("making the Engine's directory: %w", err)
	}
	e := &Engine{Context: filepath.Base(dir), bed: b, dir: dir, socket: filepath.Join(dir, "docker.sock")}
	config := filepath.Join(dir, "daemon.json")
	// Old Engines make a key, and would make it in /etc; for newer ones this is
	// an option that they ignore.
	if err := os.WriteFile(config, fmt.Appendf(nil, `{"deprecated-key-path": %q}`, filepath.Join(dir, "key.json")), 0o600); err != nil {
		return nil, fmt.Errorf("writing the Engine's configuration: %w", err)
	}
	e.daemon, err = startProcess("dockerd", filepath.Join(dir, "log"), env, path, e.flags(kind, config)...)
	if err != nil {
		return nil, err
	}
	if err := e.daemon.waitFor(e.answers, time.Minute); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	result := b.run(ctx, "", nil, "context", "create", e.Context, "--docker", "host=unix://"+e.socket)
	if result.Code != 0 {
		return nil, errors.Join(fmt.Errorf("creating the Docker context: %s", result.Stderr), e.Close())
	}
	return e, nil
}

// engineEnv gives the daemon of an Engine and the environment in which it finds
// its own containerd and runc before those of the machine.
func engineEnv(kind EngineKind) (dockerd string, env []string, err error) {
	directories := []string{filepath.Join(Root(), ".cache", "engine")}
	if kind == DebianEngine {
		top := filepath.Join(Root(), ".cache", "engine-debian")
		directories = []string{filepath.Join(top, "usr", "sbin"), filepath.Join(top, "usr", "bin")}
		var libraries []string
		for _, lib := range []string{"lib", "usr/lib"} {
			// The pattern is well-formed, which is all that Glob can object to.
			found, _ := filepath.Glob(filepath.Join(top, lib, "*-linux-gnu"))
			libraries = append(libraries, found...)
		}
		env = append(env, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	dockerd = filepath.Join(directories[0], "dockerd")
	if _, err := os.Stat(dockerd); err != nil {
		return "", nil, fmt.Errorf("%s (make engine makes it): %w", dockerd, ErrMissing)
	}
	return dockerd, append(env, "PATH="+strings.Join(append(directories, os.Getenv("PATH")), ":")), nil
}

// flags keep the daemon from the machine's network, and from everything that
// lies outside its own directory.
func (e *Engine) flags(kind EngineKind, config string) []string {
	flags := []string{
		"--config-file", config,
		"--data-root", filepath.Join(e.dir, "data"),
		"--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"),
		"--host", "unix://" + e.socket,
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false",
		"--insecure-registry", e.bed.Registry.Host,
		// What would come from Docker Hub.
		"--registry-mirror", "http://" + e.bed.Registry.Host,
	}
	if kind == DebianEngine {
		return flags
	}
	return append(flags, "--feature", fmt.Sprintf("containerd-snapshotter=%t", kind == CurrentEngine))
}

// answers asks as a client would: the socket is there before the daemon is.
func (e *Engine) answers() bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", e.socket)
		},
	}}
	response, err := client.Get("http://docker/_ping")
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// Env is what makes the Docker CLI use the Engine. The Engine has builders of
// its own, too: buildx forgets which builder is in use when it is asked in
// another Docker context, and that of the bed has to stay.
func (e *Engine) Env() []string {
	return []string{"DOCKER_CONTEXT=" + e.Context, "BUILDX_CONFIG=" + filepath.Join(e.dir, "buildx")}
}

// Docker runs the real Docker CLI against the Engine.
func (e *Engine) Docker(t testing.TB, dir string, env []string, args ...string) Result {
	t.Helper()
	return e.bed.Docker(t, dir, append(e.Env(), env...), args...)
}

// Close stops the daemon, which stops its containers, and removes its state.
func (e *Engine) Close() error {
	err := errors.Join(e.daemon.stop(), e.killLeft(), unmount(e.dir), os.RemoveAll(e.dir))
	result := e.bed.run(context.Background(), "", nil, "context", "rm", "--force", e.Context)
	if result.Code != 0 {
		err = errors.Join(err, fmt.Errorf("removing the Docker context: %s", result.Stderr))
	}
	return err
}

// killLeft ends what a daemon that had to be killed left running: its
// containerd and the shims, which have its directory on their command line.
func (e *Engine) killLeft() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("reading the processes: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process may end while this looks at it.
		command, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil || !strings.Contains(string(command), e.dir+"/") {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("killing process %d of the Engine: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}

// ImportBuildkit puts the image of the docker-container driver into the Engine
// under the name that buildx looks for, made of the programs that the bed has.
func (e *Engine) ImportBuildkit(t testing.TB) {
	t.Helper()
	files := []File{Dir("bin", 0o755), Dir("tmp", 0o1777), Dir("etc", 0o755)}
	for name, program := range map[string]string{
		"buildkitd":     e.bed.tools.buildkitd,
		"buildctl":      filepath.Join(Root(), ".cache", "bin", "buildctl"),
		"buildkit-runc": filepath.Join(Root(), ".cache", "engine", "runc"),
		"busybox":       "/bin/busybox",
	} {
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatalf("reading a program of the BuildKit image: %v", err)
		}
		files = append(files, Text("bin/"+name, string(data)).WithMode(0o755))
	}
	files = append(files, Link("bin/sh", "busybox"))
	data, err := Tar(files...)
	if err != nil {
		t.Fatalf("making the BuildKit image: %v", err)
	}
	path := filepath.Join(t.TempDir(), "buildkit.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("making the BuildKit image: %v", err)
	}
	e.Docker(t, "", nil, "import", "--change", `ENTRYPOINT ["buildkitd"]`, path, "moby/buildkit:buildx-stable-1").MustSucceed(t)
}
