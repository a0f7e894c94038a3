package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// The places of the tables in the page: of builds, and of rebases.
const (
	begin        = "<!-- make bench writes this -->\n"
	beginRebases = "<!-- make bench writes this about rebases -->\n"
	beginDiffs   = "<!-- make bench writes this about differences -->\n"
	beginSquash  = "<!-- make bench writes this about squashes -->\n"
	end          = "<!-- to here -->\n"
)

// table is the part of the page that is measured.
func table(results []result, pairs int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on a machine of %d cores and %s of memory, %d pairs each.\n\n", runtime.NumCPU(), memory(), pairs)
	b.WriteString("| | stock | relink | ratio | middle half |\n|:---|---:|---:|---:|:---:|\n")
	for _, r := range results {
		low, high := r.spread()
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %.2f – %.2f |\n", r.name, r.figure(median(r.stock)), r.figure(median(r.relink)), r.ratio(), low, high)
	}
	return b.String()
}

// dayTwoTable is the table of builds after the base has moved.
func dayTwoTable(results []dayTwoResult, repeats int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "After the base has moved, %d builds each, medians:\n\n", repeats)
	b.WriteString("| | stock | relink | ratio | stock pulled | relink pulled |\n|:---|---:|---:|---:|---:|---:|\n")
	for _, r := range results {
		b.WriteString(r.row() + "\n")
	}
	return b.String()
}

var memTotal = regexp.MustCompile(`MemTotal:\s+([0-9]+) kB`)

func memory() string {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "an unknown amount"
	}
	match := memTotal.FindSubmatch(info)
	if match == nil {
		return "an unknown amount"
	}
	kib, _ := strconv.ParseFloat(string(match[1]), 64) // Digits, by the expression.
	return fmt.Sprintf("%.0f GiB", kib/(1<<20))
}

// writeTable puts the table in its place in the page, which begins with a mark;
// the text around it is written by hand.
func writeTable(page, begin, table string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return errors.New("reading the page: it has no place for the table")
	}
	if err := os.WriteFile(page, []byte(before+begin+"\n"+table+"\n"+end+after), 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
