// Package heap has the garbage collector begin later than it would. It is imported for
// that, and does it before most other packages are initialised.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The collector begins at 16 MiB, not at 4: almost all that the start allocates is there
// to stay, and looking through it again and again took a sixth of the start. And as long
// as little is alive it lets the heap grow to five times that, not twice: a command is
// over soon, and a bake of many targets has both processors busy. Then it works as ever.
func init() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(eager)
		watch()
	}
}

const (
	eager = 400
	usual = 100
	// little is how much may be alive, in bytes, so that the heap is 80 MiB at most.
	little = 16 << 20
)

// watch has the collector work as ever after the first collection that finds much alive.
func watch() {
	runtime.AddCleanup(new(garbage), func(struct{}) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		if metrics.Read(live); live[0].Value.Uint64() > little {
			debug.SetGCPercent(usual)
			return
		}
		watch()
	}, struct{}{})
}

// garbage is what the next collection finds. It is not so small that it could share its
// memory with what stays.
type garbage [64]byte
