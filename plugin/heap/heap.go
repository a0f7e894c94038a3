// Package heap has the garbage collector begin later than it would. It is imported for
// that, and does it before most other packages are initialised.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
)

// The collector begins at 16 MiB, not at 4, and then works as ever: almost all that
// the start allocates is there to stay, and looking through it again and again took a
// sixth of the start.
func init() {
	if os.Getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(400)
	runtime.AddCleanup(new(firstGarbage), func(percent int) { debug.SetGCPercent(percent) }, usual)
}

// firstGarbage is what the first collection finds. It is not so small that it could
// share its memory with what stays.
type firstGarbage [64]byte
