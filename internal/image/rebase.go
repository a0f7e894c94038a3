package image

import (
	"fmt"
	"slices"
)

// Rebase is the config of the image whose layers above the first OldBaseLayers
// stand on the new base's layers: MergeConfig's config, SpliceHistory's history,
// and the DiffIDs to match.
//
// It does not check that the old base is the image's: call CheckPrefix first, or
// do without it where the user takes the number of layers upon himself. The
// error is MergeConfig's or SpliceHistory's. The input is not changed.
func Rebase(in Input) (*Result, error) {
	r, err := MergeConfig(in)
	if err != nil {
		return nil, fmt.Errorf("rebasing image config: %w", err)
	}
	r.Config.History, err = SpliceHistory(in.historyInput())
	if err != nil {
		return nil, fmt.Errorf("rebasing image config: %w", err)
	}
	r.Config.RootFS.Type = "layers"
	r.Config.RootFS.DiffIDs = slices.Concat(in.NewBase.RootFS.DiffIDs, in.Image.RootFS.DiffIDs[in.OldBaseLayers:])
	return r, nil
}
