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

// Named is what the names of the steps of a rebase begin with.
const Named = "[rebase] "

// State is the rebased image.
//
// Each own layer is the difference between the image's first layers without it
// and with it, both taken from the image itself: then BuildKit sees that the one
// is the other's parent, and takes the layer as it is, without unpacking any.
// With the old base as the lower side it would do so only while the base is still
// there, compressed as the image has it.
//
// One difference for all own layers would do the same, but by records in
// BuildKit's cache that have no name. These have to be found again (see
// Leftovers).
func (r Rebase) State() llb.State {
	switch r.OldBaseLayers {
	case r.Layers:
		return r.Onto // The image adds no files to its base.
	case 0:
		return r.on(r.Image(Whole, "[image] the whole image"))
	}
	return r.on(each(r.first, r.OldBaseLayers, r.Layers, func(n int) string {
		return fmt.Sprintf("%sthe image's own layer %d", Named, n)
	})...)
}

// first is the image's first n layers.
func (r Rebase) first(n int) llb.State {
	if n == r.Layers {
		return r.Image(Whole, "[image] the whole image")
	}
	return r.Image(n, fmt.Sprintf("[image] the first %d layers", n))
}

func (r Rebase) on(own ...llb.State) llb.State { return On(r.Onto, own) }

// On is layers on top of a base.
func On(base llb.State, own []llb.State) llb.State {
	if len(own) == 0 {
		return base
	}
	return llb.Merge(append([]llb.State{base}, own...), llb.WithCustomName(Named+"the image's own layers on the new base"))
}

// Leftovers are filters of BuildKit's cache records that should go once a rebase
// is exported.
//
// When BuildKit (v0.33) exports a difference that is a layer as it is, it gives
// the record of the difference the identity of the image up to that layer. Who
// uses an image with these layers later may get the difference in place of the
// image, without all that is below. Such a record costs nothing to make again.
func Leftovers() []string { return []string{`description~="^\\[rebase\\] "`} }
