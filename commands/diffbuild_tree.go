package commands

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/docker-relink/relink/internal/changes"
)

// branch is a directory of the tree of changes.
type branch struct {
	name     string
	change   *changes.Change // nil for a directory that is on the way only
	children map[string]*branch
	size     int64 // of all changes at and below it
}

func grow(list []changes.Change) *branch {
	root := &branch{name: "/"}
	for _, c := range list {
		b := root
		b.size += c.Size
		for _, part := range strings.Split(strings.Trim(c.Path, "/"), "/") {
			if part == "" {
				continue
			}
			if b.children[part] == nil {
				if b.children == nil {
					b.children = map[string]*branch{}
				}
				b.children[part] = &branch{name: part}
			}
			b = b.children[part]
			b.size += c.Size
		}
		b.change = &c
	}
	return root
}

func printTree(out io.Writer, paint colours, all []platformChanges) {
	for _, p := range all {
		top := "/"
		if len(all) > 1 {
			top = p.Platform + ": /"
		}
		root := grow(p.list)
		fmt.Fprintln(out, describe(root, paint, top))
		printBranches(out, paint, root, "")
	}
}

func printBranches(out io.Writer, paint colours, b *branch, indent string) {
	names := make([]string, 0, len(b.children))
	for name := range b.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		child := b.children[name]
		corner, below := "├── ", "│   "
		if i == len(names)-1 {
			corner, below = "└── ", "    "
		}
		fmt.Fprintln(out, indent+corner+describe(child, paint, printable(child.name)))
		printBranches(out, paint, child, indent+below)
	}
}

func describe(b *branch, paint colours, name string) string {
	size := ""
	if b.size != 0 {
		size = " (" + signed(b.size) + ")"
	}
	if b.change == nil {
		return name + size
	}
	what := ""
	if words := whats(*b.change); len(words) > 0 {
		what = " " + strings.Join(words, ", ")
	}
	return paint.paint(b.change.Kind, fmt.Sprintf("%s %s", b.change.Kind, name)) + size + what
}
