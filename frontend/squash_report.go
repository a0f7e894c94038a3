package frontend

import (
	"fmt"
	"slices"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/docker-relink/relink/internal/image"
)

// SquashReportKey is the key of the report of a squash in a result's metadata.
const SquashReportKey = "frontend.relink.squash"

// The ways in which a squash knows which layers stay, besides those to the base.
const (
	FoundNamed     Found = "--base"
	FoundFromLayer Found = "--from-layer"
	FoundAll       Found = "--all"
	FoundStage     Found = "the stage"
	FoundBuild     Found = "the build"
)

// MaxLayers is how many layers an image can have for all engines to run it: Docker
// Engine's overlay2 mounts no more on one another.
const MaxLayers = 127

// SquashReport says what a squash does, or would do.
type SquashReport struct {
	// Image is the image that is squashed; of a build, the first name of the
	// result.
	Image     NamedImage       `json:"image"`
	Platforms []SquashPlatform `json:"platforms"`
	Warnings  []string         `json:"warnings,omitempty"`
}

// SquashPlatform is the report for one platform.
type SquashPlatform struct {
	Platform string `json:"platform,omitempty"`
	// Base is the base whose layers stay, nil when it is not known; Found says how
	// it was found.
	Base  *NamedImage `json:"base,omitempty"`
	Found Found       `json:"found"`
	// Kept are the layers that stay, and Squashed those that become one, or as many
	// as there are runs of them: Runs. Of a build their digests are not known.
	Kept     []Layer `json:"kept"`
	Squashed []Layer `json:"squashed"`
	Runs     int     `json:"runs"`
	// Built says that the image is the result of a build: how many layers it has is
	// known only in the end.
	Built bool `json:"built,omitempty"`
	// Nothing says why there is nothing to squash, "" when there is.
	Nothing string `json:"nothing,omitempty"`
	// Remarks are about the search for the base, and about what cannot be kept.
	Remarks []string `json:"remarks,omitempty"`
}

func (r SquashReport) encode() ([]byte, error) {
	return encodeReport(r)
}

// DecodeSquashReport reads the report from a result's metadata.
func DecodeSquashReport(dt []byte) (SquashReport, error) {
	return decodeReport[SquashReport](dt)
}

// Lines are the report as a person reads it.
func (r SquashReport) Lines() []string {
	var lines []string
	for _, p := range r.Platforms {
		lines = append(lines, p.lines(len(r.Platforms) > 1)...)
	}
	for _, w := range r.Warnings {
		lines = append(lines, "warning: "+w)
	}
	return lines
}

func (p SquashPlatform) lines(many bool) []string {
	prefix := ""
	if many {
		prefix = p.Platform + ": "
	}
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, prefix+fmt.Sprintf(format, args...)) }
	if p.Base != nil {
		add("base %s (found by %s)", p.Base, p.Found)
	}
	if p.Nothing != "" {
		add("nothing to squash: %s", p.Nothing)
	} else {
		add("layers before: %s; kept: %s", count(append(p.Kept[:len(p.Kept):len(p.Kept)], p.Squashed...)), count(p.Kept))
		add("layers after: %s", p.after())
	}
	for _, remark := range p.Remarks {
		add("note: %s", remark)
	}
	return lines
}

// after says how many layers there will be, and how large at most.
func (p SquashPlatform) after() string {
	before := int64(0)
	for _, l := range append(p.Kept[:len(p.Kept):len(p.Kept)], p.Squashed...) {
		before += l.Size
	}
	if before == 0 {
		return fmt.Sprint(len(p.Kept) + p.Runs)
	}
	return fmt.Sprintf("%d (%d bytes at most)", len(p.Kept)+p.Runs, before)
}

// reportPlatform writes down what was decided for a platform.
func (s *squashing) reportPlatform(b *squashedImage) {
	rep := &b.report
	*rep = SquashPlatform{Built: b.image.built != nil}
	rep.Platform, rep.Found, rep.Remarks, rep.Nothing = PlatformID(b.platform), b.found, slices.Concat(b.remarks, b.leftNothing()), b.nothing
	if b.old != nil {
		base := b.old.named()
		rep.Base = &base
	}
	all := layersOf(b.image, s.image.description, b.platform)
	if b.nothing != "" {
		rep.Kept = all
		return
	}
	rep.Kept = all[:b.kept:b.kept]
	for _, p := range b.pieces {
		if !p.made {
			rep.Kept = append(rep.Kept, all[p.from:p.to]...)
			continue
		}
		rep.Squashed = append(rep.Squashed, all[p.from:p.to]...)
		if !p.nothing {
			rep.Runs++
		}
	}
}

// report sums up what was decided.
func (s *squashing) report(plans []*squashedImage, warnings []string) SquashReport {
	rep := SquashReport{Image: plans[0].image.named(), Warnings: warnings}
	for _, b := range plans {
		rep.Platforms = append(rep.Platforms, b.report)
		rep.Warnings = append(rep.Warnings, b.report.warnings()...)
	}
	if remark := s.image.remark; remark != "" {
		rep.Warnings = append(rep.Warnings, remark)
	}
	return rep
}

// warnings are about what the result costs, and where it will not run.
func (p SquashPlatform) warnings() []string {
	var out []string
	if p.Nothing != "" {
		return nil
	}
	var size int64
	for _, l := range p.Squashed {
		size += l.Size
	}
	if size > 0 {
		out = append(out, fmt.Sprintf("%s: who has the layers of the image already pulls what they have in common once more, up to %d bytes", p.Platform, size))
	}
	if n := len(p.Kept) + p.Runs; n > MaxLayers {
		out = append(out, tooManyLayers(p.Platform, n))
	}
	return out
}

// tooManyLayers is the warning about an image that will not run.
func tooManyLayers(platform string, n int) string {
	if platform != "" {
		platform += ": "
	}
	return fmt.Sprintf("%sthe image has %d layers, and many engines run none with more than %d; squash some (docker relink squash, or build --squash)", platform, n, MaxLayers)
}

// remarkLayers says of a build's images which have too many layers.
func (r *Report) remarkLayers(res *gateway.Result, linked []*linking) {
	for i, l := range linked {
		cfg, err := image.ParseConfig(res.Metadata[exptypes.ExporterImageConfigKey+suffixOf(l.id)])
		if err != nil || i >= len(r.Platforms) {
			continue // not of the Dockerfile frontend, and not ours to judge
		}
		if n := image.CountLayers(cfg.History); n > MaxLayers {
			r.Platforms[i].Remarks = append(r.Platforms[i].Remarks, tooManyLayers("", n))
		}
	}
}
