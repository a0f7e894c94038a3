// Package progress prints what there is to say when the progress has ended.
package progress

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/sys/atomicwriter"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/image"
)

// metadataKey is the report's key in the file of --metadata-file.
const metadataKey = "relink.link"

// Report collects what the frontend did in the builds of one command.
type Report struct {
	// Size finds out the size of an image's layers for a platform, in bytes; nil
	// does not know any.
	Size func(ctx context.Context, ref, platform string) (int64, error)
	// Describe reads the manifests of an image; nil reads none.
	Describe func(ctx context.Context, ref string) (*image.Description, error)
	// Target is the target that a build is of, given the build's reference, "" where
	// it is not known; nil knows none.
	Target func(ref string) string

	mu       sync.Mutex
	squashes []*squash
	rebases  []frontend.RebaseReport
	builds   []build
	sizes    map[string]*size
}

// build is what the frontend did in one build.
type build struct {
	ref string
	frontend.Report
}

// size is asked for while the image is being exported, so as not to make the
// build longer.
type size struct {
	done  chan struct{}
	bytes int64
}

// Planned looks into a result of the frontend for what will have to be known of
// it in the end.
func (r *Report) Planned(ctx context.Context, metadata map[string][]byte) {
	rep, err := frontend.DecodeReport(metadata[frontend.ReportKey])
	if err != nil || r.Size == nil {
		return
	}
	for _, p := range rep.Platforms {
		if p.Untouched {
			r.ask(context.WithoutCancel(ctx), p.Base, p.Platform)
		}
	}
}

func (r *Report) ask(ctx context.Context, ref, platform string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sizes == nil {
		r.sizes = map[string]*size{}
	}
	s := &size{done: make(chan struct{})}
	r.sizes[ref+" "+platform] = s
	go func() {
		defer close(s.done)
		s.bytes, _ = r.Size(ctx, ref, platform) // unknown is 0
	}()
}

// sizeTime is how long the end of a build may wait for the size of its base.
const sizeTime = time.Second

func (r *Report) size(ref, platform string) int64 {
	r.mu.Lock()
	s := r.sizes[ref+" "+platform]
	r.mu.Unlock()
	if s == nil {
		return 0
	}
	select {
	case <-s.done:
		return s.bytes
	case <-time.After(sizeTime):
		return 0
	}
}

// Take reads the report from a builder's response to the build of a reference, and puts
// it where the metadata file has it.
func (r *Report) Take(ref string, response map[string]string) {
	r.takeSquash(response)
	r.takeRebase(response)
	raw, ok := response[frontend.ReportKey]
	if !ok {
		return
	}
	rep, err := frontend.DecodeReport([]byte(raw))
	if err != nil {
		return // not ours; it stays in the metadata as it came
	}
	for i, p := range rep.Platforms {
		rep.Platforms[i].BaseBytes = r.size(p.Base, p.Platform)
	}
	if dt, err := rep.Encode(); err == nil {
		Publish(response, frontend.ReportKey, dt)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.builds = append(r.builds, build{ref, rep})
}

// taken reads a report of a kind of its own from a builder's response, and publishes
// it; false where there is none.
func taken[T any](response map[string]string, key string, decode func([]byte) (T, error)) (report T, ok bool) {
	raw, ok := response[key]
	if !ok {
		return report, false
	}
	report, err := decode([]byte(raw))
	if err != nil {
		return report, false // not ours; it stays in the metadata as it came
	}
	Publish(response, key, []byte(raw))
	return report, true
}

// printLines prints a report of a job, with the image's name where there are several,
// and returns what the lines begin with.
func printLines(w io.Writer, job, name string, several bool, lines []string) (prefix string) {
	if several && name != "" {
		job += " " + name
	}
	for _, line := range lines {
		fmt.Fprintf(w, "%s: %s\n", job, line)
	}
	return job
}

// Publish puts a report, which a builder gave under a key of a frontend's, where
// the metadata file has it.
func Publish(response map[string]string, key string, report []byte) {
	delete(response, key)
	// buildx decodes objects that come as base64.
	response[strings.TrimPrefix(key, "frontend.")] = base64.StdEncoding.EncodeToString(report)
}

// Platforms are the reports of all platforms of all builds.
func (r *Report) Platforms() []frontend.PlatformReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	// On a builder of several nodes, each node has a report of its own.
	var platforms []frontend.PlatformReport
	for _, b := range r.builds {
		platforms = append(platforms, b.Platforms...)
	}
	return platforms
}

