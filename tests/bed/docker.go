package bed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Result is what a run of the Docker CLI, or of a plugin, gave.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Code           int
	Took           time.Duration
}

// MustSucceed fails the test with all that was printed when the run failed.
func (r Result) MustSucceed(t testing.TB) Result {
	t.Helper()
	if r.Code != 0 {
		t.Fatalf("%q: exit code %d\n%s%s", r.Args, r.Code, r.Stdout, r.Stderr)
	}
	return r
}

// JSON reads what was printed on stdout, which must be one document, and fails the test
// when the run failed or that is none.
func (r Result) JSON(t testing.TB, into any) {
	t.Helper()
	r.MustSucceed(t)
	if err := json.Unmarshal([]byte(r.Stdout), into); err != nil {
		t.Fatalf("%q: reading what it printed: %v\n%s", r.Args, err, r.Stdout)
	}
}

// Docker runs the real Docker CLI in dir with the bed's own configuration, in
// which buildx and relink are plugins and the bed's builder is the default.
// What env says comes last and so wins.
func (b *Bed) Docker(t testing.TB, dir string, env []string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	return b.run(ctx, dir, env, args...)
}

// runLimit is how long a run may take. A build that hangs should fail its own
// test and show what it printed, not run into the time limit of the package.
const runLimit = 5 * time.Minute

// Plugin does as Docker does with a command of the plugin buildx or relink, which
// plugin names, but runs the plugin's program itself. It is for tests with
// hundreds of builds: the Docker CLI starts two programs more for each.
func (b *Bed) Plugin(t testing.TB, dir string, env []string, plugin string, args ...string) Result {
	t.Helper()
	program := map[string]string{"buildx": b.tools.buildx, "relink": b.tools.relink}[plugin]
	if program == "" {
		t.Fatalf("there is no plugin %q", plugin)
	}
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	return run(b.command(ctx, program, dir, env, args...))
}

// Env is the environment that Docker runs in; nothing of the caller's own
// comes through but the path, so that no setting of a machine shows in a test.
func (b *Bed) Env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + b.dir,
		"DOCKER_CONFIG=" + b.configDir(),
		"BUILDX_CONFIG=" + filepath.Join(b.dir, "buildx"),
		"DOCKER_CLI_HINTS=false",
		// A test that has no builder must not get one by itself.
		"RELINK_EMBEDDED=never",
		"BUILDKIT_PROGRESS=plain",
	}
}

// Shell runs a script of bash as one would type it: docker is the bed's, and the
// first command that fails ends it.
func (b *Bed) Shell(t testing.TB, dir string, env []string, script string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	path := "PATH=" + filepath.Dir(b.tools.docker) + ":" + os.Getenv("PATH")
	return run(b.command(ctx, "bash", dir, append([]string{path}, env...), "-e", "-c", script))
}

// DockerCommand is the command that Docker runs, for tests that drive it
// themselves, such as those that interrupt it.
func (b *Bed) DockerCommand(ctx context.Context, dir string, env []string, args ...string) *exec.Cmd {
	return b.command(ctx, b.tools.docker, dir, env, args...)
}

func (b *Bed) command(ctx context.Context, program, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(b.Env(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func (b *Bed) run(ctx context.Context, dir string, env []string, args ...string) Result {
	return run(b.DockerCommand(ctx, dir, env, args...))
}

func run(cmd *exec.Cmd) Result {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	result := Result{Args: cmd.Args, Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		result.Code = exit.ExitCode()
	case err != nil:
		result.Code = -1
		result.Stderr += fmt.Sprintf("running %s: %v\n", cmd.Args[0], err)
	}
	return result
}

func (b *Bed) configDir() string { return filepath.Join(b.dir, "docker") }

func (b *Bed) writeDockerConfig() error {
	plugins := filepath.Join(b.configDir(), "cli-plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		return fmt.Errorf("making the Docker CLI's configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(b.configDir(), "config.json"), []byte("{}\n"), 0o600); err != nil {
		return fmt.Errorf("writing the Docker CLI's configuration: %w", err)
	}
	for name, program := range map[string]string{
		"docker-buildx": b.tools.buildx, "docker-relink": b.tools.relink, "docker-diffbuild": b.tools.relink,
	} {
		if err := os.Symlink(program, filepath.Join(plugins, name)); err != nil {
			return fmt.Errorf("linking the plugin %s: %w", name, err)
		}
	}
	return nil
}
