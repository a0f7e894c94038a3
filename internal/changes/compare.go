package changes

import (
	"cmp"
	"maps"
	"path"
	"slices"
)

// Kind says what became of a path.
type Kind string

// The kinds of changes, as docker diff has them.
const (
	Added   Kind = "A"
	Changed Kind = "C"
	Deleted Kind = "D"
)

// Change is what became of a path. A directory is changed when its own mode,
// owner or attributes are; one that is gone stands for all that was in it.
type Change struct {
	Kind Kind
	Path string
	// Type is what the path is, or was. It is empty when that is not known.
	Type Type
	// What is another than before; of changed paths only.
	What []What
	// Size is the change of the size of files, in bytes.
	Size int64
	// Files is the number of files that came, went, or have changed.
	Files int
	// Assumed says that the other file system may have the path from below its
	// layers.
	Assumed bool
}

// Compare lists what the upper file system has other than the lower one, sorted
// by path. Both are above nothing, or above the same.
func Compare(lower, upper *Tree) []Change {
	c := &comparison{}
	l, u := lower.root, upper.root
	if l.entry != nil && u.entry != nil {
		c.entry("/", l, u, place{known: true}, place{known: true})
	}
	c.children("/", l, u, !lower.above, !upper.above)
	slices.SortFunc(c.changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return c.changes
}

type comparison struct{ changes []Change }

// place is what is known of one side at a path.
type place struct {
	entry *Entry
	known bool // no entry means that there is nothing
}

// at is the child of a directory, of which known says whether what is not there
// is known not to be there.
func at(dir *node, name string, known bool) (*node, place) {
	var n *node
	if dir != nil {
		n = dir.children[name]
		known = known || dir.opaque || dir.cut || dir.entry != nil && dir.entry.Type != Dir
	}
	if n == nil {
		return nil, place{known: known}
	}
	return n, place{entry: n.entry, known: known || n.cut || n.entry != nil}
}

func (c *comparison) children(dir string, lower, upper *node, lowerKnown, upperKnown bool) {
	names := map[string]bool{}
	for _, n := range []*node{lower, upper} {
		if n != nil {
			for name := range n.children {
				names[name] = true
			}
		}
	}
	for name := range maps.Keys(names) {
		l, lp := at(lower, name, lowerKnown)
		u, up := at(upper, name, upperKnown)
		if c.entry(path.Join(dir, name), l, u, lp, up) {
			c.children(path.Join(dir, name), l, u, lp.known && lp.entry == nil || lowerKnown, up.known && up.entry == nil || upperKnown)
		}
	}
}

// entry compares what stands at a path, and says whether what is below it is to
// be compared as well.
func (c *comparison) entry(name string, l, u *node, lower, upper place) (descend bool) {
	switch {
	case lower.entry != nil && upper.entry != nil:
		c.both(name, l, u)
		return upper.entry.Type == Dir
	case upper.entry != nil:
		c.one(Added, name, u, !lower.known)
		return true
	case lower.entry != nil && upper.known:
		gone := count(l)
		c.add(Change{Kind: Deleted, Path: name, Type: lower.entry.Type, Size: -gone.size, Files: gone.files})
		return false
	case lower.entry != nil:
		c.one(Deleted, name, l, true)
		return true
	case lower.known != upper.known:
		// What hides a path that is not known hides something.
		kind := Deleted
		if lower.known {
			kind = Added
		}
		c.add(Change{Kind: kind, Path: name})
		return false
	default:
		return !upper.known
	}
}

// one lists what only one side is known to have. Layers have the directories
// above their files, too, most of which are in the other side from below: of
// directories that are only assumed the empty ones are listed.
func (c *comparison) one(kind Kind, name string, n *node, assumed bool) {
	switch {
	case assumed && n.opaque:
		// What was in it is gone, and there is no telling what that was.
		c.add(Change{Kind: Changed, Path: name, Type: n.entry.Type, Assumed: true})
		return
	case assumed && n.entry.Type == Dir && len(n.children) > 0:
		return
	}
	size, files := own(n.entry)
	if kind == Deleted {
		size = -size
	}
	c.add(Change{Kind: kind, Path: name, Type: n.entry.Type, Size: size, Files: files, Assumed: assumed})
}

func (c *comparison) both(name string, l, u *node) {
	if l.entry == u.entry {
		return
	}
	what := differs(l.entry, u.entry)
	if len(what) == 0 {
		return
	}
	before, _ := own(l.entry)
	if u.entry.Type != Dir {
		before = count(l).size
	}
	after, files := own(u.entry)
	c.add(Change{Kind: Changed, Path: name, Type: u.entry.Type, What: what, Size: after - before, Files: files})
}

func (c *comparison) add(change Change) { c.changes = append(c.changes, change) }

func own(e *Entry) (size int64, files int) {
	if e.Type == File {
		return e.Size, 1
	}
	return 0, 0
}

type counted struct {
	size  int64
	files int
}

// count sums up a path with all below it.
func count(n *node) (sum counted) {
	if n.entry != nil {
		sum.size, sum.files = own(n.entry)
	}
	for _, child := range n.children {
		below := count(child)
		sum.size += below.size
		sum.files += below.files
	}
	return sum
}

// Total sums up the changes of one kind.
type Total struct {
	Paths, Files int
	Bytes        int64
}

// Totals sums up changes by their kinds.
func Totals(list []Change) map[Kind]Total {
	totals := map[Kind]Total{}
	for _, c := range list {
		t := totals[c.Kind]
		t.Paths++
		t.Files += c.Files
		t.Bytes += c.Size
		totals[c.Kind] = t
	}
	return totals
}
