package skeleton

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Evidence says how a fact is known, the strongest first.
type Evidence int

const (
	// Proved is read from this very base: the same digest and platform.
	Proved Evidence = iota
	// Read is read now, on the builder.
	Read
	// Inherited is read from an earlier base of the same repository.
	Inherited
)

// String is the evidence as the report names it.
func (e Evidence) String() string {
	return [...]string{"proved", "read now", "inherited"}[e]
}

// Facts are what is known of a head.
type Facts struct {
	// Paths says what stands at a path; all its parents are there as well.
	Paths map[string]Entry
	// Lines are the lines of user databases by file and name, "" for a name
	// that is not there.
	Lines map[string]map[string]string
	// Listed are the directories of which every entry is in Paths.
	Listed map[string]bool
	// Trees are instructions whose source was a directory.
	Trees map[string]bool
}

// NewFacts makes facts about nothing.
func NewFacts() Facts {
	return Facts{
		Paths:  map[string]Entry{},
		Lines:  map[string]map[string]string{},
		Listed: map[string]bool{},
		Trees:  map[string]bool{},
	}
}

// Add puts the other facts into these, over what they say.
func (f Facts) Add(other Facts) {
	for p, e := range other.Paths {
		f.Paths[p] = e
	}
	maps.Copy(f.Listed, other.Listed)
	maps.Copy(f.Trees, other.Trees)
	for file, lines := range other.Lines {
		if f.Lines[file] == nil {
			f.Lines[file] = map[string]string{}
		}
		for name, line := range lines {
			f.Lines[file][name] = line
		}
	}
}

// Differs returns a path or a name that the other facts know differently, ""
// when there is none. What only one of them knows is no difference.
func (f Facts) Differs(other Facts) string {
	for _, p := range sortedKeys(f.Paths) {
		if o, ok := other.Paths[p]; ok && !f.Paths[p].same(o) {
			return p
		}
	}
	for _, dir := range sortedKeys(f.Listed) {
		// A file that is new there is replaced as if it were not; a directory or a
		// link is not.
		if other.Listed[dir] && !slices.Equal(f.names(dir, Dir, Symlink), other.names(dir, Dir, Symlink)) {
			return dir
		}
	}
	for _, file := range sortedKeys(f.Lines) {
		for _, name := range sortedKeys(f.Lines[file]) {
			if o, ok := other.Lines[file][name]; ok && f.Lines[file][name] != o {
				return file + " (" + name + ")"
			}
		}
	}
	return ""
}

// HasFiles says whether a file is known at a path, or below it.
func (f Facts) HasFiles(name string) bool {
	for p, e := range f.Paths {
		if e.Kind == File && (p == name || strings.HasPrefix(p, strings.TrimSuffix(name, "/")+"/")) {
			return true
		}
	}
	return false
}

// names are the names of the given kinds in a directory that was listed.
func (f Facts) names(dir string, kinds ...Kind) []string {
	var out []string
	for _, p := range sortedKeys(f.Paths) {
		if path.Dir(p) == dir && slices.Contains(kinds, f.Paths[p].Kind) {
			out = append(out, path.Base(p))
		}
	}
	return out
}

// same compares what matters of an entry for its kind.
func (e Entry) same(o Entry) bool {
	switch {
	case e.Kind != o.Kind:
		return false
	case e.Kind == Dir:
		return e == o
	case e.Kind == Symlink:
		return e.Target == o.Target
	default:
		return true
	}
}

// Bounds of written facts: a document beyond them is refused.
const (
	maxDocument = 64 << 10
	maxEntries  = 2000
	maxPath     = 1024
)

// document is the written form: one array an entry, to be short. A directory is
// ["d", mode, uid, gid], a symbolic link ["l", target], another file
// ["f", size, time, 1 if it has extended attributes], nothing ["-"].
type document struct {
	Paths  map[string][]any             `json:"paths,omitempty"`
	Lines  map[string]map[string]string `json:"lines,omitempty"`
	Listed []string                     `json:"listed,omitempty"`
	Trees  []string                     `json:"trees,omitempty"`
}

// MarshalJSON writes the facts in their short form, in a fixed order.
func (f Facts) MarshalJSON() ([]byte, error) {
	doc := document{Paths: map[string][]any{}, Lines: f.Lines, Listed: sortedKeys(f.Listed), Trees: sortedKeys(f.Trees)}
	for p, e := range f.Paths {
		switch e.Kind {
		case Dir:
			doc.Paths[p] = []any{"d", e.Mode, e.UID, e.GID}
		case Symlink:
			doc.Paths[p] = []any{"l", e.Target}
		case File:
			// The time is text: nanoseconds are more than a JSON number holds.
			doc.Paths[p] = []any{"f", e.Size, strconv.FormatInt(e.ModTime, 10), btoi(e.Xattrs)}
		default:
			doc.Paths[p] = []any{"-"}
		}
	}
	return json.Marshal(doc)
}

