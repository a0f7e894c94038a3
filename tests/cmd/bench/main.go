// Command bench runs relink and its peers by turns and writes what they cost
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
	"strings"
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
	page := flag.String("page", filepath.Join(bed.Root(), "docs", "benchmarks.md"), "page to write the tables into; \"\" writes none")
	pairs := flag.Int("pairs", 21, "how often each pair is run")
	repeats := flag.Int("days", 5, "how often what takes long is run")
	only := flag.String("only", "", "table to make, of "+strings.Join(names(), ", ")+"; \"\" makes all")
	peakFile := flag.String("peak", "", "run the command in the arguments and write its peak memory into this file; for the benchmarks' own use")
	flag.Parse()
	if *peakFile != "" {
		return peak(*peakFile, flag.Args())
	}
	if *only != "" && !slices.Contains(names(), *only) {
		return fmt.Errorf("there is no table of %q", *only)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return bed.Alone(ctx, func(t testing.TB, b *bed.Bed) {
		r := &runner{t: t, bed: b, pairs: *pairs, repeats: *repeats}
		for _, s := range sections {
			if *only != "" && *only != s.name {
				continue
			}
			table := s.make(r)
			fmt.Println(table)
			if *page == "" {
				continue
			}
			if err := writeTable(*page, s.name, table); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// section is a table of the page, by what is measured in it.
type section struct {
	name string
	make func(*runner) string
}

var sections = []section{
	{"builds", (*runner).buildTable},
	{"moved bases", (*runner).dayTwoTable},
	{"rebases", (*runner).rebaseTable},
	{"differences", (*runner).diffTable},
	{"squashes", (*runner).squashTable},
}

func names() []string {
	var out []string
	for _, s := range sections {
		out = append(out, s.name)
	}
	return out
}
