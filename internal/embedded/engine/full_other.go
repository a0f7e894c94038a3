//go:build !no_embedded && !linux

package engine

import "runtime"

// full is for Linux alone: nothing else has what the snapshots are made of.
func full(Options) (able, error) {
	return able{}, ReasonError("the embedded builder unpacks layers and runs commands on Linux only, and this is " + runtime.GOOS)
}
