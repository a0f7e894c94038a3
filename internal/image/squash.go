package image

import (
	"fmt"
	"slices"

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
	// Entry stands for all that was squashed.
	Entry ocispecs.History
}

// Squash is the image's config with the history of the kept layers and one entry
// for the rest. Everything else stays, but for the DiffIDs, of which only those
// of the kept layers are known. The input is not changed. The error is about
// numbers of layers that can not be.
func Squash(in SquashInput) (*Config, error) {
	if err := checkLayers(in.Layers, in.Kept); err != nil {
		return nil, fmt.Errorf("squashing the history: %w", err)
	}
	cut := cutHistory(HistoryInput{
		Image: in.Image.History, ImageLayers: in.Layers, OldBaseLayers: in.Kept,
		OldBase: in.Base, OldBaseGone: in.Base == nil, Created: in.Entry.Created,
	})
	out := *in.Image
	out.History = append(FitHistory(cut.base, in.Kept, in.Entry.Created), in.Entry)
	out.RootFS.DiffIDs = slices.Clone(in.Image.RootFS.DiffIDs[:min(in.Kept, len(in.Image.RootFS.DiffIDs))])
	return &out, nil
}
