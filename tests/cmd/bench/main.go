// Command bench runs stock buildx and relink by turns and writes what they cost
// into docs/benchmarks.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}

func run() error {
	page := flag.String("page", filepath.Join(bed.Root(), "docs", "benchmarks.md"), "page to write the table into; \"\" writes none")
	pairs := flag.Int("pairs", 21, "how often each pair is run")
	repeats := flag.Int("days", 5, "how often each build after a moved base is run")
	only := flag.String("only", "", `tables to make: "builds", "rebases", "diffs", "squashes" or "" for all`)
	peakFile := flag.String("peak", "", "run the command in the arguments and write its peak memory into this file; for the benchmarks' own use")
	flag.Parse()
	if *peakFile != "" {
		return peak(*peakFile, flag.Args())
	}

	if !slices.Contains([]string{"", "builds", "rebases", "diffs", "squashes"}, *only) {
		return fmt.Errorf("there is no table of %q", *only)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var results []result
	var days []dayTwoResult
	var rebases []rebaseResult
	var diffs []diffResult
	var squashes []squashResult
	err := bed.Alone(ctx, func(t testing.TB, b *bed.Bed) {
		r := &runner{t: t, bed: b, pairs: *pairs}
		if *only == "" || *only == "rebases" {
			rebases = r.rebases(*pairs)
			fmt.Println(rebaseTable(rebases, *pairs))
		}
		if *only == "" || *only == "diffs" {
			diffs = r.differences(*repeats)
			fmt.Println(diffTable(diffs, *repeats))
		}
		if *only == "" || *only == "squashes" {
			squashes = r.squashes(*repeats)
			fmt.Println(squashTable(squashes, *repeats))
		}
		if *only != "" && *only != "builds" {
			return
		}
		for _, c := range r.cases() {
			res := r.measure(c)
			fmt.Println(res)
			results = append(results, res)
		}
		for _, d := range r.daysTwo() {
			res := r.measureDayTwo(d, *repeats)
			fmt.Println(res.row())
			days = append(days, res)
		}
	})
	if err == nil && *page != "" && len(rebases) > 0 {
		err = writeTable(*page, beginRebases, rebaseTable(rebases, *pairs))
	}
	if err == nil && *page != "" && len(diffs) > 0 {
		err = writeTable(*page, beginDiffs, diffTable(diffs, *repeats))
	}
	if err == nil && *page != "" && len(squashes) > 0 {
		err = writeTable(*page, beginSquash, squashTable(squashes, *repeats))
	}
	if err != nil || *page == "" || len(results) == 0 {
		return err
	}
	return writeTable(*page, begin, table(results, *pairs)+"\n"+dayTwoTable(days, *repeats))
}
