package frontend

import (
	"context"
	"errors"
	"fmt"
	"sync"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/skeleton"
)

// plan is a tail, with what is known of the head where its steps look.
type plan struct {
	c     gateway.Client
	graph *definition.Graph
	head  *pb.Input
	base  Base
	steps []step

	linked  int              // how many of the steps, from the first, are linked
	facts   skeleton.Facts   // what the steps look at in the head
	survey  *skeleton.Survey // that of the step that is looked at
	sources *sources
	remarks []string
	// trees says whether the source of an instruction was a directory before.
	trees func(instruction string) bool
	// certain holds no source to be a file without looking at it, and inherits no
	// facts.
	certain bool
	// sound says that every fact is one about this very base.
	sound bool
	// inherited is what was remembered of another base, where that was used.
	inherited *Remembered
}

// step is an instruction of the tail.
type step struct {
	definition.Step
	Instruction
	// touched is what the step looks at and writes.
	touched touched
	// saw is what it looked at in the head.
	saw skeleton.Facts
	// assumed are the copies, by the number of their action, whose source is
	// held to be a file and not a directory.
	assumed map[int]bool
}

func newPlan(c gateway.Client, g *definition.Graph, head *pb.Input, steps []definition.Step) *plan {
	p := &plan{c: c, graph: g, head: head, sources: &sources{c: c, graph: g, trees: map[string]*tree{}}}
	for _, s := range steps {
		p.steps = append(p.steps, step{Step: s, Instruction: Instruction{Instruction: instruction(s.Name), Line: s.Line}})
	}
	return p
}

// vouched links every step without looking at the head: the user vouches that
// the destinations are plain directories.
func (p *plan) vouched(ctx context.Context) error {
	return p.look(ctx, vouchedHead{}, func(s *step) { s.Evidence = "vouched for" })
}

// vouchedHead is a base with nothing in it.
type vouchedHead struct{}

func (vouchedHead) Lstat(context.Context, string) (skeleton.Entry, skeleton.Evidence, error) {
	return skeleton.Entry{}, skeleton.Proved, nil
}

func (vouchedHead) List(context.Context, string) ([]string, skeleton.Evidence, error) {
	return nil, skeleton.Proved, nil
}

func (vouchedHead) Line(context.Context, string, string) (string, skeleton.Evidence, error) {
	return "", skeleton.Proved, nil
}

// surveyed links the steps, from the first one, of which everything that they
// look at in the head can be put into a skeleton: by what is remembered when
// that suffices, else by reading the head.
func (p *plan) surveyed(ctx context.Context, o linkOptions) error {
	if p.readsAnyway() {
		return p.read(ctx, o.memory)
	}
	err := p.recalled(ctx, o.memory, o.mode == LinkStrict)
	switch {
	case errors.Is(err, skeleton.ErrUnknown):
		if away, err := p.headIsAway(ctx, o); away || err != nil {
			return err
		}
		return p.read(ctx, o.memory)
	case err == nil && !p.sound && o.present != nil && p.base.Repository != "" && o.present(ctx, p.base.Digest):
		// The base is there: what costs nothing to read need not be inherited.
		return p.read(ctx, o.memory)
	default:
		return err
	}
}

// headIsAway leaves the tail as it is when an imported cache stands for it all:
// reading a head with RUN would fetch it. The image is asked for as the Dockerfile
// frontend made it, for the builder to find the last of it in the cache; asked for
// the head, it would begin to fetch that.
func (p *plan) headIsAway(ctx context.Context, o linkOptions) (bool, error) {
	if p.base.Repository != "" || o.lazy == nil {
		return false, nil
	}
	if err := evaluate(ctx, p.c, p.graph.Definition(p.graph.Root())); err != nil {
		return false, err
	}
	if !o.lazy(ctx) {
		return false, nil
	}
	p.leave("what it is built upon comes from an imported cache, is not on the builder, and nothing is remembered of it")
	return true, nil
}

// readsAnyway says that the head is read whatever is remembered: when that did
// not hold, and when the head has RUN. Then it is on the builder, or is built
// there now, unless an imported cache stands for it, so reading it costs nothing.
func (p *plan) readsAnyway() bool {
	return p.certain && !p.sound || p.base.Repository == "" && !importsCache(p.c.BuildOpts().Opts)
}

// recalled surveys the head by what is remembered of it, and returns
// skeleton.ErrUnknown when that does not suffice.
func (p *plan) recalled(ctx context.Context, memory Memory, strict bool) error {
	remembered, remarks := memory.Recall(ctx, p.base)
	p.remarks = remarks
	head, from := known(p.base, remembered, strict)
	p.trees = head.Tree
	return p.look(ctx, head, func(s *step) {
		e := p.survey.Evidence()
		s.Evidence = e.String()
		if r := from[e]; r != nil {
			s.From = r.From
		}
		if e == skeleton.Inherited {
			p.sound, p.inherited = false, from[e]
		}
	})
}

// read surveys the head on the builder, which unpacks it there. The stages that
// the tail copies from are built meanwhile, as they would be in a build that is
// not linked.
func (p *plan) read(ctx context.Context, memory Memory) error {
	eg, ctx := errgroup.WithContext(ctx)
	p.buildSources(ctx, eg)
	eg.Go(func() error {
		t, err := solveTree(ctx, p.c, p.graph.Definition(p.head))
		if err != nil {
			return err
		}
		p.prefetch(ctx, t)
		return p.look(ctx, t, func(s *step) { s.Evidence = skeleton.Read.String() })
	})
	if err := eg.Wait(); err != nil {
		return err
	}
	memory.Keep(p.base, p.facts)
	return nil
}

