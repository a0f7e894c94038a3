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
	r.reports, r.pushed = nil, nil
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
			fmt.Fprintf(progress, "rebase: what was pushed was not verified: %v\n", err)
			continue
		}
		for _, m := range d.Manifests {
			var got []string
			for _, l := range m.Layers {
				got = append(got, l.Digest.String())
			}
			if !slices.ContainsFunc(r.platforms(), func(p frontend.RebasePlatform) bool {
				return (m.Platform == nil || p.Platform == platforms.FormatAll(platforms.Normalize(*m.Platform))) && hasLayers(p, got)
			}) {
				return errdefs.Unsupportedf(
					"Another build may be using the same layers on this builder. Rebase again when it has ended; what was pushed is wrong.",
					"%s has other layers than it should have", ref)
			}
		}
	}
	return nil
}

func (r *rebaseReport) platforms() []frontend.RebasePlatform {
	var all []frontend.RebasePlatform
	for _, rep := range r.reports {
		all = append(all, rep.Platforms...)
	}
	return all
}

// hasLayers says whether the layers are those of the plan, as far as it knows
// their digests.
func hasLayers(p frontend.RebasePlatform, got []string) bool {
	want := slices.Concat(p.By, p.Kept)
	if p.ByFiles {
		want = append(slices.Clone(p.By), frontend.Layer{})
	}
	if len(want) != len(got) {
		// What one instruction of a build adds may be several layers.
		return p.Built && len(got) > len(want) && begins(p.By, got)
	}
	return begins(want, got)
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
