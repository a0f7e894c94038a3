package image

import (
	"fmt"
	"slices"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// exporterComment marks the entries that BuildKit's exporter makes up for
	// layers without one (exporter/containerimage/writer.go,
	// normalizeLayersAndHistory).
	exporterComment = "buildkit.exporter.image.v0"

	// synthesizedComment marks the ones made up here.
	synthesizedComment = "docker relink: layer without a history entry"
)

// HistoryInput is what SpliceHistory works on.
type HistoryInput struct {
	Image       []ocispecs.History // of the image to rebase
	ImageLayers int                // its number of layers

	OldBaseLayers int // how many of them are the old base's
	// OldBase is the history of the old base with just these layers, empty when
	// it has none. OldBaseGone says that it is not known.
	OldBase     []ocispecs.History
	OldBaseGone bool

	NewBase       []ocispecs.History // of the new base
	NewBaseLayers int                // its number of layers

	// Created stamps the entries that have to be made up. May be nil.
	Created *time.Time
}

// SpliceHistory puts the image's own history entries on the new base's history.
// The result has exactly one non-empty entry for each layer of the result
// (NewBaseLayers + ImageLayers - OldBaseLayers), as the image spec asks; where
// a history does not agree with its layers, entries are made up or marked empty
// as BuildKit's exporter does.
//
// The image's own entries are those after the old base's. Where the image's
// history begins with the old base's, entry by entry, that is the cut. Else it
// is found by counting non-empty entries. The empty entries directly after the
// last base layer (the base's CMD, the image's ENV) are then the old base's as
// far as the old base's history has them; when the old base is gone, as far as
// the new base's history has the same ones in that place, because a base and its
// successor mostly end alike. The rest is the image's. The error is about
// numbers of layers that can not be.
func SpliceHistory(in HistoryInput) ([]ocispecs.History, error) {
	if err := checkLayers(in.ImageLayers, in.OldBaseLayers); err != nil {
		return nil, fmt.Errorf("splicing history: %w", err)
	}
	if in.NewBaseLayers < 0 {
		return nil, fmt.Errorf("splicing history: new base with %d layers", in.NewBaseLayers)
	}
	base := FitHistory(in.NewBase, in.NewBaseLayers, in.Created)
	cut := cutHistory(in)
	unsure := cut.unsure[commonPrefix(cut.unsure, trailingEmpty(base)):]
	own := FitHistory(slices.Concat(unsure, cut.own), in.ImageLayers-in.OldBaseLayers, in.Created)
	return slices.Concat(base, own), nil
}

func checkLayers(image, oldBase int) error {
	if oldBase < 0 || oldBase > image {
		return fmt.Errorf("old base with %d layers below an image with %d", oldBase, image)
	}
	return nil
}

// historyCut is an image's history in three parts: the old base's entries, those
// that could be the old base's or the image's, and the image's own.
type historyCut struct {
	base, unsure, own []ocispecs.History
	// exact says that base and own hold nothing of the other side.
	exact bool
}

func cutHistory(in HistoryInput) historyCut {
	if in.beginsWithOldBase() {
		n := len(in.OldBase)
		return historyCut{base: in.Image[:n], own: in.Image[n:], exact: true}
	}
	consistent := CountLayers(in.Image) == in.ImageLayers
	history := FitHistory(in.Image, in.ImageLayers, in.Created)
	end := afterLayer(history, in.OldBaseLayers)
	after := end + leadingEmpty(history[end:])
	if in.OldBaseGone || len(in.OldBase) == 0 {
		return historyCut{base: history[:end], unsure: history[end:after], own: history[after:], exact: consistent}
	}
	trailing := trailingEmpty(in.OldBase)
	n := commonPrefix(history[end:after], trailing)
	return historyCut{base: history[:end+n], own: history[end+n:], exact: consistent && n == len(trailing)}
}

// beginsWithOldBase says whether the image's history is the old base's and then
// the image's own. An old base with fewer entries than layers is the start of
// every history that has entries made up for the missing ones, too; it counts
// only where those stand at the end, marked as BuildKit's.
func (in HistoryInput) beginsWithOldBase() bool {
	n := len(in.OldBase)
	if in.OldBaseGone || commonPrefix(in.Image, in.OldBase) < n {
		return false
	}
	if CountLayers(in.OldBase) == in.OldBaseLayers {
		return true
	}
	own := in.Image[n:]
	madeUp := 0
	for _, h := range own {
		if !h.EmptyLayer && h.Comment == exporterComment {
			madeUp++
		}
	}
	return CountLayers(own)-madeUp <= in.ImageLayers-in.OldBaseLayers
}

// FitHistory is a copy of history with exactly so many non-empty entries; created
// stamps those that have to be made up, and may be nil. Missing
// ones are made up at the end. Excess ones that BuildKit's exporter made up are
// dropped from the end; then the rest of the excess is marked empty, the last
// ones first, as BuildKit does.
func FitHistory(history []ocispecs.History, layers int, created *time.Time) []ocispecs.History {
	out := slices.Clone(history)
	for excess := CountLayers(out) - layers; excess > 0; excess-- {
		i := lastLayer(out)
		if out[i].Comment == exporterComment {
			out = slices.Delete(out, i, i+1)
			continue
		}
		out[i].EmptyLayer = true
	}
	for missing := layers - CountLayers(out); missing > 0; missing-- {
		out = append(out, ocispecs.History{Created: created, Comment: synthesizedComment})
	}
	return out
}

// CountLayers is the number of a history's entries that stand for a layer.
func CountLayers(history []ocispecs.History) int {
	n := 0
	for _, h := range history {
		if !h.EmptyLayer {
			n++
		}
	}
	return n
}

// lastLayer is the index of the last non-empty entry, -1 if there is none.
func lastLayer(history []ocispecs.History) int {
	for i, h := range slices.Backward(history) {
		if !h.EmptyLayer {
			return i
		}
	}
	return -1
}

// afterLayer is the index after the n-th non-empty entry.
func afterLayer(history []ocispecs.History, n int) int {
	for i, h := range history {
		if n == 0 {
			return i
		}
		if !h.EmptyLayer {
			n--
		}
		if n == 0 {
			return i + 1
		}
	}
	return len(history)
}

func leadingEmpty(history []ocispecs.History) int {
	for i, h := range history {
		if !h.EmptyLayer {
			return i
		}
	}
	return len(history)
}

func trailingEmpty(history []ocispecs.History) []ocispecs.History {
	return history[lastLayer(history)+1:]
}

// commonPrefix counts the entries at the start of both histories that are the
// same step. Times and comments are not compared: an exporter with a
// SOURCE_DATE_EPOCH rewrites the first, and tools differ in the second.
func commonPrefix(a, b []ocispecs.History) int {
	n := 0
	for n < len(a) && n < len(b) && a[n].CreatedBy == b[n].CreatedBy && a[n].EmptyLayer == b[n].EmptyLayer {
		n++
	}
	return n
}
