// Command docker-init stands for the init that an Engine puts before the
// process of a container when it is asked to, as the docker-container driver
// does for its daemon. That daemon reaps its own children, so all that is left
// to do here is to become it.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "docker-init:", err)
		os.Exit(127)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command is given")
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("looking for the command: %w", err)
	}
	return syscall.Exec(path, args, os.Environ())
}
