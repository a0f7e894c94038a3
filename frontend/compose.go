package frontend

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
)

// definition composes the state: the head, then the layer of every linked step,
// then the other steps as they were.
func (p *plan) definition(ctx context.Context) (*pb.Definition, error) {
	layers, err := p.layers(ctx)
	if err != nil {
		return nil, err
	}
	head, err := state(p.graph.Definition(p.head))
	if err != nil {
		return nil, err
	}
	at := llb.Merge(append([]llb.State{head}, layers...), p.constraints("[relink] link the layers to the base")...)
	for _, s := range p.steps[p.linked:] {
		if at, err = p.put(ctx, s.Step, at); err != nil {
			return nil, err
		}
	}
	return marshal(ctx, at, p.constraints("")...)
}

// constraints are those of the tail's own operations.
func (p *plan) constraints(name string) []llb.ConstraintsOpt {
	var opts []llb.ConstraintsOpt
	if name != "" {
		opts = append(opts, llb.WithCustomName(name))
	}
	if platform := p.steps[0].Platform(); platform != nil {
		opts = append(opts, llb.Platform(platform.Spec()))
	}
	return opts
}

// layers are what each linked step adds. A step is built upon the skeleton and
// the steps that it needs, so that no other's change is one of it.
func (p *plan) layers(ctx context.Context) ([]llb.State, error) {
	b := &layering{
		skeleton: p.survey.Facts().State(p.constraints("[relink] skeleton of the base")...),
		states:   make([]llb.State, p.linked),
		layers:   make([]llb.State, p.linked),
		needs:    make([][]int, p.linked),
	}
	for i := range p.linked {
		if err := p.layer(ctx, b, i); err != nil {
			return nil, err
		}
	}
	return b.layers, nil
}

// layering are the steps that are built so far.
type layering struct {
	skeleton llb.State
	states   []llb.State // the step on its ground
	layers   []llb.State // what it adds to its ground
	needs    [][]int     // the steps that its ground has, in their order
}

func (p *plan) layer(ctx context.Context, b *layering, i int) error {
	s := &p.steps[i]
	b.needs[i] = p.needed(i, b.needs)
	p.group(i, b.needs[i])
	ground := b.ground(b.needs[i])
	put := s.Step
	if len(s.assumed) > 0 {
		put = put.AssumeFiles(func(n int) bool { return s.assumed[n] })
	}
	at, err := p.put(ctx, put, ground)
	if err != nil {
		return err
	}
	b.states[i] = at
	if extras := s.Extras(); len(extras) > 0 {
		b.layers[i], err = p.extra(extras)
		return err
	}
	b.layers[i] = llb.Diff(ground, at, p.constraints("[relink] layer of "+s.Instruction.Instruction)...)
	return nil
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

// group gives a step the number of the group that it builds upon, or a new one.
func (p *plan) group(i int, needs []int) {
	group := 0
	for j := range p.steps[:i] {
		group = max(group, p.steps[j].Group)
	}
	group++
	for _, j := range needs {
		group = min(group, p.steps[j].Group)
	}
	p.steps[i].Group = group
}

// ground is the skeleton with the steps that are needed: the last one's state
// when it has just the others below it, else their layers merged.
func (b *layering) ground(needs []int) llb.State {
	if len(needs) == 0 {
		return b.skeleton
	}
	last := needs[len(needs)-1]
	if len(b.needs[last]) == len(needs)-1 {
		return b.states[last]
	}
	inputs := []llb.State{b.skeleton}
	for _, j := range needs {
		inputs = append(inputs, b.layers[j])
	}
	return llb.Merge(inputs, llb.WithCustomName("[relink] ground of the next instruction"))
}

// put builds the step on a state.
func (p *plan) put(ctx context.Context, s definition.Step, on llb.State) (llb.State, error) {
	def, err := marshal(ctx, on, p.constraints("")...)
	if err != nil {
		return llb.State{}, err
	}
	ground, err := definition.Parse(def)
	if err != nil {
		return llb.State{}, err
	}
	b := definition.NewBuilder(p.graph)
	at, err := b.Put(s, b.Include(ground, ground.Root()))
	if err != nil {
		return llb.State{}, err
	}
	return state(b.Finish(at))
}

// extra is what a COPY --link adds, which is a layer as it is.
func (p *plan) extra(extras []*pb.Input) (llb.State, error) {
	var layers []llb.State
	for _, in := range extras {
		st, err := state(p.graph.Definition(in))
		if err != nil {
			return llb.State{}, err
		}
		layers = append(layers, st)
	}
	if len(layers) == 1 {
		return layers[0], nil
	}
	return llb.Merge(layers, p.constraints("[relink] layers of COPY --link")...), nil
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
