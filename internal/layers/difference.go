package layers

import (
	"fmt"

	"github.com/moby/buildkit/client/llb"
)

// Subtracted is what the names of the steps of a difference begin with.
const Subtracted = "[diff] "

// Own is the layers of an image above its first n, as they are, each by itself.
//
// As in a rebase, each layer is a difference of the image's own layers, so that
// none below them is needed and each record in BuildKit's cache has a name.
func Own(img Source, layers, n int) []llb.State {
	first := func(n int) llb.State {
		switch n {
		case 0:
			return llb.Scratch()
		case layers:
			return img(Whole, Subtracted+"the whole image")
		default:
			return img(n, Subtracted+"the layers below")
		}
	}
	switch n {
	case layers:
		return nil
	case 0:
		return []llb.State{first(layers)}
	}
	var own []llb.State
	for i := n; i < layers; i++ {
		own = append(own, Layer(first(i), first(i+1), fmt.Sprint("layer ", i+1)))
	}
	return own
}

// Layer is the one layer that a state has on top of another.
func Layer(below, with llb.State, name string) llb.State {
	return llb.Diff(below, with, llb.WithCustomName(Subtracted+name))
}

// Stack is layers on top of one another.
func Stack(own []llb.State) llb.State {
	switch len(own) {
	case 0:
		return llb.Scratch()
	case 1:
		return own[0]
	default:
		return llb.Merge(own, llb.WithCustomName(Subtracted+"the layers of the difference"))
	}
}

// DifferenceLeftovers are filters of BuildKit's cache records that should go once
// a difference is exported, for the reason that Leftovers has.
func DifferenceLeftovers() []string { return []string{`description~="^\\[diff\\] "`} }

// Flat is the difference of two file systems as one layer, deletions included.
//
// The upper one is copied first: of layers that stand on each other BuildKit would
// take the layers. What the copy has as the lower one has it is no part of the
// difference.
func Flat(lower, upper llb.State, name string) llb.State {
	copied := llb.Scratch().File(
		llb.Copy(upper, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true}),
		llb.WithCustomName(Subtracted+"the upper side, in one layer"))
	if lower.Output() == nil {
		return copied
	}
	return llb.Diff(lower, copied, llb.WithCustomName(name))
}
