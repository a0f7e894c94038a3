package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/tests/bed"
)

// outcome is what a build did.
type outcome struct {
	way   way
	image bed.Image
	took  time.Duration

	ran            map[string]int // how many instructions of a kind were run, by kind
	pulled, pushed amount
	linked, tail   int // instructions of the tail
}

// build builds the application on a builder that has no state, with the image
// that is under ref as the cache, and pushes it there.
func (d *demo) build(w way, ref string) outcome {
	builder := d.bed.NewEmbedded(d.t)
	before := d.sizes(d.bed.Registry.Ref(baseName), d.bed.Registry.Ref(toolchainName), ref)
	meta := filepath.Join(d.t.TempDir(), "metadata.json")
	args := slices.Concat(w.command, []string{
		"--builder", w.builder(builder), "--allow", "network.host", "--build-arg", "REGISTRY=" + d.bed.Registry.Host,
		"--cache-from", ref, "--cache-to", "type=inline",
		"--progress", "rawjson", "--metadata-file", meta, "--push", "--tag", ref, d.app,
	})
	mark := d.bed.Registry.Mark(d.t)
	result := d.bed.Docker(d.t, "", builder.Env, args...).MustSucceed(d.t)
	downloads, uploads := d.bed.Registry.Since(d.t, mark).BlobDownloads(), d.bed.Registry.Pushed(d.t, mark)

	o := outcome{way: w, took: result.Took, ran: instructionsRun(result.Stderr)}
	o.image = d.bed.Image(d.t, ref, "")
	o.image.ClockFrom = d.began
	for _, download := range downloads {
		o.pulled.add([]string{download.Ref}, before)
	}
	o.pushed.add(uploads, d.sizes(ref))
	o.linked, o.tail = d.linked(meta)
	return o
}

var instruction = regexp.MustCompile(`^\[[^\]]+\] (RUN|COPY|ADD|WORKDIR) `)

// instructionsRun counts the instructions that were run and not taken from the
// cache.
func instructionsRun(rawjson string) map[string]int {
	ran := map[string]bool{}
	names := map[string]string{}
	for line := range bytes.Lines([]byte(rawjson)) {
		var status client.SolveStatus
		if json.Unmarshal(line, &status) != nil {
			continue // Not everything on stderr is progress.
		}
		for _, v := range status.Vertexes {
			if kind := instruction.FindStringSubmatch(v.Name); kind != nil && v.Completed != nil {
				names[v.Digest.String()] = kind[1]
				ran[v.Digest.String()] = !v.Cached
			}
		}
	}
	count := map[string]int{}
	for digest, yes := range ran {
		if yes {
			count[names[digest]]++
		}
	}
	return count
}

// linked reads from the metadata file how much of the tail was linked; stock
// says nothing there.
func (d *demo) linked(file string) (linked, tail int) {
	data, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatalf("reading the metadata file: %v", err)
	}
	var metadata struct {
		Report frontend.Report `json:"relink.link"`
	}
	if err := json.Unmarshal(data, &metadata); err != nil {
		d.t.Fatalf("reading the metadata file: %v", err)
	}
	for _, p := range metadata.Report.Platforms {
		for _, i := range p.Instructions {
			tail++
			if i.Linked {
				linked++
			}
		}
	}
	return linked, tail
}
