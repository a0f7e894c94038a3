package frontend

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/skeleton"
)

// linking is what became of the state of one platform.
type linking struct {
	platformRef
	stock  *definition.Graph
	def    *pb.Definition // nil when the state stays as it was
	report PlatformReport
}

// link splits one state into head and tail, and builds as much of the tail as
// is exact on a skeleton of the head.
func link(ctx context.Context, c gateway.Client, mode LinkMode, r platformRef) (*linking, error) {
	l := &linking{platformRef: r, report: PlatformReport{Platform: r.id, Mode: mode}}
	graph, err := graphOf(ctx, r.ref)
	if err != nil {
		return nil, err
	}
	l.stock = graph
	head, steps := graph.Tail()
	if head == nil || len(steps) == 0 {
		return l, nil
	}
	l.report.Base = baseImage(graph, head)

	plan := newPlan(c, graph, head, steps)
	if mode == LinkAlways {
		plan.vouched()
	} else if err := plan.surveyed(ctx); err != nil {
		return nil, err
	}
	l.report.Instructions = plan.instructions
	if plan.linked == 0 {
		return l, nil
	}
	if l.def, err = plan.definition(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func graphOf(ctx context.Context, ref gateway.Reference) (*definition.Graph, error) {
	st, err := ref.ToState()
	if err != nil {
		return nil, fmt.Errorf("reading what the Dockerfile frontend made: %w", err)
	}
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what the Dockerfile frontend made: %w", err)
	}
	return definition.Parse(def.ToPB())
}

// plan is a tail with the skeleton for its first steps.
type plan struct {
	c      gateway.Client
	graph  *definition.Graph
	head   *pb.Input
	steps  []definition.Step
	linked int // how many of the steps, from the first, are linked

	survey       *skeleton.Survey
	sources      *sources
	instructions []Instruction
}

func newPlan(c gateway.Client, g *definition.Graph, head *pb.Input, steps []definition.Step) *plan {
	p := &plan{c: c, graph: g, head: head, steps: steps, sources: &sources{c: c, graph: g, trees: map[string]*tree{}}}
	for _, s := range steps {
		p.instructions = append(p.instructions, Instruction{Instruction: instruction(s.Name), Line: s.Line})
	}
	return p
}

// vouched links every step without looking at the head: the user vouches that
// the destinations are plain directories.
func (p *plan) vouched() {
	p.survey = skeleton.NewSurvey(newTree(nil))
	for i, s := range p.steps {
		if users, groups := s.Names(); len(users)+len(groups) > 0 {
			p.stop(i, "it names a user, who has to be looked up in the base")
			return
		}
		p.link(i)
	}
}

// surveyed links the steps, from the first one, of which everything that they
// look at in the head can be put into a skeleton.
func (p *plan) surveyed(ctx context.Context) error {
	ref, err := solveRef(ctx, p.c, p.graph.Definition(p.head))
	if err != nil {
		return err
	}
	p.survey = skeleton.NewSurvey(newTree(ref))
	for i, s := range p.steps {
		err := p.look(ctx, i, s)
		if unfit := (*skeleton.Unfit)(nil); errors.As(err, &unfit) {
			p.stop(i, unfit.Error())
			return nil
		}
		if err != nil {
			return err
		}
		p.link(i)
	}
	return nil
}

func (p *plan) link(i int) {
	p.linked = i + 1
	p.instructions[i].Linked = true
}

// stop leaves the steps from i on unlinked: they are built on the merged state.
func (p *plan) stop(i int, reason string) {
	p.instructions[i].Reason = reason
	for j := i + 1; j < len(p.instructions); j++ {
		p.instructions[j].Reason = fmt.Sprintf("it follows line %d, which is not linked", p.instructions[i].Line)
	}
}

// definition composes the state: the head, then the difference that the linked
// steps make to the skeleton, then the other steps as they were.
func (p *plan) definition(ctx context.Context) (*pb.Definition, error) {
	ground, err := p.skeleton(ctx)
	if err != nil {
		return nil, err
	}
	b := definition.NewBuilder(p.graph)
	at := b.Include(ground, ground.Root())
	for _, s := range p.steps[:p.linked] {
		if at, err = b.Put(s, at); err != nil {
			return nil, err
		}
	}
	merged, err := p.merge(ctx, ground, b.Finish(at))
	if err != nil {
		return nil, err
	}
	b = definition.NewBuilder(p.graph)
	at = b.Include(merged, merged.Root())
	for _, s := range p.steps[p.linked:] {
		if at, err = b.Put(s, at); err != nil {
			return nil, err
		}
	}
	return b.Finish(at), nil
}

func (p *plan) skeleton(ctx context.Context) (*definition.Graph, error) {
	st := p.survey.State(llb.WithCustomName("[relink] skeleton of the base"))
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("composing the skeleton: %w", err)
	}
	return definition.Parse(def.ToPB())
}

func (p *plan) merge(ctx context.Context, ground *definition.Graph, tail *pb.Definition) (*definition.Graph, error) {
	head, err := state(p.graph.Definition(p.head))
	if err != nil {
		return nil, err
	}
	upper, err := state(tail)
	if err != nil {
		return nil, err
	}
	if ground.Root() != nil {
		lower, err := state(ground.Definition(ground.Root()))
		if err != nil {
			return nil, err
		}
		upper = llb.Diff(lower, upper, llb.WithCustomName("[relink] layers of the linked instructions"))
	}
	var opts []llb.ConstraintsOpt
	if platform := p.steps[0].Platform(); platform != nil {
		opts = append(opts, llb.Platform(platform.Spec()))
	}
	merged := llb.Merge([]llb.State{head, upper}, append(opts, llb.WithCustomName("[relink] link them to the base"))...)
	def, err := merged.Marshal(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("linking the layers to the base: %w", err)
	}
	return definition.Parse(def.ToPB())
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
