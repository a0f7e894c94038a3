package layers

import (
	"github.com/moby/buildkit/client/llb"
)

// Subtracted is what the names of the steps of a difference begin with.
const Subtracted = "[diff] "

// Own is the layers of an image above its first n, as they are.
//
// As in a rebase, each layer is a difference of the image's own layers, so that
// none below them is needed and each record in BuildKit's cache has a name.
func Own(img Source, layers, n int) llb.State {
	switch n {
	case layers:
		return llb.Scratch()
	case 0:
		return img(Whole, Subtracted+"the whole image")
	}
	first := func(n int) llb.State {
		if n == layers {
			return img(Whole, Subtracted+"the whole image")
		}
		return img(n, Subtracted+"the layers below")
	}
	var own []llb.State
	for i := n; i < layers; i++ {
		own = append(own, llb.Diff(first(i), first(i+1), llb.WithCustomNamef("%slayer %d", Subtracted, i+1)))
	}
	if len(own) == 1 {
		return own[0]
	}
	return llb.Merge(own, llb.WithCustomName(Subtracted+"the layers of the difference"))
}

// DifferenceLeftovers are filters of BuildKit's cache records that should go once
// a difference is exported, for the reason that Leftovers has: those of our own
// steps, and those that BuildKit makes for each layer of a difference and names
// after two others. None costs anything to make again.
func DifferenceLeftovers() []string {
	return []string{`description~="^\\[diff\\] "`, `description~="^diff \""`}
}

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