// UnmarshalJSON reads facts from anybody: whatever is not plain is an error,
// and nothing is taken from a document that has one.
func (f *Facts) UnmarshalJSON(dt []byte) error {
	if len(dt) > maxDocument {
		return fmt.Errorf("facts of %d bytes are too large", len(dt))
	}
	var doc document
	if err := json.Unmarshal(dt, &doc); err != nil {
		return err
	}
	if len(doc.Paths) > maxEntries {
		return fmt.Errorf("%d facts are too many", len(doc.Paths))
	}
	read := NewFacts()
	for p, raw := range doc.Paths {
		e, err := parseEntry(p, raw)
		if err != nil {
			return fmt.Errorf("a fact about %q: %w", p, err)
		}
		read.Paths[p] = e
	}
	for p := range read.Paths {
		if dir := path.Dir(p); dir != "/" && read.Paths[dir].Kind != Dir {
			return fmt.Errorf("a fact about %q: its parent is no directory", p)
		}
	}
	for _, dir := range doc.Listed {
		if read.Paths[dir].Kind != Dir {
			return fmt.Errorf("a list of %q, which is no directory", dir)
		}
		read.Listed[dir] = true
	}
	for _, instruction := range doc.Trees {
		read.Trees[instruction] = true
	}
	for file, lines := range doc.Lines {
		for name, line := range lines {
			if line != "" && FindLine([]byte(line), name) != line {
				return fmt.Errorf("a fact about %q in %q is not its line", name, file)
			}
		}
		read.Lines[file] = lines
	}
	*f = read
	return nil
}

func parseEntry(p string, raw []any) (Entry, error) {
	if p == "/" || !path.IsAbs(p) || path.Clean(p) != p || len(p) > maxPath || strings.ContainsRune(p, 0) {
		return Entry{}, errors.New("not a plain path")
	}
	kind, _ := first(raw).(string)
	switch {
	case kind == "d" && len(raw) == 4:
		mode, ok1 := number(raw[1], 0o7777)
		uid, ok2 := number(raw[2], 1<<32-1)
		gid, ok3 := number(raw[3], 1<<32-1)
		if !ok1 || !ok2 || !ok3 {
			return Entry{}, errors.New("not a directory's mode and owner")
		}
		return Entry{Kind: Dir, Mode: mode, UID: uid, GID: gid}, nil
	case kind == "l" && len(raw) == 2:
		target, ok := raw[1].(string)
		if !ok || target == "" || len(target) > maxPath || strings.ContainsRune(target, 0) || climbs(p, target) {
			return Entry{}, errors.New("not a link that stays below the root")
		}
		return Entry{Kind: Symlink, Target: target}, nil
	case kind == "f" && len(raw) == 4:
		return parseFile(raw)
	case kind == "-" && len(raw) == 1:
		return Entry{}, nil
	default:
		return Entry{}, errors.New("of an unknown form")
	}
}

func parseFile(raw []any) (Entry, error) {
	size, ok := raw[1].(float64)
	text, isText := raw[2].(string)
	at, err := strconv.ParseInt(text, 10, 64)
	xattrs, isFlag := number(raw[3], 1)
	if !ok || size < 0 || size > 1<<52 || size != float64(int64(size)) || !isText || err != nil || !isFlag {
		return Entry{}, errors.New("not a file's size and time")
	}
	return Entry{Kind: File, Size: int64(size), ModTime: at, Xattrs: xattrs == 1}, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func first(raw []any) any {
	if len(raw) == 0 {
		return nil
	}
	return raw[0]
}

func number(v any, limit uint32) (uint32, bool) {
	n, ok := v.(float64)
	return uint32(n), ok && n >= 0 && n <= float64(limit) && n == float64(uint32(n))
}

// climbs says whether a link's target, taken by its letters, climbs above the
// root.
func climbs(p, target string) bool {
	depth := len(split(path.Dir(p)))
	if path.IsAbs(target) {
		depth = 0
	}
	for _, part := range split(target) {
		if part == ".." {
			if depth--; depth < 0 {
				return true
			}
		} else {
			depth++
		}
	}
	return false
}
