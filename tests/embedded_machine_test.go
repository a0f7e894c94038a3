package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// station is a machine as relink may find it: with or without root, programs,
// subordinate IDs and permissions. It is this one, in a mount namespace of its
// own for each command: nothing outside is changed.
type station struct {
	bed *bed.Bed
	dir string
	// ordinary is a user that is not root, and subIDs gives it subordinate IDs.
	ordinary, subIDs bool
	// programs are in the PATH, and nothing else is.
	programs []string
	// setpriv are further flags of setpriv(1), which takes privileges away.
	setpriv []string
	// noNamespaces is a kernel that makes no user namespaces.
	noNamespaces bool
}

// someUser is the user that the machines have, which this one has not.
const someUser = 3999

// enter makes the machine's mounts and becomes its user.
const enter = `set -e
dir=$1 bin=$2; shift 2
mount --bind "$dir/passwd" /etc/passwd
mount --bind "$dir/subid" /etc/subuid
mount --bind "$dir/subid" /etc/subgid
mount --bind "$bin" "$dir/relink"
mount --bind "$dir/var-run" /run
if [ -n "$NO_NAMESPACES" ]; then echo 0 >/proc/sys/user/max_user_namespaces; fi
exec setpriv "$@"
`

func (m station) make(t *testing.T) station {
	t.Helper()
	// Not under TMPDIR: the paths of sockets must stay short.
	dir, err := os.MkdirTemp("/tmp", "relink-machine-")
	if err != nil {
		t.Fatal(err)
	}
	m.dir = dir
	passwd := fmt.Sprintf("root:x:0:0::/root:/bin/sh\nsomeone:x:%d:%[1]d::%s:/bin/sh\n", someUser, dir)
	subid := "another:100000:65536\n"
	if m.subIDs {
		subid += "someone:300000:65536\n"
	}
	bed.WriteFiles(t, dir, bed.Text("passwd", passwd), bed.Text("subid", subid), bed.Text("relink", ""),
		bed.Dir("var-run", 0o755), bed.Dir("home", 0o700), bed.Dir("bin", 0o755), bed.Text("docker/config.json", "{}\n"))
	for _, program := range m.programs {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatalf("looking for %s: %v", program, err)
		}
		if err := os.Symlink(path, filepath.Join(dir, "bin", program)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "home"), filepath.Join(dir, "docker"), filepath.Join(dir, "docker/config.json")} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if m.ordinary {
			if err := os.Chown(path, someUser, someUser); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		m.relink(t, "", nil, "builder", "rm", "--force")
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the machine: %v", err)
		}
	})
	return m
}

// place is where the machine's builder lives.
func (m station) place() string { return filepath.Join(m.dir, "home", "builder") }

// command is a command on the machine.
func (m station) command(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	flags := m.setpriv
	if m.ordinary {
		flags = append([]string{"--reuid", strconv.Itoa(someUser), "--regid", strconv.Itoa(someUser), "--clear-groups"}, flags...)
	}
	all := []string{"--mount", "sh", "-c", enter, "sh", m.dir, filepath.Join(bed.Root(), "bin", "docker-relink")}
	// The shell that makes the machine needs more programs than the machine has.
	all = append(append(all, flags...), "--", "/usr/bin/env", "PATH="+filepath.Join(m.dir, "bin"), filepath.Join(m.dir, "relink"))
	// What cleans up runs after the test has ended.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "unshare", append(all, args...)...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(m.dir, "home"), "TMPDIR=/tmp",
		"DOCKER_CONFIG=" + filepath.Join(m.dir, "docker"), "RELINK_EMBEDDED_DIR=" + m.place(), "BUILDKIT_PROGRESS=plain",
	}, env...)
	if m.noNamespaces {
		// The limit is that of a namespace around the machine, not of this kernel.
		cmd.Env = append(cmd.Env, "NO_NAMESPACES=1")
		ids := []syscall.SysProcIDMap{{Size: 400000}}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		}
	}
	return cmd
}

// relink runs relink on the machine.
func (m station) relink(t *testing.T, dir string, env []string, args ...string) bed.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := m.command(t, dir, env, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	result := bed.Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		result.Code = exit.ExitCode()
	case err != nil:
		t.Fatalf("running relink on a machine: %v", err)
	}
	return result
}

// daemons are the processes of the machine's builder.
func (m station) daemons(t *testing.T) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// A process may end while this looks at it.
		command, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil && strings.HasPrefix(string(command), "docker-relink-builder\x00serve\x00") && strings.Contains(string(command), m.place()) {
			pids = append(pids, pid)
		}
	}
	return pids
}
