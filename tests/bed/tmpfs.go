package bed

import (
	"bufio"
	"fmt"
	"os"
	"syscall"
)

// memoryNeeded is how much memory has to be free for the engines' state to be
// kept in it, in KiB.
const memoryNeeded = 12 << 20

// mountMemory puts a file system of memory at dir where there is enough of it.
// The engines write every step of theirs to the disk at once, to be safe when the
// power fails; what they keep for a test need not be.
func mountMemory(dir string) error {
	free, err := memoryFree()
	if err != nil || free < memoryNeeded {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mounting memory at %s: %w", dir, err)
	}
	return nil
}

// memoryFree is the memory that is free or can be freed, in KiB.
func memoryFree() (kib int64, err error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("reading how much memory is free: %w", err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib, nil
		}
	}
	return 0, nil
}
