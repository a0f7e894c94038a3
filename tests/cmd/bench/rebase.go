package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
	"github.com/docker-relink/relink/tests/delay"
)

// rebaser is a program that puts an image's own layers on a new base in a
// registry.
type rebaser struct {
	name string
	// command rebases the image of the registry on the host to a tag.
	command func(host, tag string) *exec.Cmd
	// before prepares the next run; nil where there is nothing to do.
	before func()
}

// rebaseResult is what a program took, without and with a long way to the
// registry, and how often it waited for the registry there.
type rebaseResult struct {
	name       string
	near, far  []float64 // seconds
	roundTrips []float64
}

// farAway is the round trip to the registry that is far away.
const farAway = 40 * time.Millisecond

// The images of the rebases, and their sizes in layers.
const (
	rebaseOld, rebaseNew, rebaseApp = "rebase/base:1", "rebase/base:2", "rebase/app:1"

	baseLayers, ownLayers = 4, 6
)

// rebases runs the programs by turns.
func (r *runner) rebases(times int) []rebaseResult {
	r.pushRebased()
	programs := r.rebasers()
	results := make([]rebaseResult, len(programs))
	for i, p := range programs {
		results[i].name = p.name
	}
	for _, way := range []time.Duration{0, farAway} {
		proxy, err := delay.Listen(r.bed.Registry.Host, way)
		if err != nil {
			r.t.Fatalf("measuring rebases: %v", err)
		}
		for n := range 1 + times {
			for i, p := range programs {
				took, trips := r.rebaseOnce(p, proxy, fmt.Sprintf("rebase/app:%d-%d-%d", i, way.Milliseconds(), n))
				switch {
				case n == 0: // to warm up
				case way == 0:
					results[i].near = append(results[i].near, took)
				default:
					results[i].far, results[i].roundTrips = append(results[i].far, took), append(results[i].roundTrips, trips)
				}
			}
		}
		if err := proxy.Close(); err != nil {
			r.t.Fatalf("measuring rebases: %v", err)
		}
	}
	return results
}

// rebaseOnce wants the program to have made what all of them should.
func (r *runner) rebaseOnce(p rebaser, proxy *delay.Proxy, tag string) (seconds, roundTrips float64) {
	if p.before != nil {
		p.before()
	}
	cmd := p.command(proxy.Addr(), tag)
	proxy.Reset()
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took, trips := time.Since(start), proxy.RoundTrips()
	if err != nil {
		r.t.Fatalf("%s: %q: %v\n%s", p.name, cmd.Args, err, out)
	}
	layers := func(ref string) []string { return r.bed.Image(r.t, r.bed.Registry.Ref(ref), "").Layers() }
	if want := slices.Concat(layers(rebaseNew), layers(rebaseApp)[baseLayers:]); !slices.Equal(layers(tag), want) {
		r.t.Fatalf("%s: the layers of %s are %q, want %q", p.name, tag, layers(tag), want)
	}
	return took.Seconds(), float64(trips)
}

// pushRebased pushes two bases and an application on the first.
func (r *runner) pushRebased() {
	own := func(what string, n int) [][]bed.File {
		var layers [][]bed.File
		for i := range n {
			layers = append(layers, []bed.File{bed.Text(fmt.Sprintf("%s%d", what, i), strings.Repeat(fmt.Sprintln(what, i), 1000))})
		}
		return layers
	}
	app := own("app", ownLayers)
	for ref, layers := range map[string][][]bed.File{
		rebaseOld: own("old", baseLayers), rebaseNew: own("new", baseLayers), rebaseApp: slices.Concat(own("old", baseLayers), app),
	} {
		image, err := bed.NewImage(func(c *v1.ConfigFile) { c.Config.Env = []string{"PATH=/bin"} }, layers...)
		if err != nil {
			r.t.Fatalf("making %s: %v", ref, err)
		}
		r.bed.Push(r.t, r.bed.Registry.Ref(ref), image)
	}
}

// rebasers are told the same: the image, the old and the new base, and where the
// result goes.
func (r *runner) rebasers() []rebaser {
	peer := func(name string, args func(at func(string) string, tag string) []string) func(host, tag string) *exec.Cmd {
		return func(host, tag string) *exec.Cmd {
			at := func(what string) string { return host + "/" + what }
			cmd := exec.CommandContext(r.t.Context(), filepath.Join(bed.Root(), ".cache", "bin", name), args(at, tag)...)
			cmd.Env = r.bed.Env()
			return cmd
		}
	}
	builder := ""
	relink := func(more ...string) func(host, tag string) *exec.Cmd {
		return func(host, tag string) *exec.Cmd {
			at := func(what string) string { return host + "/" + what }
			args := append([]string{"relink", "rebase", at(rebaseApp), "--from", at(rebaseOld), "--onto", at(rebaseNew), "--push", "-t", at(tag)}, more...)
			if builder != "" {
				args = append(args, "--builder", builder)
			}
			return r.bed.DockerCommand(r.t.Context(), "", nil, args...)
		}
	}
	return append([]rebaser{
		{name: "`crane rebase`", command: peer("crane", func(at func(string) string, tag string) []string {
			return []string{"rebase", at(rebaseApp), "--old_base", at(rebaseOld), "--new_base", at(rebaseNew), "--tag", at(tag)}
		})},
		{name: "`regctl image mod --rebase-ref`", command: peer("regctl", func(at func(string) string, tag string) []string {
			return []string{"--host", "reg=" + strings.TrimSuffix(at(""), "/") + ",tls=disabled", "image", "mod", at(rebaseApp),
				"--rebase-ref", at(rebaseOld) + "," + at(rebaseNew), "--create", at(tag)}
		})},
		{name: "`docker relink rebase`", before: func() { builder = "" }, command: relink()},
		{name: "the same without provenance, as the others", before: func() { builder = "" }, command: relink("--provenance=false")},
		{name: "the same by a builder that has nothing", before: func() { builder = r.bed.NewBuilder(r.t).Name }, command: relink("--provenance=false")},
	}, r.embeddedRebasers()...)
}

// rebaseTable has crane's time as the measure.
func (r *runner) rebaseTable() string {
	var b strings.Builder
	results := r.rebases(r.pairs)
	fmt.Fprintf(&b, "A rebase, %d times each, medians; far is a round trip of %d ms to the registry:\n\n", r.pairs, farAway.Milliseconds())
	b.WriteString("| | near | far | far, to crane | round trips |\n|:---|---:|---:|---:|---:|\n")
	for _, res := range results {
		fmt.Fprintf(&b, "| %s | %.2f s | %.2f s | %.2f | %.0f |\n", res.name, median(res.near), median(res.far), median(res.far)/median(results[0].far), median(res.roundTrips))
	}
	return b.String()
}
