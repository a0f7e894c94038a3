package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/docker-relink/relink/tests/bed"
)

// squasher is a program that makes one layer of layers in a registry.
type squasher struct {
	name string
	// command squashes the image to a tag.
	command func(tag string) *exec.Cmd
	// before prepares the next run; nil where there is nothing to do.
	before func()
}

// squashResult is what a program took, and what has to be pulled of its result
// where the base is there already.
type squashResult struct {
	name               string
	took, peaks, pulls []float64 // seconds, bytes and bytes
}

const squashApp = "squash/app:1"

// squashes runs the programs by turns on a Debian with three layers on it.
func (r *runner) squashes(times int) []squashResult {
	base := r.bed.Base(r.t, "debian:bookworm")
	r.pushSquashed(base)
	squashers := r.squashers(base)
	results := make([]squashResult, len(squashers))
	for n := range 1 + times {
		for i, s := range squashers {
			tag := fmt.Sprintf("squash/app:%d-%d", i, n)
			took, peak := r.squashOnce(s, tag)
			results[i].name = s.name
			if n == 0 {
				continue // to warm up
			}
			results[i].took, results[i].peaks = append(results[i].took, took), append(results[i].peaks, peak)
			results[i].pulls = append(results[i].pulls, r.notOf(base, tag))
		}
	}
	return results
}

func (r *runner) squashOnce(s squasher, tag string) (seconds, peak float64) {
	if s.before != nil {
		s.before()
	}
	cmd := s.command(r.bed.Registry.Ref(tag))
	peakFile := r.underPeak(cmd)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		r.t.Fatalf("%s: %q: %v\n%s", s.name, cmd.Args, err, out)
	}
	return took.Seconds(), r.readPeak(s.name, peakFile)
}

// notOf is the size of the layers of a tag that the base does not have.
func (r *runner) notOf(base, tag string) float64 {
	of := map[string]bool{}
	for _, layer := range r.bed.Image(r.t, base, "").Layers() {
		of[layer] = true
	}
	var size int64
	for _, layer := range r.bed.Image(r.t, r.bed.Registry.Ref(tag), "").Manifest.Layers {
		if !of[layer.Digest.String()] {
			size += layer.Size
		}
	}
	return float64(size)
}

// pushSquashed pushes three layers on the base; the last deletes what the first
// has, and some of the base.
func (r *runner) pushSquashed(base string) {
	image := r.bed.Pull(r.t, base)
	random := rand.NewChaCha8([32]byte{})
	content := make([]byte, 16<<10)
	for i := range 3 {
		files := []bed.File{bed.Dir(fmt.Sprintf("srv/%d", i), 0o755)}
		for n := range 500 {
			_, _ = random.Read(content) // It never fails.
			files = append(files, bed.Text(fmt.Sprintf("srv/%d/%d", i, n), string(content)))
		}
		if i == 2 {
			files = append(files, bed.Dir("srv", 0o755), bed.Text("srv/.wh.0", ""), bed.Dir("usr/share", 0o755), bed.Text("usr/share/.wh.doc", ""))
		}
		own, err := bed.NewImage(nil, files)
		if err != nil {
			r.t.Fatalf("making the image to squash: %v", err)
		}
		layers, err := own.Layers()
		if err == nil {
			image, err = mutate.Append(image, mutate.Addendum{Layer: layers[0], History: v1.History{CreatedBy: fmt.Sprint("layer ", i)}})
		}
		if err != nil {
			r.t.Fatalf("making the image to squash: %v", err)
		}
	}
	r.bed.Push(r.t, r.bed.Registry.Ref(squashApp), image)
}

// squashers are told the same: the image, and where the result goes. Of peers that
// are not installed there is no row.
func (r *runner) squashers(base string) []squasher {
	app := r.bed.Registry.Ref(squashApp)
	var builder *bed.Builder
	renew := func() { builder = r.bed.NewBuilder(r.t) }
	relink := func(more ...string) func(tag string) *exec.Cmd {
		return func(tag string) *exec.Cmd {
			args := append([]string{"squash", app, "--progress=plain", "--provenance=false", "--push", "-t", tag, "--builder", builder.Name}, more...)
			cmd := exec.CommandContext(r.t.Context(), filepath.Join(bed.Root(), "bin", "docker-relink"), args...)
			cmd.Env = r.bed.Env()
			return cmd
		}
	}
	warm := func() {
		if builder = r.bed.Builder; r.t.Context().Err() == nil {
			r.bed.Docker(r.t, "", nil, "buildx", "prune", "--force", "--builder", builder.Name, "--filter", "description~=squash").MustSucceed(r.t)
		}
	}
	all := []squasher{
		{"`crane flatten`", func(tag string) *exec.Cmd {
			cmd := exec.CommandContext(r.t.Context(), filepath.Join(bed.Root(), ".cache", "bin", "crane"), "flatten", app, "-t", tag)
			cmd.Env = r.bed.Env()
			return cmd
		}, nil},
		{"`docker relink squash`", relink("--base", base), warm},
		{"the same, a builder that has nothing", relink("--base", base), renew},
		{"`docker relink squash --all`", relink("--all"), warm},
	}
	if buildah, err := exec.LookPath("buildah"); err == nil {
		all = append(all, squasher{"`buildah commit --squash`", func(tag string) *exec.Cmd {
			root := r.t.TempDir()
			script := `c=$("$0" $1 from --tls-verify=false "$2") && "$0" $1 commit --squash --tls-verify=false "$c" "docker://$3"`
			options := "--root=" + filepath.Join(root, "root") + " --runroot=" + filepath.Join(root, "run") + " --storage-driver=vfs"
			cmd := exec.CommandContext(r.t.Context(), "/bin/sh", "-c", script, buildah, options, "docker://"+app, tag)
			cmd.Env = append(os.Environ(), "HOME="+root)
			return cmd
		}, nil})
	}
	return all
}

// squashTable has a row for each program.
func (r *runner) squashTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d times each, medians:\n\n", r.repeats)
	b.WriteString("| | time | peak memory | to pull above the base |\n|:---|---:|---:|---:|\n")
	for _, res := range r.squashes(r.repeats) {
		fmt.Fprintf(&b, "| %s | %.2f s | %.0f MiB | %.1f MB |\n", res.name, median(res.took), median(res.peaks)/(1<<20), median(res.pulls)/1e6)
	}
	return b.String()
}
