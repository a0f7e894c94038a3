package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

// dayTwo is a base that moves below an image that was built the day before. The
// builder has no state and this machine no facts; the image is the cache.
type dayTwo struct {
	name string
	base v1.Image
	dir  string // the context; its Dockerfile takes the registry as REGISTRY
}

// dayTwoResult is what a build of the second day costs.
type dayTwoResult struct {
	name          string
	stock, relink []cost
}

type cost struct {
	took   time.Duration
	layers int
	bytes  int64
}

const (
	movingBase = "daytwo/base:latest"
	toolchain  = "daytwo/toolchain:latest"
)

func (r *runner) daysTwo() []dayTwo {
	debian := r.bed.Pull(r.t, r.bed.Base(r.t, "debian:bookworm"))
	r.bed.Push(r.t, r.bed.Registry.Ref(toolchain), debian)
	return []dayTwo{
		{"three copies", debian, r.copying(3)},
		{"50 copies", debian, r.copying(50)},
		{"three copies, a base of 120 layers", r.tall(120), r.copying(3)},
	}
}

// copying is a context of so many copies, the first from a stage that runs
// something.
func (r *runner) copying(n int) string {
	var text strings.Builder
	text.WriteString("ARG REGISTRY\nFROM ${REGISTRY}/" + toolchain + " AS build\nRUN seq 200000 >/out\n" +
		"FROM ${REGISTRY}/" + movingBase + "\nWORKDIR /srv/app\nCOPY --from=build /out /usr/local/bin/\n")
	files := []bed.File{}
	for i := range n - 1 {
		fmt.Fprintf(&text, "COPY f%d /srv/app/d%d/\n", i, i)
		files = append(files, bed.Text(fmt.Sprintf("f%d", i), fmt.Sprintln("file", i)))
	}
	return r.context(append(files, bed.Text("Dockerfile", text.String()))...)
}

// tall is a base of so many layers.
func (r *runner) tall(n int) v1.Image {
	layers := [][]bed.File{{bed.Dir("etc", 0o755), bed.Dir("srv", 0o755), bed.Dir("usr", 0o755), bed.Dir("usr/local", 0o755), bed.Dir("usr/local/bin", 0o755)}}
	for i := range n - 1 {
		layers = append(layers, []bed.File{bed.Text(fmt.Sprintf("usr/layer%d", i), strings.Repeat(fmt.Sprintln("layer", i), 1000))})
	}
	image, err := bed.NewImage(nil, layers...)
	if err != nil {
		r.t.Fatalf("making a base of %d layers: %v", n, err)
	}
	return image
}

// measureDayTwo builds once with the old base, and then so many times with the
// newer one.
func (r *runner) measureDayTwo(d dayTwo, times int) dayTwoResult {
	base := r.bed.Registry.Ref(movingBase)
	r.bed.Push(r.t, base, d.base)
	plugins := []string{"buildx", "relink"}
	for _, plugin := range plugins {
		r.dayTwoBuild(plugin, d, "monday")
	}
	r.bed.Push(r.t, base, r.bed.Newer(r.t, d.base))
	costs := map[string][]cost{}
	for range times {
		for _, plugin := range plugins {
			costs[plugin] = append(costs[plugin], r.dayTwoBuild(plugin, d, "tuesday"))
		}
	}
	return dayTwoResult{name: d.name, stock: costs["buildx"], relink: costs["relink"]}
}

func (r *runner) dayTwoBuild(plugin string, d dayTwo, day string) cost {
	r.forget()
	repository := r.bed.Registry.Ref("daytwo/" + plugin + "-" + filepath.Base(d.dir))
	builder := r.bed.NewBuilder(r.t)
	defer func() {
		if err := builder.Close(); err != nil {
			r.t.Errorf("stopping a builder: %v", err)
		}
	}()
	mark := r.bed.Registry.Mark(r.t)
	result := r.bed.Docker(r.t, "", nil, plugin, "build", "--builder", builder.Name,
		"--build-arg", "REGISTRY="+r.bed.Registry.Host, "--push", "--tag", repository+":"+day,
		"--cache-from", repository+":monday", "--cache-to", "type=inline", d.dir).MustSucceed(r.t)
	layers := r.bed.Image(r.t, repository+":"+day, "").Layers()
	for _, base := range []string{movingBase, toolchain} {
		layers = append(layers, r.bed.Image(r.t, r.bed.Registry.Ref(base), "").Layers()...)
	}
	c := cost{took: result.Took}
	seen := map[string]bool{}
	for _, pull := range r.bed.Registry.Since(r.t, mark).BlobDownloads().Of(layers...) {
		if !seen[pull.Ref] {
			seen[pull.Ref] = true
			c.layers++
			c.bytes += pull.Bytes
		}
	}
	return c
}

// facts is the folder in which relink remembers what it knows of bases.
func (r *runner) facts() string {
	for _, setting := range r.bed.Env() {
		if dir, ok := strings.CutPrefix(setting, "BUILDX_CONFIG="); ok {
			return filepath.Join(dir, "relink", "facts")
		}
	}
	r.t.Fatal("the bed has no configuration of buildx")
	return ""
}

func (r dayTwoResult) row() string {
	stock, relink := middle(r.stock), middle(r.relink)
	return fmt.Sprintf("| %s | %.2f s | %.2f s | %.2f | %s | %s |", r.name, stock.took.Seconds(), relink.took.Seconds(),
		relink.took.Seconds()/stock.took.Seconds(), stock.pulled(), relink.pulled())
}

// middle has the median of each figure.
func middle(costs []cost) cost {
	var took, layers, bytes []float64
	for _, c := range costs {
		took, layers, bytes = append(took, float64(c.took)), append(layers, float64(c.layers)), append(bytes, float64(c.bytes))
	}
	return cost{took: time.Duration(median(took)), layers: int(median(layers)), bytes: int64(median(bytes))}
}

func (c cost) pulled() string {
	if c.layers == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (%.1f MB)", c.layers, float64(c.bytes)/1e6)
}
