package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// rows are the lines of the table: what is said of an outcome.
var rows = []struct {
	title string
	cell  func(outcome) string
}{
	{"time", func(o outcome) string { return seconds(o.took) }},
	{"RUN instructions run", func(o outcome) string { return fmt.Sprint(o.ran["RUN"]) }},
	{"COPY and WORKDIR run", func(o outcome) string { return fmt.Sprint(o.ran["COPY"] + o.ran["ADD"] + o.ran["WORKDIR"]) }},
	{"layers pulled", func(o outcome) string { return o.pulled.String() }},
	{"layers pushed", func(o outcome) string { return o.pushed.String() }},
	{"instructions linked", func(o outcome) string {
		if o.tail == 0 {
			return "-"
		}
		return fmt.Sprintf("%d of %d", o.linked, o.tail)
	}},
}

func printTable(to io.Writer, outcomes []outcome) {
	// What is printed goes to a terminal or a pipe; there is nothing to do
	// about an error of either.
	w := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	for _, o := range outcomes {
		fmt.Fprint(w, "\t", o.way.name)
	}
	fmt.Fprintln(w)
	for _, row := range rows {
		fmt.Fprint(w, "  ", row.title)
		for _, o := range outcomes {
			fmt.Fprint(w, "\t", row.cell(o))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	_ = w.Flush()
}

func (a amount) String() string {
	if a.layers == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (%s)", a.layers, size(a.bytes))
}

func size(bytes int64) string {
	switch {
	case bytes >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	case bytes >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	default:
		return fmt.Sprintf("%d B", bytes)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
