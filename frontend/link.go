package frontend

import (
	"cmp"
	"context"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
)

// linking is what became of the state of one platform.
type linking struct {
	platformRef
	stock  *definition.Graph
	plan   *plan          // nil when there is no tail
	def    *pb.Definition // nil when the state stays as it was
	report PlatformReport
}

// linkOptions are the user's choices.
type linkOptions struct {
	mode     LinkMode
	verify   bool
	annotate bool
	explain  bool
	squash   SquashMode
	memory   Memory
	present  func(ctx context.Context, digest string) bool
	lazy     func(ctx context.Context) bool
}

// link splits one state into head and tail, and builds as much of the tail as
// is exact on a skeleton of the head.
func link(ctx context.Context, c gateway.Client, o linkOptions, g platformGraph) (*linking, error) {
	l := &linking{platformRef: g.platformRef, stock: g.Graph, report: PlatformReport{Platform: cmp.Or(g.id, onlyPlatform(c)), Mode: o.mode}}
	head, steps := g.Tail()
	if head == nil || len(steps) == 0 {
		return l, nil
	}
	l.report.Base = baseImage(g.Graph, head)

	p := newPlan(c, g.Graph, head, steps)
	p.base = baseOf(g.Graph, head, g.id)
	l.report.Platform = p.base.Platform
	l.plan = p
	return l, l.compose(ctx, o)
}

// hold builds the state when it rests on what may not hold: on assumptions about the
// sources of copies, or on inherited facts. Where a copy fails, the sources and the head
// are looked at, and the state is composed anew, which is what it returns.
func (l *linking) hold(ctx context.Context, o linkOptions, build func(context.Context) error) (anew bool, err error) {
	if l.def == nil || l.plan == nil || l.plan.certain || l.plan.sound && !l.plan.assumesAny() {
		return false, nil
	}
	if err := build(ctx); err == nil || !failsInFileAction(err) {
		return false, err
	}
	l.plan.certain = true
	return true, l.compose(ctx, o)
}

// holdAlone does so before anything else is made of the state.
func (l *linking) holdAlone(ctx context.Context, o linkOptions) error {
	_, err := l.hold(ctx, o, func(ctx context.Context) error { return evaluate(ctx, l.plan.c, l.def) })
	return err
}

// reported is the report of the state.
func (l *linking) reported() PlatformReport {
	if p := l.plan; p != nil {
		l.report.Instructions, l.report.Remarks, l.report.Untouched = p.instructions(), p.remarks, p.untouched()
	}
	return l.report
}

func (l *linking) compose(ctx context.Context, o linkOptions) (err error) {
	l.def = nil
	if err := l.plan.make(ctx, o); err != nil {
		return err
	}
	l.plan.leaveWhatCannotBeMade()
	if l.plan.linked > 0 {
		l.def, err = l.plan.definition(ctx)
	}
	return err
}

// make surveys the head as the mode says.
func (p *plan) make(ctx context.Context, o linkOptions) error {
	if o.mode == LinkAlways {
		return p.vouched(ctx)
	}
	if err := p.surveyed(ctx, o); err != nil {
		return err
	}
	if o.verify {
		return p.verify(ctx, o.memory)
	}
	return nil
}
