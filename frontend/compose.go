package frontend

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/skeleton"
)

// definition composes the state: the head, then the layer of every linked step,
// then the other steps as they were.
func (p *plan) definition(ctx context.Context) (*pb.Definition, error) {
	b, err := p.layers(ctx)
	if err != nil {
		return nil, err
	}
	at, err := b.Merge(append([]*pb.Input{b.Include(p.graph, p.head)}, b.layers...), "[relink] link the layers to the base")
	if err != nil {
		return nil, err
	}
	for _, s := range p.steps[p.linked:] {
		if at, err = b.Put(s.Step, at); err != nil {
			return nil, err
		}
	}
	return b.Finish(at), nil
}

// layers are what each linked step adds. A step is built upon the skeleton of its group,
// or upon nothing where that is the same, and the steps that it needs, so that no other's
// change is one of it.
func (p *plan) layers(ctx context.Context) (*layering, error) {
	b := &layering{Builder: definition.NewBuilder(p.graph), needs: make([][]int, p.linked), skeletons: map[int]*pb.Input{}}
	for i := range p.linked {
		b.needs[i] = p.needed(i, b.needs)
	}
	p.group(b.needs)
	for i := range p.linked {
		if err := p.layer(ctx, b, i); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// skeleton adds what a group of steps looks at in the head to a builder.
func (p *plan) skeleton(ctx context.Context, b *definition.Builder, group int) (*pb.Input, error) {
	steps := slices.DeleteFunc(slices.Clone(p.steps[:p.linked]), func(s step) bool { return s.Group != group })
	if !slices.ContainsFunc(steps, func(s step) bool { return !s.isBare() }) {
		return nil, nil
	}
	saw := skeleton.NewFacts()
	for _, s := range steps {
		saw.Add(s.saw)
	}
	opts := []llb.ConstraintsOpt{llb.WithCustomName("[relink] skeleton of the base for " + steps[0].Instruction.Instruction)}
	if platform := p.steps[0].Platform(); platform != nil {
		opts = append(opts, llb.Platform(platform.Spec()))
	}
	def, err := marshal(ctx, saw.State(opts...), opts...)
	if err != nil {
		return nil, err
	}
	g, err := definition.Parse(def)
	if err != nil {
		return nil, err
	}
	return b.Include(g, g.Root()), nil
}

// layering is a definition of the steps that are built so far. A nil input is the empty
// file system.
type layering struct {
	*definition.Builder
	skeletons map[int]*pb.Input // by group
	states    []*pb.Input       // the step on its ground
	layers    []*pb.Input       // what it adds to its ground
	needs     [][]int           // the steps that its ground has, in their order
}

func (p *plan) layer(ctx context.Context, b *layering, i int) error {
	s := &p.steps[i]
	if _, ok := b.skeletons[s.Group]; !ok {
		var err error
		if b.skeletons[s.Group], err = p.skeleton(ctx, b.Builder, s.Group); err != nil {
			return err
		}
	}
	ground, err := b.ground(b.skeletons[s.Group], b.needs[i])
	if err != nil {
		return err
	}
	put := s.Step
	if len(s.assumed) > 0 {
		put = put.AssumeFiles(func(n int) bool { return s.assumed[n] })
	}
	if ground == nil && !s.copiesSomething() {
		nothing, err := b.Nothing("[relink] an input for " + s.Instruction.Instruction)
		if err != nil {
			return err
		}
		put = put.Beside(nothing)
	}
	at, err := b.Put(put, ground)
	if err != nil {
		return err
	}
	var layer *pb.Input
	if extras := s.Extras(); len(extras) > 0 {
		// What a COPY --link adds is a layer as it is.
		for _, in := range extras {
			b.Include(p.graph, in)
		}
		layer, err = b.Merge(extras, "[relink] layers of COPY --link")
	} else {
		layer, err = b.Diff(ground, at, "[relink] layer of "+s.Instruction.Instruction)
	}
	b.states, b.layers = append(b.states, at), append(b.layers, layer)
	return err
}

// needed are the steps that step i has to be built upon, with those that they
// need.
func (p *plan) needed(i int, needs [][]int) []int {
	in := make([]bool, i)
	for j := i - 1; j >= 0; j-- {
		if in[j] || p.steps[i].touched.needs(p.steps[j].touched) {
			in[j] = true
			for _, k := range needs[j] {
				in[k] = true
			}
		}
	}
	var out []int
	for j, ok := range in {
		if ok {
			out = append(out, j)
		}
	}
	return out
}

// group numbers the steps that are built upon one another, from 1 in the order of the
// first of each group.
func (p *plan) group(needs [][]int) {
	first := make([]int, len(needs)) // of the group
	for i := range needs {
		first[i] = i
		for _, j := range needs[i] {
			from, to := max(first[i], first[j]), min(first[i], first[j])
			for k := range first[:i+1] {
				if first[k] == from {
					first[k] = to
				}
			}
		}
	}
	groups := 0
	for i, f := range first {
		if f == i {
			groups++
			p.steps[i].Group = groups
			continue
		}
		p.steps[i].Group = p.steps[f].Group
	}
}

// ground is the skeleton with the steps that are needed: the last one's state
// when it has just the others below it, else their layers merged.
func (b *layering) ground(below *pb.Input, needs []int) (*pb.Input, error) {
	if len(needs) == 0 {
		return below, nil
	}
	last := needs[len(needs)-1]
	if len(b.needs[last]) == len(needs)-1 {
		return b.states[last], nil
	}
	inputs := []*pb.Input{below}
	for _, j := range needs {
		inputs = append(inputs, b.layers[j])
	}
	return b.Merge(inputs, "[relink] ground of the next instruction")
}

func state(def *pb.Definition) (llb.State, error) {
	if len(def.Def) == 0 {
		return llb.Scratch(), nil
	}
	op, err := llb.NewDefinitionOp(def)
	if err != nil {
		return llb.State{}, fmt.Errorf("reading a definition: %w", err)
	}
	return llb.NewState(op.Output()), nil
}

func marshal(ctx context.Context, st llb.State, opts ...llb.ConstraintsOpt) (*pb.Definition, error) {
	def, err := st.Marshal(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("composing the image: %w", err)
	}
	return definition.OneLocation(def.ToPB()), nil
}
