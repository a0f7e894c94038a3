//go:build !no_embedded

package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/docker-relink/relink/internal/errdefs"
)

// Child does what this program was run again for, and gives the exit code; it
// says no when the program was run by a user.
func Child() (code int, ok bool) {
	if len(os.Args) != 3 || os.Args[0] != childName {
		return 0, false
	}
	reply := os.NewFile(replyFD, "reply")
	if err := runChild(os.Args[1], os.Args[2], reply); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		sayFailure(reply, err)
		return 1, true
	}
	return 0, true
}

func runChild(job, data string, reply *os.File) error {
	var o order
	if err := json.Unmarshal([]byte(data), &o); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	if job, enter := strings.CutPrefix(job, jobEnter); enter {
		return o.enter(job)
	}
	unix.CloseOnExec(replyFD)
	return o.do(job, reply)
}

// enter waits until the namespaces are ready, and runs the program once more:
// only so does the process get the capabilities of a namespace's root.
func (o order) enter(job string) error {
	ready := os.NewFile(goFD, "go")
	var pid int64
	if err := binary.Read(ready, binary.LittleEndian, &pid); err != nil {
		return fmt.Errorf("waiting for the namespaces: %w", err)
	}
	o.PID = int(pid)
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("telling what to do: %w", err)
	}
	if err := ready.Close(); err != nil {
		return fmt.Errorf("waiting for the namespaces: %w", err)
	}
	err = syscall.Exec("/proc/self/exe", []string{childName, job, string(data)}, os.Environ())
	return fmt.Errorf("running the program again: %w", err)
}

func (o order) do(job string, reply *os.File) error {
	// The modes of files that build steps make must not depend on who came first.
	syscall.Umask(0o022)
	if err := ownMounts(); err != nil {
		return err
	}
	if o.Mode == ModeUser {
		if err := o.settle(); err != nil {
			return err
		}
	}
	switch job {
	case jobServe:
		return o.serve(reply)
	case jobProbe:
		if err := tryMount(o.Place.Dir); err != nil {
			return err
		}
	case jobRemove:
		if err := removeAll(o.Place.State()); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown job %q", job)
	}
	sayOK(reply)
	return nil
}

// ownMounts keeps mounts in this namespace, and shows its processes in /proc.
func ownMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return cannotMount(err)
	}
	// Where a container hides parts of /proc, the kernel gives no whole one.
	// Only runc needs it, and says so.
	_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	return nil
}

func cannotMount(err error) error {
	return errdefs.Unsupportedf("Run the container with --privileged, or name another builder with --builder.",
		"the embedded builder cannot unpack layers: mounting is not allowed here: %w", err)
}

// settle makes the process root of its namespace throughout.
func (o order) settle() error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("leaving the user's groups: %w", err)
	}
	run := filepath.Join(o.Place.Dir, "run", "xdg")
	if err := os.MkdirAll(run, 0o700); err != nil {
		return fmt.Errorf("making the runtime folder: %w", err)
	}
	// Where runc keeps its records; root's own folder is closed to this root.
	return os.Setenv("XDG_RUNTIME_DIR", run)
}

// tryMount finds out whether mounting is allowed, which being root does not say.
func tryMount(dir string) error {
	point, err := os.MkdirTemp(dir, "mount-")
	if err != nil {
		return fmt.Errorf("trying to mount: %w", err)
	}
	defer os.Remove(point)
	if err := unix.Mount(point, point, "", unix.MS_BIND, ""); err != nil {
		return cannotMount(err)
	}
	return unix.Unmount(point, unix.MNT_DETACH)
}

// removeAll removes the state: the folders of an image may be closed to all, and
// stay so until they are opened.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the state: %w", err)
	}
	return nil
}

func sayOK(reply *os.File) {
	_, _ = reply.WriteString(replyOK) // Nobody may be waiting any more.
	_ = reply.Close()
}

func sayFailure(reply *os.File, err error) {
	if data, merr := json.Marshal(failure{Text: err.Error(), Hint: errdefs.Hint(err)}); merr == nil {
		_, _ = reply.Write(data) // Closed already when the daemon was ready once.
	}
	_ = errors.Join(reply.Close())
}
