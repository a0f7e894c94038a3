package changes

import (
	"path"
	"strings"
)

// Tree is a file system, or what is known of one: of a tree above others that
// are not known, a path that no layer has may be there or not.
type Tree struct {
	root *node
	// above says that there may be more below the layers.
	above bool
}

type node struct {
	entry    *Entry // nil when the layers have nothing there
	children map[string]*node
	// cut says that the layers hide what is there from below, and all that is
	// under it; opaque, that they hide what is under it.
	cut, opaque bool
}

// NewTree makes the file system of layers, the lowest first.
func NewTree(layers ...Layer) *Tree {
	return (&Tree{root: &node{}}).With(layers...)
}

// NewTreeAbove makes the file system of layers that stand on others which are not
// known.
func NewTreeAbove(layers ...Layer) *Tree {
	return (&Tree{root: &node{}, above: true}).With(layers...)
}

// With is the file system with further layers on it. The tree itself stays what
// it is; both share the entries.
func (t *Tree) With(layers ...Layer) *Tree {
	out := &Tree{root: t.root.clone(), above: t.above}
	for _, l := range layers {
		out.apply(l)
	}
	return out
}

func (n *node) clone() *node {
	out := *n
	if n.children != nil {
		out.children = make(map[string]*node, len(n.children))
		for name, child := range n.children {
			out.children[name] = child.clone()
		}
	}
	return &out
}

// apply takes the whiteouts first: they speak of the layers below, wherever in
// their own layer they stand.
func (t *Tree) apply(layer Layer) {
	for _, e := range layer {
		switch {
		case e.Whiteout:
			n := t.make(e.Path, false)
			*n = node{cut: true}
		case e.Opaque:
			n := t.make(e.Path, false)
			n.children, n.opaque = nil, true
		}
	}
	for _, e := range layer {
		entry := e.Entry
		if e.Hardlink != "" {
			entry = t.find(e.Hardlink)
		}
		if entry != nil {
			t.make(e.Path, true).put(entry)
		}
	}
}

// put has an entry stand at a place. Only a directory on a directory keeps what
// was in it.
func (n *node) put(e *Entry) {
	if e.Type != Dir || n.entry != nil && n.entry.Type != Dir {
		n.children, n.cut = nil, true
	}
	n.entry = e
}

// make is the place of a path. With parents, what no layer has above it is made a
// directory, as it is when layers are unpacked.
func (t *Tree) make(name string, parents bool) *node {
	n, known := t.root, !t.above
	for rest := strings.Trim(name, "/"); rest != ""; {
		if parents && n != t.root {
			switch {
			case n.entry == nil && known, n.entry != nil && n.entry.Type != Dir:
				n.put(&Entry{Type: Dir, Mode: 0o755})
			}
		}
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		child := n.children[part]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[part] = child
		}
		known = known || n.opaque || n.cut || child.cut
		n = child
	}
	return n
}

// find is what stands at a path, nil when the layers have nothing there.
func (t *Tree) find(name string) *Entry {
	n := t.root
	for rest := strings.Trim(path.Clean("/"+name), "/"); rest != "" && n != nil; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		n = n.children[part]
	}
	if n == nil {
		return nil
	}
	return n.entry
}
