package skeleton

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Known is a Head of facts that were written down. What none of them has is
// ErrUnknown.
type Known struct {
	// Proved were read from this very base.
	Proved Facts
	// Repeated were read from the result of the same instructions, run before.
	Repeated Facts
	// Inherited were read from another base of the same repository.
	Inherited Facts
}

// NewKnown knows nothing.
func NewKnown() Known {
	return Known{Proved: NewFacts(), Repeated: NewFacts(), Inherited: NewFacts()}
}

// moved are the paths that distributions turn into links, or move, from one
// release to the next: facts about them are not inherited.
//
//   - /bin, /sbin, /lib*: the merge of these into /usr
//   - /usr/sbin, /usr/lib*: the merge of sbin into bin, multiarch
//   - /var/run, /var/lock: links to /run
//   - /etc/ssl, /etc/pki: certificates, which packages lay out anew
var moved = []string{"/bin", "/sbin", "/lib*", "/usr/sbin", "/usr/lib*", "/var/run", "/var/lock", "/etc/ssl", "/etc/pki"}

// Moves says whether distributions are known to move the path between releases.
func Moves(name string) bool {
	for _, m := range moved {
		prefix, wild := strings.CutSuffix(m, "*")
		if name == m || strings.HasPrefix(name, m+"/") || wild && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Lstat implements Head.
func (k Known) Lstat(_ context.Context, name string) (Entry, Evidence, error) {
	if e, ok := k.Proved.Paths[name]; ok {
		return e, Proved, nil
	}
	if e, ok := k.Repeated.Paths[name]; ok {
		return e, Inherited, nil
	}
	if e, ok := k.Inherited.Paths[name]; ok && !Moves(name) {
		return e, Inherited, nil
	}
	return Entry{}, 0, ErrUnknown
}

// List implements Head.
func (k Known) List(_ context.Context, dir string) ([]string, Evidence, error) {
	switch {
	case k.Proved.Listed[dir]:
		return k.Proved.names(dir, Dir, Symlink, File), Proved, nil
	case k.Repeated.Listed[dir]:
		return k.Repeated.names(dir, Dir, Symlink, File), Inherited, nil
	case k.Inherited.Listed[dir] && !Moves(dir):
		return k.Inherited.names(dir, Dir, Symlink, File), Inherited, nil
	default:
		return nil, 0, ErrUnknown
	}
}

// Tree says whether the source of an instruction is known to have been a
// directory.
func (k Known) Tree(instruction string) bool {
	return k.Proved.Trees[instruction] || k.Repeated.Trees[instruction] || k.Inherited.Trees[instruction]
}

// Line implements Head.
func (k Known) Line(_ context.Context, file, name string) (string, Evidence, error) {
	if l, ok := k.Proved.Lines[file][name]; ok {
		return l, Proved, nil
	}
	if l, ok := k.Repeated.Lines[file][name]; ok {
		return l, Inherited, nil
	}
	if l, ok := k.Inherited.Lines[file][name]; ok {
		return l, Inherited, nil
	}
	return "", 0, ErrUnknown
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
