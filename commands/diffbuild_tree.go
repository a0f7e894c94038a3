package commands

import (
	"fmt"
	"io"
	"path"
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

// depth is how deep the directories are for which changes are summed up.
const depth = 2

// printStat prints sums by directory.
func (d *diffRun) printStat(out io.Writer, all []platformChanges) error {
	var sums []statLine
	for _, p := range all {
		sums = append(sums, statLines(p)...)
	}
	return printStatLines(out, d.format, sums, len(all) > 1)
}

// statLine is the sum of the changes below a directory.
type statLine struct {
	Platform                string `json:",omitempty"`
	Directory               string
	Added, Changed, Deleted int
	Files                   int
	Size                    int64
}

func statLines(p platformChanges) []statLine {
	byDir := map[string]*statLine{}
	total := &statLine{Platform: p.Platform, Directory: "total"}
	for _, c := range p.list {
		dir := statDir(c)
		if byDir[dir] == nil {
			byDir[dir] = &statLine{Platform: p.Platform, Directory: dir}
		}
		for _, line := range []*statLine{byDir[dir], total} {
			line.count(c)
		}
	}
	var lines []statLine
	for _, line := range byDir {
		lines = append(lines, *line)
	}
	slices.SortFunc(lines, func(a, b statLine) int { return strings.Compare(a.Directory, b.Directory) })
	return append(lines, *total)
}

// statDir is the directory, of the first few levels, that a path is in.
func statDir(c changes.Change) string {
	dir := path.Dir(c.Path)
	parts := strings.Split(strings.Trim(dir, "/"), "/")
	return "/" + strings.Join(parts[:min(depth, len(parts))], "/")
}

func (s *statLine) count(c changes.Change) {
	switch c.Kind {
	case changes.Added:
		s.Added++
	case changes.Changed:
		s.Changed++
	case changes.Deleted:
		s.Deleted++
	}
	s.Files += c.Files
	s.Size += c.Size
}
