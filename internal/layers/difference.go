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
// job is what the names of the steps begin with, Subtracted or Named.
func Own(job string, img Source, layers, n int) []llb.State {
	first := func(n int) llb.State {
		switch n {
		case 0:
			return llb.Scratch()
		case layers:
			return img(Whole, job+"the whole image")
		default:
			return img(n, job+"the layers below")
		}
	}
	switch n {
	case layers:
		return nil
	case 0:
		return []llb.State{first(layers)}
	}
	return each(first, n, layers, func(n int) string { return fmt.Sprint(job, "layer ", n) })
}

// each is the layers above the first n, each as the difference that it makes.
func each(first func(n int) llb.State, n, layers int, name func(n int) string) (own []llb.State) {
	for n++; n <= layers; n++ {
		own = append(own, llb.Diff(first(n-1), first(n), llb.WithCustomName(name(n))))
	}
	return own
}

// Layer is the one layer that a state has on top of another. job is as in Own.
func Layer(job string, below, with llb.State, name string) llb.State {
	return llb.Diff(below, with, llb.WithCustomName(job+name))
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