// buildSources begins to build what the tail copies from. Where cache is
// imported it may not be needed, and is left to the build.
func (p *plan) buildSources(ctx context.Context, eg *errgroup.Group) {
	if importsCache(p.c.BuildOpts().Opts) {
		return
	}
	begun := map[string]bool{}
	for _, s := range p.steps {
		for _, a := range s.Actions() {
			in := s.Source(a)
			if in == nil || begun[in.Digest] || p.graph.Op(in).GetSource() != nil {
				continue
			}
			begun[in.Digest] = true
			eg.Go(func() error { return evaluate(ctx, p.c, p.graph.Definition(in)) })
		}
	}
}

// prefetch reads what the steps will look at, all at the same time: one after
// the other they would take as many round trips as there are directories. Where
// it fails, the survey will say so.
func (p *plan) prefetch(ctx context.Context, t *tree) {
	var wg sync.WaitGroup
	for _, s := range p.steps {
		users, groups := s.Names()
		for file, names := range map[string][]string{skeleton.Passwd: users, skeleton.Group: groups} {
			if len(names) > 0 {
				wg.Go(func() { _ = skeleton.NewSurvey(t).Name(ctx, file, names[0]) })
			}
		}
		for _, a := range s.Actions() {
			wg.Go(func() {
				if mk := a.GetMkdir(); mk != nil {
					_, _, _ = skeleton.NewSurvey(t).Resolve(ctx, mk.Path)
				}
				if cp := a.GetCopy(); cp != nil {
					_, e, err := skeleton.NewSurvey(t).Resolve(ctx, cp.Dest)
					if in := s.Source(a); err == nil && e.Kind == skeleton.Dir && p.atHand(in) {
						_, _ = p.sources.of(ctx, in, cp)
					}
				}
			})
		}
	}
	wg.Wait()
}

// verify reads from the head what was surveyed by other evidence. It returns an
// error that names the path when the head says otherwise, or the line that may
// not be linked by what it says.
func (p *plan) verify(ctx context.Context, memory Memory) error {
	if p.sound {
		return nil
	}
	said, linked := p.facts, p.linked
	if err := p.read(ctx, memory); err != nil {
		return err
	}
	if at := said.Differs(p.facts); at != "" {
		return fmt.Errorf("verifying the link to %s: %s is not what an earlier base had there", p.base.Repository, at)
	}
	if p.linked < linked {
		s := p.steps[p.linked]
		return fmt.Errorf("verifying the link to %s: line %d: %s", p.base.Repository, s.Step.Line, s.Reason)
	}
	return nil
}

// look surveys step after step until one does not fit.
func (p *plan) look(ctx context.Context, head skeleton.Head, done func(*step)) error {
	p.facts, p.linked, p.sound, p.inherited = skeleton.NewFacts(), 0, true, nil
	_, vouched := head.(vouchedHead)
	for i := range p.steps {
		s := &p.steps[i]
		p.survey = skeleton.NewSurvey(head)
		err := p.lookAt(ctx, i, vouched)
		s.saw = p.survey.Facts()
		p.facts.Add(s.saw)
		if unfit := (*skeleton.UnfitError)(nil); errors.As(err, &unfit) {
			p.stop(i, unfit.Error())
			return nil
		}
		if err != nil {
			return err
		}
		p.linked, s.Linked = i+1, true
		done(s)
	}
	return nil
}

// leaveWhatCannotBeMade leaves all steps unlinked where the builder lacks an
// operation that the skeleton needs.
func (p *plan) leaveWhatCannotBeMade() {
	caps := p.c.BuildOpts().LLBCaps
	if p.facts.HasSymlinks() && !caps.Contains(pb.CapFileSymlinkCreate) {
		p.leave("the base has a symbolic link on the way, which this builder cannot make in a skeleton")
	}
}

// leave leaves all steps unlinked.
func (p *plan) leave(reason string) {
	p.linked = 0
	for i := range p.steps {
		s := &p.steps[i]
		s.Linked, s.Reason, s.Evidence, s.From, s.Group = false, reason, "", "", 0
	}
}

// stop leaves the steps from i on unlinked: they are built on the merged state.
func (p *plan) stop(i int, reason string) {
	p.steps[i].Reason = reason
	for j := i + 1; j < len(p.steps); j++ {
		p.steps[j].Reason = fmt.Sprintf("it follows line %d, which is not linked", p.steps[i].Step.Line)
	}
}

// assumesAny says whether a linked step rests on an assumption about its source.
func (p *plan) assumesAny() bool {
	for _, s := range p.steps[:p.linked] {
		if len(s.assumed) > 0 {
			return true
		}
	}
	return false
}

// untouched says that the base is all of the head, and was not looked at.
func (p *plan) untouched() bool {
	if p.base.Repository == "" || p.linked < len(p.steps) {
		return false
	}
	for _, s := range p.steps {
		if s.Evidence == skeleton.Read.String() {
			return false
		}
	}
	return true
}

// instructions are the report's.
func (p *plan) instructions() []Instruction {
	var out []Instruction
	for _, s := range p.steps {
		out = append(out, s.Instruction)
	}
	return out
}
