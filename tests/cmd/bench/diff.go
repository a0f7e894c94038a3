package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// differ is a program that lists what one image has other than another.
type differ struct {
	name    string
	command func() *exec.Cmd
	// before prepares the next run; nil where there is nothing to do.
	before func()
}

// diffResult is what a program took.
type diffResult struct {
	name                string
	took, pulled, peaks []float64 // seconds, bytes and bytes
}

// differences runs the programs by turns on a bookworm and a trixie.
func (r *runner) differences(times int) []diffResult {
	differs := r.differs()
	results := make([]diffResult, len(differs))
	for n := range 1 + times {
		for i, d := range differs {
			took, pulled, peak := r.diffOnce(d)
			results[i].name = d.name
			if n == 0 {
				continue // to warm up
			}
			results[i].took = append(results[i].took, took)
			results[i].pulled = append(results[i].pulled, pulled)
			results[i].peaks = append(results[i].peaks, peak)
		}
	}
	return results
}

func (r *runner) differs() []differ {
	lower, upper := r.bed.Base(r.t, "debian:bookworm"), r.bed.Base(r.t, "debian:trixie")
	relink := func(builder string) *exec.Cmd {
		cmd := exec.CommandContext(r.t.Context(), filepath.Join(bed.Root(), "bin", "docker-relink"), "diff-build", "--builder", builder, lower+".."+upper)
		cmd.Env = r.bed.Env()
		return cmd
	}
	var empty *bed.Builder
	renew := func() {
		if err := os.RemoveAll(filepath.Join(filepath.Dir(r.facts()), "layers")); err != nil {
			r.t.Fatalf("forgetting the layers: %v", err)
		}
		if empty != nil {
			if err := empty.Close(); err != nil {
				r.t.Fatalf("stopping a builder: %v", err)
			}
		}
		empty = r.bed.NewBuilder(r.t)
	}
	home := r.t.TempDir()
	return []differ{
		{"`container-diff diff --type=file`", func() *exec.Cmd {
			cmd := exec.CommandContext(r.t.Context(), filepath.Join(bed.Root(), ".cache", "bin", "container-diff"),
				"diff", "remote://"+lower, "remote://"+upper, "--type=file", "--no-cache")
			cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
			return cmd
		}, nil},
		{"`docker relink diff-build`, a builder that has nothing, nothing remembered", func() *exec.Cmd { return relink(empty.Name) }, renew},
		{"the same once more", func() *exec.Cmd { return relink(empty.Name) }, nil},
	}
}

// diffOnce wants the program to have found a change that there is.
func (r *runner) diffOnce(d differ) (seconds, pulled, peak float64) {
	if d.before != nil {
		d.before()
	}
	cmd := d.command()
	peakFile := r.underPeak(cmd)
	mark := r.bed.Registry.Mark(r.t)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	start := time.Now()
	out, err := cmd.Output()
	took := time.Since(start)
	if err != nil {
		r.t.Fatalf("%s: %q: %v\n%s", d.name, cmd.Args, err, stderr.String())
	}
	if !strings.Contains(string(out), "/etc/debian_version") {
		r.t.Fatalf("%s does not list /etc/debian_version:\n%s", d.name, out)
	}
	return took.Seconds(), float64(r.bed.Registry.Since(r.t, mark).BytesPulled()), r.readPeak(d.name, peakFile)
}

// diffTable is the table of differences.
func (r *runner) diffTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d times each, medians:\n\n", r.repeats)
	b.WriteString("| | time | pulled | peak memory |\n|:---|---:|---:|---:|\n")
	for _, res := range r.differences(r.repeats) {
		pulled := "none"
		if bytes := median(res.pulled); bytes > 1e5 {
			pulled = fmt.Sprintf("%.1f MB", bytes/1e6)
		}
		fmt.Fprintf(&b, "| %s | %.2f s | %s | %.0f MiB |\n", res.name, median(res.took), pulled, median(res.peaks)/(1<<20))
	}
	return b.String()
}
