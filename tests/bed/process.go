package bed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is an engine that the bed started. Only what has a process is ever
// stopped by the bed.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	// stdout and stderr are the files that hold what the engine printed.
	stdout, stderr string
}

// startProcess starts a daemon with its output in files beside prefix.
func startProcess(name, prefix string, env []string, command string, args ...string) (*process, error) {
	p := &process{
		name:   name,
		cmd:    exec.Command(command, args...),
		done:   make(chan struct{}),
		stdout: prefix + ".stdout",
		stderr: prefix + ".stderr",
	}
	stdout, err := os.Create(p.stdout)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer stdout.Close()
	stderr, err := os.Create(p.stderr)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer stderr.Close()
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	p.cmd.Env = append(os.Environ(), env...)
	// A test that panics or is killed must leave no daemon behind; a group of
	// its own keeps a ctrl-C at the terminal from stopping it before us.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}

	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// run holds the thread that started the daemon until the daemon has ended: the
// kernel sends the death signal when that thread ends, not the process.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // The exit status is read from ProcessState.
		close(p.done)
	}
}

// waitFor polls ready until it says true, and shows what the daemon printed
// when it ends or takes too long instead.
func (p *process) waitFor(ready func() bool, timeout time.Duration) error {
	deadline := time.After(timeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%s):\n%s", p.name, p.cmd.ProcessState, p.output())
		case <-deadline:
			return fmt.Errorf("%s was not ready after %s:\n%s", p.name, timeout, p.output())
		case <-tick.C:
			if ready() {
				return nil
			}
		}
	}
}

func (p *process) output() string {
	var out string
	for _, file := range []string{p.stdout, p.stderr} {
		if data, err := os.ReadFile(file); err == nil {
			out += string(data)
		}
	}
	return out
}

// stop asks the daemon to end, and makes it end when it does not.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(20 * time.Second):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return nil
}
