package memory

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"
)

// Dockerfiles remembers in a folder which Dockerfiles have had ranges (A..B), a file of
// nothing for each. It is a guess of what to do first, and never decides what is built:
// two Dockerfiles may have one name, and what once had ranges counts as having them.
type Dockerfiles struct {
	// Dir is the folder; it is made when something is kept. With "" nothing is.
	Dir string
	// At is the directory that the names of the Dockerfiles are relative to.
	At string
}

func (d Dockerfiles) file(name string, ranges bool) string {
	sum := sha256.Sum256([]byte(d.At + "\x00" + name))
	suffix := ".none"
	if ranges {
		suffix = ".ranges"
	}
	return filepath.Join(d.Dir, hex.EncodeToString(sum[:12])+suffix)
}

// HadNoRanges says that the Dockerfile was seen, and never with ranges.
func (d Dockerfiles) HadNoRanges(name string) bool {
	if d.Dir == "" || exists(d.file(name, true)) {
		return false
	}
	now := time.Now()
	return os.Chtimes(d.file(name, false), now, now) == nil // it is in use: only its pruning depends on that
}

// Keep writes down whether the Dockerfile has ranges now.
func (d Dockerfiles) Keep(name string, ranges bool) {
	file := d.file(name, ranges)
	if d.Dir == "" || exists(file) || os.MkdirAll(d.Dir, 0o700) != nil {
		return
	}
	if os.WriteFile(file, nil, 0o600) == nil {
		d.prune()
	}
}

// prune removes what has not been used for long.
func (d Dockerfiles) prune() {
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > maxAge {
			_ = os.Remove(filepath.Join(d.Dir, e.Name()))
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
