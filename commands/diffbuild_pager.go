package commands

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// pager is where the list goes: through the user's pager when there is a
// terminal, as git does it. done waits until it has been read.
func (d *diffRun) pager() (out io.Writer, done func()) {
	stdout := d.dockerCli.Out()
	if d.noPager || !stdout.IsTerminal() || !d.dockerCli.In().IsTerminal() {
		return stdout, func() {}
	}
	name := pagerCommand(os.Getenv)
	if name == "" {
		return stdout, func() {}
	}
	cmd := exec.Command("sh", "-c", name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// What git sets, too: leave at once when all fits on the screen, let colours
	// through, and leave the list on the screen.
	cmd.Env = append([]string{"LESS=FRX", "LV=-c"}, os.Environ()...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return stdout, func() {}
	}
	if err := cmd.Start(); err != nil {
		return stdout, func() {}
	}
	var once sync.Once
	return untilClosed{in}, func() {
		once.Do(func() {
			_ = in.Close()
			_ = cmd.Wait() // How it was left is no failure of the list.
		})
	}
}

// pagerCommand is the user's pager, "" for none.
func pagerCommand(getenv func(string) string) string {
	for _, name := range []string{"RELINK_PAGER", "PAGER"} {
		if v := strings.TrimSpace(getenv(name)); v != "" {
			if v == "cat" {
				return ""
			}
			return v
		}
	}
	if _, err := exec.LookPath("less"); err != nil {
		return ""
	}
	return "less"
}

// untilClosed takes what a pager that was left does not read any more.
type untilClosed struct{ io.Writer }

func (w untilClosed) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
		return len(p), nil
	}
	return n, err
}
