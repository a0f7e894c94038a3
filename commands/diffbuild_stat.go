package commands

import (
	"io"
	"path"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command/formatter"

	"github.com/docker-relink/relink/internal/changes"
)

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

// printStatLines prints sums in the chosen format; the list's own is a table.
func printStatLines(out io.Writer, format string, lines []statLine, many bool) error {
	if format == "list" || format == "table" {
		format = "table {{.Directory}}\t{{.Added}}\t{{.Changed}}\t{{.Deleted}}\t{{.Files}}\t{{.Change}}"
		if many {
			format = "table {{.Platform}}\t" + format[len("table "):]
		}
	}
	header := formatter.SubHeaderContext{
		"Directory": "DIRECTORY", "Added": "ADDED", "Changed": "CHANGED", "Deleted": "DELETED",
		"Files": "FILES", "Change": "SIZE", "Size": "SIZE", "Platform": "PLATFORM",
	}
	var rows []formatter.SubContext
	for _, line := range lines {
		rows = append(rows, &statRow{line: line})
	}
	return printRows(out, format, &statRow{HeaderContext: formatter.HeaderContext{Header: header}}, rows)
}

// statRow is a sum to templates.
type statRow struct {
	formatter.HeaderContext
	line statLine
}

// MarshalJSON is the sum with all that templates know of it.
func (r *statRow) MarshalJSON() ([]byte, error) { return formatter.MarshalJSON(r) }

// Directory is the directory that the sum is of.
func (r *statRow) Directory() string { return r.line.Directory }

// Added is the number of paths that were added.
func (r *statRow) Added() int { return r.line.Added }

// Changed is the number of paths that have changed.
func (r *statRow) Changed() int { return r.line.Changed }

// Deleted is the number of paths that were deleted.
func (r *statRow) Deleted() int { return r.line.Deleted }

// Files is the number of files among them.
func (r *statRow) Files() int { return r.line.Files }

// Size is the change of size in bytes.
func (r *statRow) Size() int64 { return r.line.Size }

// Change is the change of size as people read it.
func (r *statRow) Change() string { return signed(r.line.Size) }

// Platform is the platform of the image.
func (r *statRow) Platform() string { return r.line.Platform }