// AddTo puts the report into a metadata file that has none: of a build on several
// nodes, buildx keeps nothing of what the builders answered.
func (r *Report) AddTo(file string) error {
	platforms := r.Platforms()
	if file == "" || len(platforms) == 0 {
		return nil
	}
	dt, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("adding the report to the metadata file: %w", err)
	}
	metadata := map[string]json.RawMessage{}
	if err := json.Unmarshal(dt, &metadata); err != nil {
		return fmt.Errorf("adding the report to the metadata file: %w", err)
	}
	if _, ok := metadata[metadataKey]; ok {
		return nil
	}
	if metadata[metadataKey], err = (frontend.Report{Platforms: platforms}).Encode(); err != nil {
		return err
	}
	if dt, err = json.MarshalIndent(metadata, "", "  "); err != nil {
		return fmt.Errorf("adding the report to the metadata file: %w", err)
	}
	return atomicwriter.WriteFile(file, dt, 0o644)
}

// Print writes a line for every instruction of the tails; nothing when there is
// nothing to say.
func (r *Report) Print(w io.Writer) {
	platforms := r.named()
	sort.SliceStable(platforms, func(i, j int) bool { return platforms[i].name < platforms[j].name })
	names := map[string]bool{}
	for _, p := range platforms {
		names[p.name] = true
	}
	for _, p := range platforms {
		prefix := "relink"
		if len(names) > 1 && p.name != "" {
			prefix += " " + p.name
		}
		if len(platforms) > len(names) && p.Platform != "" {
			prefix += " " + p.Platform
		}
		printPlatform(w, prefix, p.PlatformReport)
	}
	r.printSquashes(w)
	r.printRebases(w)
}

// named is a platform of a build under the name of its image, or of its target where the
// result is no image.
type named struct {
	name string
	frontend.PlatformReport
}

func (r *Report) named() []named {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []named
	for _, b := range r.builds {
		target := sync.OnceValue(func() string { return r.Target(b.ref) })
		for _, p := range b.Platforms {
			name := p.Image
			if name == "" && len(r.builds) > 1 && r.Target != nil {
				name = target()
			}
			out = append(out, named{name, p})
		}
	}
	return out
}

func printPlatform(w io.Writer, prefix string, p frontend.PlatformReport) {
	if p.Reason != "" {
		fmt.Fprintf(w, "%s: %s\n", prefix, p.Reason)
	}
	for _, remark := range p.Remarks {
		fmt.Fprintf(w, "%s: %s\n", prefix, remark)
	}
	for _, i := range p.Instructions {
		if i.Linked {
			fmt.Fprintf(w, "%s: line %d linked: %s (%s)\n", prefix, i.Line, i.Instruction, evidenceOf(i))
		} else {
			fmt.Fprintf(w, "%s: line %d not linked: %s (%s)\n", prefix, i.Line, i.Instruction, i.Reason)
		}
	}
	if p.BaseBytes > 0 {
		fmt.Fprintf(w, "%s: %s of the base stayed where they were\n", prefix, units.HumanSize(float64(p.BaseBytes)))
	}
}

// evidenceOf says how the facts were known, and where they were remembered.
func evidenceOf(i frontend.Instruction) string {
	if i.From == "" {
		return i.Evidence
	}
	return i.Evidence + ", " + i.From
}
