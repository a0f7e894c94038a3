//go:build !no_embedded

package embedded

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/docker-relink/relink/internal/errdefs"
)

// childName is what the program is called when it is run again by itself.
const childName = "docker-relink-builder"

// What a child does.
const (
	jobServe  = "serve"  // be the daemon
	jobProbe  = "probe"  // find out what can be done here
	jobRemove = "remove" // remove the state
	jobEnter  = "enter:" // wait for the namespace to be ready, then do the job after the colon
)

// The files of a child besides the usual three.
const (
	replyFD = 3 // what comes of it: "ok", or the error
	goFD    = 4 // the child's process ID, when the namespace is ready
)

const replyOK = "ok"

// spawn starts the daemon and waits until it listens.
func (o order) spawn(ctx context.Context) error { return o.run(ctx, jobServe) }

// run runs the program again for a job, as root of its namespaces, and waits for
// the job's reply.
func (o order) run(ctx context.Context, job string) error {
	log, err := openLog(o.Place.Log())
	if err != nil {
		return err
	}
	defer log.Close()
	reply, replyEnd, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the embedded builder: %w", err)
	}
	defer reply.Close()
	goEnd, tellGo, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("starting the embedded builder: %w", err), replyEnd.Close())
	}
	defer tellGo.Close()
	cmd, err := o.command(job, log, replyEnd, goEnd)
	if err == nil {
		err = cmd.Start()
	}
	err = errors.Join(err, replyEnd.Close(), goEnd.Close())
	if err != nil {
		return cannotStart(err)
	}
	// A daemon outlives this process; whatever ends earlier is waited for.
	go func() { _ = cmd.Wait() }()
	if o.Mode == ModeUser {
		if err := mapIDs(ctx, cmd.Process.Pid); err != nil {
			return errors.Join(err, cmd.Process.Kill())
		}
	}
	if err := errors.Join(binary.Write(tellGo, binary.LittleEndian, int64(cmd.Process.Pid)), tellGo.Close()); err != nil {
		return fmt.Errorf("starting the embedded builder: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	return o.reply(reply)
}

// command is the child: a session of its own, nothing of the terminal, no file
// of ours, and namespaces so that its mounts and its processes are its own and
// end with it, however it ends.
func (o order) command(job string, log, replyEnd, goEnd *os.File) (*exec.Cmd, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("telling the embedded builder: %w", err)
	}
	attr := &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if o.Mode == ModeUser {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	if err := keepFiles(); err != nil {
		return nil, err
	}
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{childName, jobEnter + job, string(data)}, Dir: "/",
		Stdout: log, Stderr: log, ExtraFiles: []*os.File{replyEnd, goEnd}, SysProcAttr: attr,
	}, nil
}

// keepFiles keeps the files that this process inherited from a child: the lock
// that a script holds would stay with the daemon.
func keepFiles() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("looking at the open files: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// reply reads what a child says about its job.
func (o order) reply(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("waiting for the embedded builder: %w", err)
	}
	if string(data) == replyOK {
		return nil
	}
	if len(data) == 0 {
		return errdefs.Unsupportedf("See `docker relink builder logs`.", "the embedded builder ended when it was started")
	}
	var failed failure
	if err := json.Unmarshal(data, &failed); err != nil {
		return fmt.Errorf("waiting for the embedded builder: %w", err)
	}
	return errdefs.Unsupportedf(failed.Hint, "%s", failed.Text)
}

// failure is an error on its way from a child.
type failure struct{ Text, Hint string }

// mapIDs gives the namespace of a child its IDs: the user's own for root, and
// the user's subordinate ones for all others.
func mapIDs(ctx context.Context, pid int) error {
	for _, kind := range idKinds() {
		ranges, err := kind.ranges()
		if err != nil {
			return err
		}
		args := []string{strconv.Itoa(pid), "0", strconv.Itoa(kind.own), "1"}
		next := 1
		for _, r := range ranges {
			args = append(args, strconv.Itoa(next), strconv.Itoa(r.first), strconv.Itoa(r.count))
			next += r.count
		}
		out, err := exec.CommandContext(ctx, kind.program, args...).CombinedOutput()
		if err != nil {
			return errdefs.Unsupportedf("It has to be set-uid root or to have its file capabilities, and the process must be free to gain privileges (no_new_privs).",
				"%s, which the embedded builder needs to unpack layers, failed: %w: %s", kind.program, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// cannotStart says what keeps a child from its namespaces.
func cannotStart(err error) error {
	var cause syscall.Errno
	if !errors.As(err, &cause) || cause != syscall.EPERM && cause != syscall.ENOSPC && cause != syscall.EINVAL {
		return fmt.Errorf("starting the embedded builder: %w", err)
	}
	if os.Geteuid() == 0 {
		return errdefs.Unsupportedf("Run the container with --privileged, or name another builder with --builder.",
			"the embedded builder cannot unpack layers: root has no permission to mount here (CAP_SYS_ADMIN): %w", cause)
	}
	return errdefs.Unsupportedf("Allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns), or name another builder with --builder.",
		"the embedded builder cannot unpack layers: user namespaces are switched off: %w", cause)
}

// keepLog is the size beyond which the log of earlier daemons is put aside.
const keepLog = 1 << 20

func openLog(file string) (*os.File, error) {
	if info, err := os.Stat(file); err == nil && info.Size() > keepLog {
		if err := os.Rename(file, file+".old"); err != nil {
			return nil, fmt.Errorf("putting the embedded builder's log aside: %w", err)
		}
	}
	log, err := os.OpenFile(filepath.Clean(file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the embedded builder's log: %w", err)
	}
	return log, nil
}
