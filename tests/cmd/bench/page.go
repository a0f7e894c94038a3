package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// end is where a table's place in the page ends.
const end = "<!-- to here -->\n"

// begin is where the place of a section's table begins.
func begin(section string) string {
	return "<!-- make bench writes what it finds about " + section + " from here -->\n"
}

// buildTable is the table of what both do.
func (r *runner) buildTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on a machine of %d cores and %s of memory, %d pairs each.\n\n", runtime.NumCPU(), memory(), r.pairs)
	b.WriteString("| | stock | relink | ratio | middle half |\n|:---|---:|---:|---:|:---:|\n")
	for _, c := range r.cases() {
		res := r.measure(c)
		fmt.Println(res)
		low, high := res.spread()
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %.2f – %.2f |\n", res.name, res.figure(median(res.stock)), res.figure(median(res.relink)), res.ratio(), low, high)
	}
	return b.String()
}

// dayTwoTable is the table of builds after the base has moved.
func (r *runner) dayTwoTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "After the base has moved, %d builds each, medians:\n\n", r.repeats)
	b.WriteString("| | stock | relink | ratio | stock pulled | relink pulled |\n|:---|---:|---:|---:|---:|---:|\n")
	for _, d := range r.daysTwo() {
		b.WriteString(r.measureDayTwo(d, r.repeats).row() + "\n")
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

// writeTable puts a section's table in its place in the page; the text around it
// is written by hand.
func writeTable(page, section, table string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	before, rest, ok := strings.Cut(string(data), begin(section))
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("reading the page: it has no place for the table of %s", section)
	}
	if err := os.WriteFile(page, []byte(before+begin(section)+"\n"+table+"\n"+end+after), 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
