package image

import (
	"fmt"
	"slices"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// SquashInput is what Squash works on.
type SquashInput struct {
	Image *Config
	// Layers is the image's number of layers, Kept how many of them stay.
	Layers, Kept int
	// Base is the history of the image with just the kept layers, nil when that
	// is not known.
	Base []ocispecs.History
	// Above is what stands on the kept layers, the lowest first.
	Above []SquashPart
	// Created stamps the entries that have to be made up. May be nil.
	Created *time.Time
}

// SquashPart is layers that were squashed, or one that stays.
type SquashPart struct {
	// Layer is the number of the layer that stays, counted from 1; 0 is none.
	Layer int
	// Entry stands for the layers that were squashed.
	Entry ocispecs.History
}

// Squash is the image's config with the history of the kept layers and one entry
// for each part above them. Everything else stays, but for the DiffIDs, of which only those
// of the kept layers are known. The input is not changed. The error is about
// numbers of layers that can not be.
func Squash(in SquashInput) (*Config, error) {
	if err := checkLayers(in.Layers, in.Kept); err != nil {
		return nil, fmt.Errorf("squashing the history: %w", err)
	}
	cut := cutHistory(HistoryInput{
		Image: in.Image.History, ImageLayers: in.Layers, OldBaseLayers: in.Kept,
		OldBase: in.Base, OldBaseGone: in.Base == nil, Created: in.Created,
	})
	own := FitHistory(slices.Concat(cut.unsure, cut.own), in.Layers-in.Kept, in.Created)
	own = slices.DeleteFunc(own, func(h ocispecs.History) bool { return h.EmptyLayer })
	out := *in.Image
	out.History = FitHistory(cut.base, in.Kept, in.Created)
	for _, part := range in.Above {
		if part.Layer > 0 {
			part.Entry = own[part.Layer-in.Kept-1]
		}
		out.History = append(out.History, part.Entry)
	}
	out.RootFS.DiffIDs = slices.Clone(in.Image.RootFS.DiffIDs[:min(in.Kept, len(in.Image.RootFS.DiffIDs))])
	return &out, nil
}
