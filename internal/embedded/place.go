//go:build !no_embedded

package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/sys/atomicwriter"

	"github.com/docker-relink/relink/internal/errdefs"
)

// longestSocket is what fits into the address of a socket on every system.
const longestSocket = 100

// Place is the folder of one builder: its state, its socket, its log and its
// locks. There is one daemon for a place.
type Place struct{ Dir string }

// FindPlace gives the place of the user who runs this, and makes nothing.
func FindPlace() (Place, error) {
	dir := os.Getenv(DirVar)
	switch {
	case dir != "":
	case os.Geteuid() == 0:
		// Not root's home: with sudo that may be the user's.
		dir = "/var/lib/docker-relink"
	case os.Getenv("XDG_DATA_HOME") != "":
		dir = filepath.Join(os.Getenv("XDG_DATA_HOME"), "docker-relink")
	default:
		home, err := os.UserHomeDir()
		if err != nil {
			return Place{}, errdefs.Invalidf("Set "+DirVar+" to a folder for it.", "finding a folder for the embedded builder: %w", err)
		}
		dir = filepath.Join(home, ".local", "share", "docker-relink")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Place{}, fmt.Errorf("finding a folder for the embedded builder: %w", err)
	}
	return Place{Dir: abs}, nil
}

// State is the folder of the engine.
func (p Place) State() string { return filepath.Join(p.Dir, "state") }

// Log is the file with what the daemon says.
func (p Place) Log() string { return filepath.Join(p.Dir, "log") }

// Socket is where the daemon listens: in the place itself, or where that is too
// long for a socket, in a folder of the user's for temporary files.
func (p Place) Socket() string {
	socket := filepath.Join(p.Dir, "run", "builder.sock")
	if len(socket) <= longestSocket {
		return socket
	}
	sum := sha256.Sum256([]byte(p.Dir))
	return filepath.Join(os.TempDir(), fmt.Sprintf("docker-relink-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])), "builder.sock")
}

// Endpoint is the socket as BuildKit's clients name it.
func (p Place) Endpoint() string { return "unix://" + p.Socket() }

// make makes the folders that only the user may look into.
func (p Place) make() error {
	for _, dir := range []string{p.Dir, filepath.Dir(p.Socket())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return errdefs.Unsupportedf("Set "+DirVar+" to a folder that you can write to.", "making the embedded builder's folder: %w", err)
		}
		if err := private(dir); err != nil {
			return err
		}
	}
	return nil
}

// starting is held shared by those who connect to the daemon and exclusively by
// whoever starts one or, being the daemon, is about to leave.
func (p Place) starting() *flock.Flock { return flock.New(filepath.Join(p.Dir, "starting.lock")) }

// alive is held by the daemon as long as it uses the state.
func (p Place) alive() *flock.Flock { return flock.New(filepath.Join(p.Dir, "alive.lock")) }

// Record is what a daemon says about itself in its place.
type Record struct {
	PID     int           `json:"pid"`
	Version string        `json:"version"`
	Config  string        `json:"config,omitempty"`
	Mode    Mode          `json:"mode"`
	Idle    time.Duration `json:"idle"`
	Stay    bool          `json:"stay,omitempty"`
	Started time.Time     `json:"started"`
}

// Leaves says when the daemon leaves by itself, for the user.
func (r Record) Leaves() string {
	if r.Stay {
		return "when it is stopped"
	}
	return fmt.Sprintf("when it has been idle for %s", r.Idle)
}

// Running gives the record of the daemon that runs in the place, nil when none
// does.
func (p Place) Running() (*Record, error) {
	if _, err := os.Stat(p.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	// Shared, for others may ask at the same time.
	lock := p.alive()
	free, err := lock.TryRLock()
	if err != nil {
		return nil, fmt.Errorf("looking for the embedded builder: %w", err)
	}
	if free {
		return nil, lock.Unlock()
	}
	data, err := os.ReadFile(p.record())
	if errors.Is(err, fs.ErrNotExist) {
		return &Record{}, nil // It is just starting.
	}
	if err != nil {
		return nil, fmt.Errorf("reading the embedded builder's record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("reading the embedded builder's record: %w", err)
	}
	return &r, nil
}

func (p Place) record() string { return filepath.Join(p.Dir, "daemon.json") }

func (p Place) write(r Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the embedded builder's record: %w", err)
	}
	if err := atomicwriter.WriteFile(p.record(), data, 0o600); err != nil {
		return fmt.Errorf("writing the embedded builder's record: %w", err)
	}
	return nil
}

// Size is the number of bytes of the files in the place, as far as the user can
// see them.
func (p Place) Size() int64 {
	var size int64
	// A daemon that runs makes and removes files all the while.
	_ = filepath.WalkDir(p.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // What cannot be read is not counted.
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}
