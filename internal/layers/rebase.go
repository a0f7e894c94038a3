// Package layers composes the states of images out of the layers of others. It
// is pure: a state is what is to be done, and nothing is done here.
package layers

import (
	"fmt"

	"github.com/moby/buildkit/client/llb"
)

// Source makes the state of an image, cut off above its first limit layers.
type Source func(limit int, name string) llb.State

// Whole is the limit that cuts nothing off.
const Whole = -1

// Rebase is an image's own layers on another base.
type Rebase struct {
	// Image makes the image, which has Layers layers; those above the first
	// OldBaseLayers are its own.
	Image                 Source
	Layers, OldBaseLayers int
	// Onto is the new base.
	Onto llb.State
}

// State is the rebased image.
//
// The own layers are the difference between the image's first layers and the
// whole image, both taken from the image itself: then BuildKit sees that the
// lower side is the beginning of the upper one, and takes the layers as they
// are, without unpacking any. With the old base as the lower side it would do so
// only while the base is still there, compressed as the image has it.
func (r Rebase) State() llb.State {
	switch r.OldBaseLayers {
	case r.Layers:
		return r.Onto // The image adds no files to its base.
	case 0:
		return r.on(r.Image(Whole, "[image] the whole image"))
	}
	own := llb.Diff(
		r.Image(r.OldBaseLayers, fmt.Sprintf("[image] layers 1 to %d, the old base's", r.OldBaseLayers)),
		r.Image(Whole, "[image] the whole image"),
		llb.WithCustomName(fmt.Sprintf("[rebase] layers %d to %d, the image's own", r.OldBaseLayers+1, r.Layers)),
	)
	return r.on(own)
}

func (r Rebase) on(own llb.State) llb.State {
	return llb.Merge([]llb.State{r.Onto, own}, llb.WithCustomName("[rebase] the image's own layers on the new base"))
}
