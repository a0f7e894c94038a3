package frontend

import (
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/layers"
)

// shared is what both sides of a difference stand on.
type shared struct {
	state llb.State
	// layers is the number of layers of the image that it is a part of, -1 where
	// it is something else: an operation that both sides are built upon.
	layers int
	// images are those that begin with it, none when it begins with no image.
	images []*imageOn
	// at is the operation that both sides are built upon.
	at *pb.Input
}

// findShared finds the most that both sides stand on, nil when that is nothing:
// the first layers of two images, or an operation that both are built upon.
func findShared(lower, upper *sideOn) (*shared, error) {
	if s, err := sharedOperation(lower, upper); s != nil || err != nil {
		return s, err
	}
	a, b := lower.diffIDs(), upper.diffIDs()
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	if n == 0 {
		return nil, nil
	}
	return &shared{state: firstLayers(upper.bottom, n), layers: n, images: []*imageOn{upper.bottom, lower.bottom}}, nil
}

// firstLayers are the first n layers of an image.
func firstLayers(img *imageOn, n int) llb.State {
	if n == len(img.config.RootFS.DiffIDs) {
		n = layers.Whole
	}
	return img.state(n, layers.Subtracted+"the layers below")
}

func sharedOperation(lower, upper *sideOn) (*shared, error) {
	ups := below(upper.graph)
	for in := lower.graph.Root(); in != nil; in = lower.graph.Below(in) {
		if !slices.Contains(ups, definition.Key(in)) {
			continue
		}
		st, err := state(lower.graph.Definition(in))
		if err != nil {
			return nil, err
		}
		s := &shared{state: st, layers: -1, at: in}
		if upper.bottom != nil {
			s.images = []*imageOn{upper.bottom}
		}
		if lower.graph.Below(in) == nil && upper.bottom != nil {
			s.layers = len(upper.diffIDs())
		}
		return s, nil
	}
	return nil, nil
}

// above is a side's own part: what stands on what is shared. empty says that
// there is nothing.
func (s *shared) above(side *sideOn) (own llb.State, empty bool, err error) {
	if s == nil {
		own, err = side.state()
		return own, side.graph.Root() == nil, err
	}
	stack, err := s.stack(side)
	return layers.Stack(stack), len(stack) == 0, err
}

// stack is a side's own part layer by layer: what each operation adds to the one
// that it is built upon. One difference for all of them would be the same, but by
// records in BuildKit's cache that have no name, and so cannot be removed.
func (s *shared) stack(side *sideOn) (stack []llb.State, err error) {
	g := side.graph
	for in := g.Root(); in != nil && !s.is(in); in = g.Below(in) {
		var own []llb.State
		if g.Below(in) == nil {
			own = layers.Own(layers.Subtracted, side.bottom.state, len(side.diffIDs()), s.layers)
		} else if own, err = added(layers.Subtracted, g, in); err != nil {
			return nil, err
		}
		stack = append(own, stack...)
	}
	return stack, nil
}

func (s *shared) is(in *pb.Input) bool {
	return s.at != nil && definition.Key(s.at) == definition.Key(in)
}

// added is what an operation adds to the one that it is built upon: of a merge
// what it puts on its first input. job is what the names of the steps begin with.
func added(job string, g *definition.Graph, in *pb.Input) ([]llb.State, error) {
	op := g.Op(in)
	if merge := op.GetMerge(); merge != nil {
		var own []llb.State
		for _, input := range merge.Inputs[1:] {
			st, err := state(g.Definition(op.Inputs[input.Input]))
			if err != nil {
				return nil, err
			}
			own = append(own, st)
		}
		return own, nil
	}
	below, err := state(g.Definition(g.Below(in)))
	if err != nil {
		return nil, err
	}
	with, err := state(g.Definition(in))
	if err != nil {
		return nil, err
	}
	name := instruction(g.Name(in))
	if name == "" {
		name = "what an operation adds"
	}
	return []llb.State{layers.Layer(job, below, with, name)}, nil
}

// layersAbove are the layers of a side's own part, none when the side is no image
// as it came.
func (s *shared) layersAbove(side *sideOn) []digest.Digest {
	switch {
	case side.image == nil:
		return nil
	case s == nil:
		return side.diffIDs()
	case s.layers < 0:
		return nil
	default:
		return side.diffIDs()[s.layers:]
	}
}

// below are the layers of what is shared, none when that is no part of an image.
func (s *shared) below() []digest.Digest {
	if s.layers < 0 || len(s.images) == 0 {
		return nil
	}
	return s.images[0].config.RootFS.DiffIDs[:s.layers]
}
