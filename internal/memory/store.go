// Package memory remembers what is known of bases: in the user's cache folder,
// and in the annotations of images that the user named.
package memory

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/atomicwriter"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/skeleton"
)

// How much is kept: facts that no build has used for so long are forgotten, and
// of one repository no more than so many bases are known.
const (
	maxAge   = 90 * 24 * time.Hour
	maxBases = 16
)

// Store keeps facts in a folder, one file a base. Files are replaced as a whole,
// so commands may run side by side; of two that write about one base the last one
// wins, and the other's facts are read again when they are missed. The builds of one
// command, such as a bake, share a store: it reads a base's files once, and what they
// write adds up.
type Store struct {
	// Dir is the folder; it is made when something is kept.
	Dir string

	mu    sync.Mutex
	known map[frontend.Base][]frontend.Remembered
}

// prefix is what the file names of a repository's bases begin with: one name
// for a repository and a platform, as those of definitions are not related.
func prefix(b frontend.Base) string {
	sum := sha256.Sum256([]byte(b.Repository + "\x00" + b.Platform))
	return hex.EncodeToString(sum[:8]) + "-"
}

func (s *Store) file(b frontend.Base) string {
	sum := sha256.Sum256([]byte(b.Digest))
	return filepath.Join(s.Dir, prefix(b)+hex.EncodeToString(sum[:8])+".json")
}

// Recall returns what is known of the base, then what is known of others of its
// repository, the latest first. A file that cannot be read is as if it were not
// there.
func (s *Store) Recall(base frontend.Base) []frontend.Remembered {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[base]
	if !ok {
		known = s.recall(base)
		if s.known == nil {
			s.known = map[frontend.Base][]frontend.Remembered{}
		}
		s.known[base] = known
	}
	return slices.Clone(known)
}

func (s *Store) recall(base frontend.Base) []frontend.Remembered {
	var out []frontend.Remembered
	if r, ok := s.read(s.file(base)); ok && r.Base == base {
		out = append(out, r)
		now := time.Now()
		_ = os.Chtimes(s.file(base), now, now) // it is in use: only its pruning depends on that
	}
	if base.Repository == "" {
		return out
	}
	for _, f := range s.files(prefix(base)) {
		r, ok := s.read(f.path)
		if ok && r.Base.Repository == base.Repository && r.Base.Digest != base.Digest {
			out = append(out, r)
		}
	}
	return out
}

func (s *Store) read(name string) (frontend.Remembered, bool) {
	dt, err := os.ReadFile(name)
	if err != nil {
		return frontend.Remembered{}, false
	}
	base, facts, err := frontend.DecodeFacts(string(dt))
	if err != nil {
		return frontend.Remembered{}, false
	}
	return frontend.Remembered{Base: base, Facts: facts, From: "remembered here", Local: true}, true
}

// Keep adds facts to what is known of the base. A folder that cannot be written
// costs later builds time and is no error of this one.
func (s *Store) Keep(base frontend.Base, facts skeleton.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = nil // It may be a part of what is known of other bases.
	all := skeleton.NewFacts()
	if r, ok := s.read(s.file(base)); ok && r.Base == base {
		all.Add(r.Facts)
	}
	all.Add(facts)
	value, err := frontend.EncodeFacts(base, all)
	if err != nil || value == "" {
		// Too much has come together: what this build needs is what counts.
		if value, err = frontend.EncodeFacts(base, facts); err != nil || value == "" {
			return
		}
	}
	if os.MkdirAll(s.Dir, 0o700) != nil {
		return
	}
	if atomicwriter.WriteFile(s.file(base), []byte(value), 0o600) == nil {
		s.prune(prefix(base))
	}
}

type storedFile struct {
	path string
	used time.Time
}

// files are the store's files whose names begin so, the latest first.
func (s *Store) files(prefix string) []storedFile {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil
	}
	var out []storedFile
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), prefix) || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		out = append(out, storedFile{filepath.Join(s.Dir, e.Name()), info.ModTime()})
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].used.Equal(out[j].used) {
			return out[i].used.After(out[j].used)
		}
		return out[i].path < out[j].path
	})
	return out
}

// prune removes what has not been used for long, and the oldest of a repository
// that has too many.
func (s *Store) prune(repository string) {
	for _, f := range s.files("") {
		if time.Since(f.used) > maxAge {
			_ = os.Remove(f.path)
		}
	}
	for i, f := range s.files(repository) {
		if i >= maxBases {
			_ = os.Remove(f.path)
		}
	}
}
