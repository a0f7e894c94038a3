package commands

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
)

// rebaseTries is how often a rebase is built until what was pushed is right.
const rebaseTries = 3

// runVerified builds until what was pushed has the layers that it should have.
// Where the same layers are rebased at the same time on one builder, BuildKit may
// take the difference between two images for one of them (docs/ranges.md), and
// gives no error.
func runVerified(ctx context.Context, build *cobra.Command, dir string, known describer, report *rebaseReport, progress io.Writer) error {
	for try := 1; ; try++ {
		report.reset()
		if err := build.RunE(build, []string{dir}); err != nil {
			return err
		}
		if !pushes(build.Flags()) {
			return nil
		}
		err := report.verify(ctx, known, progress)
		if err == nil || try == rebaseTries {
			return err
		}
		fmt.Fprintf(progress, "rebase: %v; building it again\n", err)
	}
}

// pushes says whether the result goes to a registry with the layers as they are.
func pushes(flags *pflag.FlagSet) bool {
	outputs, _ := flags.GetStringArray("output")
	all := strings.Join(outputs, " ")
	push, _ := flags.GetBool("push")
	return (push || strings.Contains(all, "type=registry") || strings.Contains(all, "push=true")) && !strings.Contains(all, "compression")
}

func (r *rebaseReport) reset() {
	r.failure.reset()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports, r.squash, r.pushed = nil, nil, nil
}

// describer reads manifests of images.
type describer interface {
	Describe(ctx context.Context, ref string) (*image.Description, error)
}

// verify reads the manifests that were pushed and compares their layers with
// those of the plan. A registry that only the builder reaches cannot be asked;
// that is said, and is no error.
func (r *rebaseReport) verify(ctx context.Context, known describer, progress io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range r.pushed {
		d, err := known.Describe(ctx, ref)
		if err != nil {
			fmt.Fprintf(progress, "relink: what was pushed was not verified: %v\n", err)
			continue
		}
		for _, m := range d.Manifests {
			var got []string
			for _, l := range m.Layers {
				got = append(got, l.Digest.String())
			}
			if !slices.ContainsFunc(r.wanted(), func(w wanted) bool {
				return (m.Platform == nil || w.platform == platforms.FormatAll(platforms.Normalize(*m.Platform))) && w.has(got)
			}) {
				return errdefs.Unsupportedf(
					"Another build may be using the same layers on this builder. Do it again when that has ended; what was pushed is wrong.",
					"%s has other layers than it should have", ref)
			}
		}
	}
	return nil
}

// wanted are the layers of an image as they are planned; those that are made have no
// digest.
type wanted struct {
	platform string
	layers   []frontend.Layer // nil for any
	by       int              // how many of them are the new base's
	built    bool             // the others are another build's
	mixed    bool             // those without a digest may be between the others
}

func (r *rebaseReport) wanted() (all []wanted) {
	for _, rep := range r.reports {
		for _, p := range rep.Platforms {
			w := wanted{platform: p.Platform, layers: slices.Concat(p.By, p.Kept), by: len(p.By), built: p.Built}
			if p.ByFiles {
				w.layers = append(slices.Clone(p.By), frontend.Layer{})
			}
			all = append(all, w)
		}
	}
	for _, p := range r.squash {
		all = append(all, wantedOfSquash(p))
	}
	return all
}

func wantedOfSquash(p frontend.SquashPlatform) wanted {
	w := wanted{platform: p.Platform}
	if p.Built {
		return w
	}
	w.layers = slices.Clone(p.Kept)
	if p.Nothing == "" {
		// Where among the kept ones those are that were made, is not told.
		w.layers = append(w.layers, make([]frontend.Layer, p.Runs)...)
		w.mixed = true
	}
	return w
}

// has says whether the layers are those, as far as their digests are known.
func (w wanted) has(got []string) bool {
	if w.layers == nil {
		return true
	}
	if len(w.layers) != len(got) {
		// What one instruction of a build adds may be several layers.
		return w.built && len(got) > len(w.layers) && begins(w.layers[:w.by], got)
	}
	if w.mixed {
		return hasInOrder(w.layers, got)
	}
	return begins(w.layers, got)
}

// hasInOrder says whether the layers have those that are wanted, as far as their digests
// are known, in this order.
func hasInOrder(want []frontend.Layer, got []string) bool {
	for _, l := range want {
		if l.Digest == "" {
			continue
		}
		i := slices.Index(got, l.Digest.String())
		if i < 0 {
			return false
		}
		got = got[i+1:]
	}
	return true
}

// begins says whether the layers begin with those that are wanted.
func begins(want []frontend.Layer, got []string) bool {
	for i, l := range want {
		if l.Digest != "" && l.Digest.String() != got[i] {
			return false
		}
	}
	return true
}
