package commands

import (
	"io"

	"github.com/docker/cli/cli/command/formatter"
)

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
	ctx := formatter.Context{Output: out, Format: formatter.Format(format)}
	return ctx.Write(&statRow{HeaderContext: formatter.HeaderContext{Header: header}}, func(write func(formatter.SubContext) error) error {
		for _, line := range lines {
			if err := write(&statRow{line: line}); err != nil {
				return err
			}
		}
		return nil
	})
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
