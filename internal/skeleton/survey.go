// Package skeleton makes the ground on which a tail is built instead of its
// head: a tiny state with just those paths of the head that the tail's
// operations look at. It reads through an interface and does no I/O itself.
package skeleton

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Kind is what stands at a path.
type Kind int

const (
	// Absent is nothing.
	Absent Kind = iota
	// Dir is a directory: its mode and owner matter, as a layer that adds to it
	// names it.
	Dir
	// Symlink is a symbolic link: its target matters.
	Symlink
	// File is anything else. Copies replace it or fail on it, so only that it
	// is there matters.
	File
)

// Entry is a fact: what stands at a path of the head.
type Entry struct {
	Kind Kind
	// Mode has the permission bits and setuid, setgid and sticky as in stat(2).
	Mode     uint32
	UID, GID uint32
	// Target is a symbolic link's.
	Target string
	// Xattrs says that there are extended attributes. No file operation could
	// give them to a directory of the skeleton.
	Xattrs bool
	// Size and ModTime (nanoseconds since 1970) are a file's. When a copy brings
	// the same, the engine may take the base's file to be unchanged and leave
	// it out of the layer, with the links and attributes that it has.
	Size, ModTime int64
}

// Head is what is known of the file system that the tail is built upon.
type Head interface {
	// Lstat says what stands at a path of which the parents are directories,
	// and by what evidence. ErrUnknown says that it is not known.
	Lstat(ctx context.Context, name string) (Entry, Evidence, error)
	// List returns the names in a directory, by what evidence. The path has no
	// symbolic link in it.
	List(ctx context.Context, dir string) ([]string, Evidence, error)
	// Line returns the line about a name in a user database (a file of the
	// format of passwd(5) or group(5)), "" when there is none. The path has no
	// symbolic link in it.
	Line(ctx context.Context, file, name string) (string, Evidence, error)
}

// ErrUnknown is a fact that a Head does not have.
var ErrUnknown = errors.New("not known of the base")

// Survey looks up paths of a head and remembers what it saw: all that was
// looked at is what the skeleton has.
type Survey struct {
	head     Head
	facts    Facts
	evidence Evidence
}

// NewSurvey starts with an empty skeleton.
func NewSurvey(head Head) *Survey { return &Survey{head: head, facts: NewFacts()} }

// Facts are all that was looked at.
func (s *Survey) Facts() Facts { return s.facts }

// Evidence is the weakest evidence of all that was looked at.
func (s *Survey) Evidence() Evidence { return s.evidence }

// Complete looks at everything below a directory, so that whatever is copied
// there finds what the head has. It is false, and nothing is looked at, when
// there are more entries than the limit.
func (s *Survey) Complete(ctx context.Context, dir string, limit int) (bool, error) {
	seen := NewFacts()
	weakest := Proved
	for todo := []string{dir}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		names, evidence, err := s.head.List(ctx, at)
		if err != nil {
			return false, fmt.Errorf("listing %s of the base: %w", at, err)
		}
		weakest = max(weakest, evidence)
		seen.Listed[at] = true
		for _, name := range names {
			p := path.Join(at, name)
			e, evidence, err := s.head.Lstat(ctx, p)
			if err != nil {
				return false, fmt.Errorf("looking at %s of the base: %w", p, err)
			}
			if weakest = max(weakest, evidence); e.Kind == Dir {
				todo = append(todo, p)
			}
			if e.Kind == Dir && e.Xattrs {
				return false, &UnfitError{Path: p, Reason: "has extended attributes"}
			}
			seen.Paths[p] = e
		}
		if len(seen.Paths) > limit {
			return false, nil
		}
	}
	s.note(weakest)
	s.facts.Add(seen)
	return true, nil
}

// NoteTree remembers that the source of an instruction was a directory: a hint,
// not a fact, for nothing rests upon it.
func (s *Survey) NoteTree(instruction string) { s.facts.Trees[instruction] = true }

func (s *Survey) note(e Evidence) { s.evidence = max(s.evidence, e) }

// Lstat says what stands at a path of which the parents are directories.
func (s *Survey) Lstat(ctx context.Context, name string) (Entry, error) {
	if name == "/" {
		return Entry{Kind: Dir, Mode: 0o755}, nil
	}
	e, evidence, err := s.head.Lstat(ctx, name)
	if err != nil {
		return Entry{}, fmt.Errorf("looking at %s of the base: %w", name, err)
	}
	s.note(evidence)
	if e.Kind == Dir && e.Xattrs {
		return e, &UnfitError{Path: name, Reason: "has extended attributes"}
	}
	s.facts.Paths[name] = e
	return e, nil
}

// maxLinks is how many symbolic links may be followed for one path, as in
// containerd's continuity/fs.RootPath, by which BuildKit resolves paths.
const maxLinks = 255

var errLinks = errors.New("too many symbolic links")

// Resolve follows the symbolic links of a path inside the head's root, as
// BuildKit's file operations do (continuity/fs.RootPath): the last component
// too, and a link that leads nowhere leads to the path it names.
func (s *Survey) Resolve(ctx context.Context, name string) (string, Entry, error) {
	at, rest := "/", split(name)
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		e, err := s.Lstat(ctx, next)
		if err != nil {
			return "", Entry{}, err
		}
		switch e.Kind {
		case Symlink:
			if links++; links > maxLinks {
				return "", Entry{}, &UnfitError{Path: name, Reason: errLinks.Error()}
			}
			rest = append(split(e.Target), rest[1:]...)
			if path.IsAbs(e.Target) {
				at = "/"
			}
		case Dir:
			at, rest = next, rest[1:]
		default:
			// Nothing, or no directory: there is nothing below it to look at.
			// Climbing out of what is not there is left to the engine.
			if hasParent(rest) {
				return "", Entry{}, &UnfitError{Path: name, Reason: "climbs out of a path that does not exist"}
			}
			if len(rest) > 1 {
				e = Entry{Kind: Absent}
			}
			return path.Join(append([]string{at}, rest...)...), e, nil
		}
	}
	e, err := s.Lstat(ctx, at)
	return at, e, err
}

func hasParent(parts []string) bool {
	for _, p := range parts {
		if p == ".." {
			return true
		}
	}
	return false
}

// split returns the components of a path without the empty ones and the dots;
// ".." is kept: after a link it is not lexical.
func split(name string) []string {
	var parts []string
	for _, p := range strings.Split(name, "/") {
		if p != "" && p != "." {
			parts = append(parts, p)
		}
	}
	return parts
}

// UnfitError is a fact that a skeleton cannot have.
type UnfitError struct {
	Path   string
	Reason string
}

func (u *UnfitError) Error() string { return u.Path + " " + u.Reason }
