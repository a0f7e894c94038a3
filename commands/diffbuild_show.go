package commands

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/go-units"

	"github.com/docker-relink/relink/internal/changes"
)

// show prints the list in the way that was chosen, and the sums on stderr.
func (d *diffRun) show(parts *diffParts) error {
	all, err := parts.changes(d.progress())
	if err != nil {
		return err
	}
	out, done := d.pager()
	defer done()
	different := false
	for _, p := range all {
		different = different || len(p.list) > 0
	}
	w := bufio.NewWriter(out)
	switch {
	case d.stat:
		err = d.printStat(w, all)
	case d.tree:
		printTree(w, d.colours(), all)
	default:
		err = d.printList(w, all)
	}
	if err := errors.Join(err, w.Flush()); err != nil {
		return err
	}
	done()
	if !silent(d.build) {
		d.summary(parts, all)
	}
	return d.different(different)
}

// progress shows how far the reading of layers is, on a terminal.
func (d *diffRun) progress() func(done, all int) {
	stderr := d.dockerCli.Err()
	if !stderr.IsTerminal() || silent(d.build) {
		return func(int, int) {}
	}
	return func(done, all int) {
		fmt.Fprintf(stderr, "\rreading layers: %d of %d", done, all)
		if done == all {
			fmt.Fprint(stderr, "\r\x1b[K")
		}
	}
}

// summary says how much has changed, and what is not certain.
func (d *diffRun) summary(parts *diffParts, all []platformChanges) {
	stderr := d.dockerCli.Err()
	for _, p := range all {
		prefix := "diff: "
		if len(all) > 1 {
			prefix += p.Platform + ": "
		}
		fmt.Fprintf(stderr, "%sfrom %s to %s: %s\n", prefix, p.Lower.Name, p.Upper.Name, sums(p.list))
		if n := p.assumed(); n > 0 {
			fmt.Fprintf(stderr, "%snote: of %d paths it is not known whether the layers below, which both sides share, have them, too: neither the builder nor the sides' own layers say so. They are listed as if not; --exact pulls those layers and looks.\n", prefix, n)
		}
	}
	printNotes(stderr, parts.report)
}

func sums(list []changes.Change) string {
	if len(list) == 0 {
		return "no difference"
	}
	totals := changes.Totals(list)
	var words []string
	var bytes int64
	files := 0
	for _, k := range []struct {
		kind changes.Kind
		word string
	}{{changes.Added, "added"}, {changes.Changed, "changed"}, {changes.Deleted, "deleted"}} {
		t := totals[k.kind]
		bytes += t.Bytes
		files += t.Files
		if t.Paths > 0 {
			words = append(words, fmt.Sprintf("%d %s (%s, %s)", t.Paths, k.word, countFiles(t.Files), signed(t.Bytes)))
		}
	}
	return strings.Join(words, ", ") + fmt.Sprintf("; %s, %s in all", countFiles(files), signed(bytes))
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// signed writes a change of size.
func signed(bytes int64) string {
	if bytes < 0 {
		return "-" + units.HumanSizeWithPrecision(float64(-bytes), 3)
	}
	return "+" + units.HumanSizeWithPrecision(float64(bytes), 3)
}

// colour is how a kind of change looks on a terminal.
type colours map[changes.Kind]string

const colourOff = "\x1b[0m"

// colours are none where there is no terminal, or the user wants none
// (https://no-color.org).
func (d *diffRun) colours() colours {
	if !d.dockerCli.Out().IsTerminal() || os.Getenv("NO_COLOR") != "" {
		return nil
	}
	return colours{changes.Added: "\x1b[32m", changes.Changed: "\x1b[33m", changes.Deleted: "\x1b[31m"}
}

func (c colours) paint(kind changes.Kind, s string) string {
	if c[kind] == "" {
		return s
	}
	return c[kind] + s + colourOff
}

// printList prints a line for every change.
func (d *diffRun) printList(out io.Writer, all []platformChanges) error {
	if d.format != "list" {
		return d.printFormatted(out, all)
	}
	colours := d.colours()
	for _, p := range all {
		if len(all) > 1 {
			fmt.Fprintf(out, "%s:\n", p.Platform)
		}
		for _, c := range p.list {
			fmt.Fprintln(out, colours.paint(c.Kind, line(c)))
		}
	}
	return nil
}

// line is a change as docker diff writes it, with what docker diff does not say
// behind it.
func line(c changes.Change) string {
	var more []string
	if c.Size != 0 {
		more = append(more, signed(c.Size))
	}
	more = append(more, whats(c)...)
	if c.Kind == changes.Deleted && c.Type == changes.Dir {
		more = append(more, countFiles(c.Files))
	}
	if len(more) == 0 {
		return fmt.Sprintf("%s %s", c.Kind, printable(c.Path))
	}
	return fmt.Sprintf("%s %s (%s)", c.Kind, printable(c.Path), strings.Join(more, ", "))
}

// printable keeps a path on its line and in its colour.
func printable(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Sprintf("%q", path)
	}
	return path
}

