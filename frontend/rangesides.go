package frontend

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/dockerfile"
	"github.com/docker-relink/relink/internal/errdefs"
)

// differences are the ranges of one platform.
type differences struct {
	r     *ranges
	sides map[*dockerfile.Range]side
	done  map[*dockerfile.Range]*definition.Graph
	gone  map[*dockerfile.Range][]removal // what ranges that were compared by files delete
	path  []*dockerfile.Range             // those that are being put together
}

// side has both sides of a range, which may have marks of other ranges.
type side struct{ lower, upper *definition.Graph }

// sides reads both sides of the ranges, and of those that these need in turn,
// by platform. All sides of one depth are read at once, so that what they have
// in common is one and the same operation.
func (r *ranges) sides(ctx context.Context, needed []*dockerfile.Range) (map[string]*differences, error) {
	out := map[string]*differences{}
	known := map[*dockerfile.Range]bool{}
	for len(needed) > 0 {
		for _, rg := range needed {
			known[rg] = true
		}
		more, err := r.readSides(ctx, needed, out)
		if err != nil {
			return nil, err
		}
		needed = slices.DeleteFunc(more, func(rg *dockerfile.Range) bool { return known[rg] })
	}
	return out, nil
}

func (r *ranges) readSides(ctx context.Context, needed []*dockerfile.Range, out map[string]*differences) (more []*dockerfile.Range, err error) {
	text, err := r.file.WithSides(needed)
	if err != nil {
		return nil, r.source.error(err)
	}
	res, err := r.read(ctx, r.sidesOpts(), text.Text)
	if err != nil {
		return nil, r.restoreError(err, text.Text, text.Origin)
	}
	more, graphs, err := r.graphs(ctx, res)
	if err != nil {
		return nil, err
	}
	for _, g := range graphs {
		d := out[g.id]
		if d == nil {
			d = &differences{r: r, sides: map[*dockerfile.Range]side{}, done: map[*dockerfile.Range]*definition.Graph{}, gone: map[*dockerfile.Range][]removal{}}
			out[g.id] = d
		}
		copied := g.copied()
		for i, rg := range needed {
			var s side
			if s.lower, err = r.part(g.Graph, copied[dockerfile.LowerPath(i)], text); err != nil {
				return nil, err
			}
			if s.upper, err = r.part(g.Graph, copied[dockerfile.UpperPath(i)], text); err != nil {
				return nil, err
			}
			d.sides[rg] = s
		}
	}
	return more, nil
}

// sidesOpts are the options to read the sides with. The warnings about the
// user's text come with the target's reading, and what the stages learn of the
// target is the user's target all the same.
func (r *ranges) sidesOpts() map[string]string {
	opts := withoutSBOM(r.opts)
	opts["build-arg:BUILDKIT_DOCKERFILE_CHECK"] = "skip=all"
	if _, ok := opts["build-arg:TARGETSTAGE"]; !ok {
		stages := r.file.StageNames()
		opts["build-arg:TARGETSTAGE"] = stages[len(stages)-1]
		if t := opts["target"]; t != "" {
			opts["build-arg:TARGETSTAGE"] = t
		}
		if opts["build-arg:TARGETSTAGE"] == "" {
			opts["build-arg:TARGETSTAGE"] = "default"
		}
	}
	opts["target"] = dockerfile.SidesStage
	return opts
}

// copied are the sources of the copies at the graph's end, by destination.
func (g platformGraph) copied() map[string]*pb.Input {
	out := map[string]*pb.Input{}
	_, steps := g.Tail()
	for _, s := range steps {
		for _, a := range s.Actions() {
			if cp := a.GetCopy(); cp != nil {
				out[strings.TrimSuffix(cp.Dest, "/")] = s.Source(a)
			}
		}
	}
	return out
}

// part is the part of a graph of sides that the input needs, as it would be of
// the user's own text.
func (r *ranges) part(g *definition.Graph, in *pb.Input, text *dockerfile.Sides) (*definition.Graph, error) {
	def := g.Definition(in)
	r.restoreSource(def, text.Text, text.Origin)
	return definition.Parse(def)
}

// of is the range as a graph: the difference of its sides.
func (d *differences) of(ctx context.Context, rg *dockerfile.Range) (*definition.Graph, error) {
	if g := d.done[rg]; g != nil {
		return g, nil
	}
	if slices.Contains(d.path, rg) {
		return nil, d.r.errRange(rg, errdefs.Invalidf("Break the circle with a stage of its own.", "range %s needs itself", rg.Expression))
	}
	d.path = append(d.path, rg)
	defer func() { d.path = d.path[:len(d.path)-1] }()
	lower, err := d.state(ctx, d.sides[rg].lower)
	if err != nil {
		return nil, err
	}
	upper, err := d.state(ctx, d.sides[rg].upper)
	if err != nil {
		return nil, err
	}
	diff := llb.Diff(lower, upper, llb.WithCustomName("[relink] "+rg.String()))
	if d.r.byFiles {
		if diff, err = d.compared(ctx, rg, lower, upper); err != nil {
			return nil, err
		}
	}
	def, err := marshal(ctx, diff)
	if err != nil {
		return nil, err
	}
	if len(def.Def) == 0 {
		return nil, d.r.errRange(rg, errdefs.Invalidf("Write scratch.", "range %s is empty: both sides are", rg.Expression))
	}
	g, err := definition.Parse(def)
	if err != nil {
		return nil, fmt.Errorf("reading the range %s: %w", rg.Expression, err)
	}
	d.done[rg] = g
	return g, nil
}

// state is a side with the ranges in it.
func (d *differences) state(ctx context.Context, g *definition.Graph) (llb.State, error) {
	def, err := d.r.fill(ctx, d, g)
	if err != nil {
		return llb.State{}, err
	}
	return state(def)
}

// errRange shows an error at the line of a range.
func (r *ranges) errRange(rg *dockerfile.Range, err error) error {
	return r.source.error(&dockerfile.Error{Start: rg.Line, End: rg.Line, Err: err})
}
