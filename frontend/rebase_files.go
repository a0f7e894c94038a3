package frontend

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/layers"
)

// lacking is what the builder has to have for putting layers on others and has
// not, "" when it has all of it.
func lacking(c gateway.Client) string {
	caps := c.BuildOpts().LLBCaps
	for _, need := range []struct {
		name string
		err  error
	}{
		{"MergeOp", caps.Supports(pb.CapMergeOp)},
		{"DiffOp", caps.Supports(pb.CapDiffOp)},
		{"layer limits on images", caps.Supports(pb.CapSourceImageLayerLimit)},
	} {
		if need.err != nil {
			return need.name
		}
	}
	return ""
}

// byFiles puts what the image's own layers changed on the new base: it removes
// there what they removed, and copies what they added, as one layer. The builder
// has to unpack everything for that.
func (r *rebasing) byFiles(ctx context.Context, b *rebased, lacks string) (llb.State, error) {
	onto := b.onto.state(layers.Whole, "[onto] "+b.onto.origin.String())
	if b.oldLayers == len(b.image.config.RootFS.DiffIDs) {
		return onto, nil // The image adds no files to its base.
	}
	if err := unableToCompare(r.c, "a rebase"); err != nil {
		return llb.State{}, err
	}
	whole := b.image.state(layers.Whole, "[image] the whole image")
	diff, err := r.compare(ctx, b, whole)
	if err != nil {
		return llb.State{}, err
	}
	caps := r.c.BuildOpts().LLBCaps
	name := func(what string) llb.ConstraintsOpt { return llb.WithCustomName(layers.Named + what) }
	own := diff.own(r.c, whole, name("find the image's own files by comparing all, which is slower: this builder has no "+lacks))
	return onto.File(removing(nil, diff.gone, removalFollows(r.c)).Copy(own, "/", "/", &llb.CopyInfo{
		CopyDirContentsOnly:            true,
		AlwaysReplaceExistingDestPaths: caps.Supports(pb.CapFileCopyAlwaysReplaceExistingDestPaths) == nil,
	}), name("the image's own files on the new base")), nil
}

// compare finds what the image's own layers changed.
func (r *rebasing) compare(ctx context.Context, b *rebased, whole llb.State) (fileDiff, error) {
	lower, err := r.below(b)
	if err != nil {
		return fileDiff{}, err
	}
	diff, err := compareStates(ctx, r.c, lower, whole, llb.Platform(b.platform))
	if err != nil {
		return fileDiff{}, fmt.Errorf("comparing the files of %s with those of its base: %w", b.image.origin, err)
	}
	if !diff.changed && b.old == nil {
		// Engines say that they can cut an image off, and some give all of it.
		return fileDiff{}, errGone
	}
	return diff, nil
}

// below is what the image's own layers stand on: the old base, which every builder
// can read, or else the image's other layers.
func (r *rebasing) below(b *rebased) (llb.State, error) {
	caps := r.c.BuildOpts().LLBCaps
	switch {
	case b.oldLayers == 0:
		return llb.Scratch(), nil
	case b.old != nil && len(b.old.config.RootFS.DiffIDs) == b.oldLayers:
		return b.old.state(layers.Whole, "[from] "+b.old.origin.String()), nil
	case caps.Supports(pb.CapSourceImageLayerLimit) == nil:
		return b.image.state(b.oldLayers, fmt.Sprintf("[image] the first %d layers", b.oldLayers)), nil
	default:
		return llb.State{}, errGone
	}
}

var errGone = errdefs.Unsupportedf("Use a builder with BuildKit v0.10 or later, or Docker Engine with the containerd image store.",
	"the old base is gone, and the builder can not take its layers out of the image")

// oneLayer has the history say that the image's own layers are one, the last.
func (b *rebased) oneLayer() {
	history := b.result.Config.History
	seen := 0
	for i := len(history) - 1; i >= 0 && seen < len(b.report.Kept); i-- {
		if !history[i].EmptyLayer {
			seen++
			history[i].EmptyLayer = seen > 1
		}
	}
	diffIDs := b.result.Config.RootFS.DiffIDs
	if base := len(diffIDs) - len(b.report.Kept); len(b.report.Kept) > 1 {
		b.result.Config.RootFS.DiffIDs = diffIDs[:base+1]
	}
	b.report.ByFiles = len(b.report.Kept) > 0
}