func whats(c changes.Change) []string {
	var words []string
	for _, w := range c.What {
		words = append(words, string(w))
	}
	return words
}

// printFormatted prints the changes as docker's other lists are printed.
func (d *diffRun) printFormatted(out io.Writer, all []platformChanges) error {
	format := d.format
	header := formatter.SubHeaderContext{"Kind": "KIND", "Size": "SIZE", "Type": "TYPE", "What": "WHAT", "Path": "PATH", "Platform": "PLATFORM", "Files": "FILES", "Change": "SIZE"}
	if d.format == "table" {
		format = "table {{.Kind}}\t{{.Change}}\t{{.Type}}\t{{.What}}\t{{.Path}}"
		if len(all) > 1 {
			format = "table {{.Platform}}\t{{.Kind}}\t{{.Change}}\t{{.Type}}\t{{.What}}\t{{.Path}}"
		}
	}
	var rows []formatter.SubContext
	for _, p := range all {
		for _, c := range p.list {
			rows = append(rows, &changeRow{platform: p.Platform, c: c})
		}
	}
	return printRows(out, format, &changeRow{HeaderContext: formatter.HeaderContext{Header: header}}, rows)
}

// printRows prints rows in a format of docker's, whose table has the head of the
// first argument.
func printRows(out io.Writer, format string, head formatter.SubContext, rows []formatter.SubContext) error {
	ctx := formatter.Context{Output: out, Format: formatter.Format(format)}
	return ctx.Write(head, func(write func(formatter.SubContext) error) error {
		for _, row := range rows {
			if err := write(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// changeRow is a change to templates.
type changeRow struct {
	formatter.HeaderContext
	platform string
	c        changes.Change
}

// MarshalJSON is the change with all that templates know of it.
func (r *changeRow) MarshalJSON() ([]byte, error) { return formatter.MarshalJSON(r) }

// Kind is A, C or D.
func (r *changeRow) Kind() string { return string(r.c.Kind) }

// Path is the path.
func (r *changeRow) Path() string { return r.c.Path }

// Type is what the path is, or was.
func (r *changeRow) Type() string { return string(r.c.Type) }

// What says what has changed, parted by commas.
func (r *changeRow) What() string { return strings.Join(whats(r.c), ",") }

// Size is the change of size in bytes.
func (r *changeRow) Size() int64 { return r.c.Size }

// Change is the change of size as people read it.
func (r *changeRow) Change() string { return signed(r.c.Size) }

// Files is the number of files that the change stands for.
func (r *changeRow) Files() int { return r.c.Files }

// Platform is the platform of the image.
func (r *changeRow) Platform() string { return r.platform }

// Assumed says that the other side may have the path from layers that were not
// looked at.
func (r *changeRow) Assumed() bool { return r.c.Assumed }
