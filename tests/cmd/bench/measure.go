package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// result has a figure of each run: seconds, or bytes of memory.
type result struct {
	benchmark
	stock, relink []float64
}

// measure runs the pairs. Which of the two comes first changes with each pair,
// so that a machine that grows slower or faster does so to both; the first two
// pairs are to warm up and do not count.
func (r *runner) measure(b benchmark) result {
	const warmUp = 2
	res := result{benchmark: b}
	for i := range warmUp + r.pairs {
		var stock, relink float64
		if i%2 == 0 {
			stock = r.one(b, b.stock)
			relink = r.one(b, b.relink)
		} else {
			relink = r.one(b, b.relink)
			stock = r.one(b, b.stock)
		}
		if i >= warmUp {
			res.stock, res.relink = append(res.stock, stock), append(res.relink, relink)
		}
	}
	return res
}

func (r *runner) one(b benchmark, command func() *exec.Cmd) float64 {
	if b.before != nil {
		b.before()
	}
	cmd := command()
	if b.memory {
		return r.peakOf(b, cmd)
	}
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		r.t.Fatalf("%s: %q: %v\n%s", b.name, cmd.Args, err, out)
	}
	return took.Seconds()
}

// peakOf runs the command below a small process of its own: Linux counts what
// the parent has at the start for the child, and this process has much.
func (r *runner) peakOf(b benchmark, cmd *exec.Cmd) float64 {
	file := r.underPeak(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %q: %v\n%s", b.name, cmd.Args, err, out)
	}
	return r.readPeak(b.name, file)
}

// underPeak has a command run below the small process, which writes the peak into
// a file.
func (r *runner) underPeak(cmd *exec.Cmd) (file string) {
	self, err := os.Executable()
	if err != nil {
		r.t.Fatalf("finding this program: %v", err)
	}
	file = filepath.Join(r.t.TempDir(), "peak")
	cmd.Args = append([]string{self, "-peak", file, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	return file
}

func (r *runner) readPeak(name, file string) float64 {
	data, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	bytes, err := strconv.ParseFloat(string(data), 64)
	if err != nil {
		r.t.Fatalf("%s: reading the peak: %v", name, err)
	}
	return bytes
}

// peak runs a command and writes the most memory that it had, in bytes.
func peak(file string, args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w", args[0], err)
	}
	kib := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	return os.WriteFile(file, []byte(strconv.FormatInt(kib*1024, 10)), 0o600)
}

// ratio is the median of what relink's run is to stock's of the same pair.
func (r result) ratio() float64 {
	var ratios []float64
	for i := range r.stock {
		ratios = append(ratios, r.relink[i]/r.stock[i])
	}
	return median(ratios)
}

// spread is what the middle half of the ratios is between.
func (r result) spread() (low, high float64) {
	var ratios []float64
	for i := range r.stock {
		ratios = append(ratios, r.relink[i]/r.stock[i])
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/4], ratios[len(ratios)*3/4]
}

func (r result) figure(value float64) string {
	switch {
	case r.memory:
		return fmt.Sprintf("%.1f MiB", value/(1<<20))
	case value < 1:
		return fmt.Sprintf("%.1f ms", value*1000)
	default:
		return fmt.Sprintf("%.2f s", value)
	}
}

func (r result) String() string {
	low, high := r.spread()
	return fmt.Sprintf("%-45s %10s %10s   %.2f (%.2f to %.2f)", r.name, r.figure(median(r.stock)), r.figure(median(r.relink)), r.ratio(), low, high)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
