package frontend

import (
	"context"
	"errors"
	"fmt"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/skeleton"
)

// toBeRead is the evidence of an instruction for which the base would be read.
const toBeRead = "to be read"

// explain plans without building: the result is empty but for the report. What
// is not remembered of a base is said to have to be read.
func explain(ctx context.Context, c gateway.Client, o linkOptions, stock *reading) (*gateway.Result, error) {
	var report Report
	if reason := unable(c); reason != "" {
		report.Platforms = []PlatformReport{{Mode: o.mode, Reason: reason}}
	} else {
		graphs, err := stock.graphs(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range graphs {
			p, err := explainPlatform(ctx, c, o, g)
			if err != nil {
				return nil, err
			}
			report.Platforms = append(report.Platforms, p)
		}
	}
	dt, err := report.Encode()
	if err != nil {
		return nil, err
	}
	res := gateway.NewResult()
	res.AddMeta(ReportKey, dt)
	return res, nil
}

func explainPlatform(ctx context.Context, c gateway.Client, o linkOptions, g platformGraph) (PlatformReport, error) {
	report := PlatformReport{Platform: g.id, Mode: o.mode}
	report.Stages = stagesOf(g.Graph, c.BuildOpts().Opts)
	head, steps := g.Tail()
	if head == nil {
		report.Reason = "the image has no base: there is nothing to link to"
		return report, nil
	}
	report.Base = baseImage(g.Graph, head)
	report.Head = &Instruction{Instruction: instruction(g.Name(head)), Line: g.Line(head)}
	report.Left = left(g.Graph, head)
	p := newPlan(c, g.Graph, head, steps)
	p.base = baseOf(g.Graph, head, g.id)
	report.Platform = p.base.Platform
	if err := p.foresee(ctx, o); err != nil {
		return report, err
	}
	report.Instructions, report.Remarks, report.Untouched = p.instructions(), p.remarks, p.untouched()
	for i := range report.Instructions {
		report.Instructions[i].Advice = advice(report.Instructions[i])
	}
	return report, nil
}

// foresee plans by what is remembered. Where that does not suffice, every step
// is one that the head has to be read for.
func (p *plan) foresee(ctx context.Context, o linkOptions) error {
	var err error
	if o.mode == LinkAlways {
		err = p.vouched(ctx)
	} else {
		err = p.recalled(ctx, o.memory, o.mode == LinkStrict)
	}
	if !errors.Is(err, skeleton.ErrUnknown) {
		if err == nil && p.linked > 0 {
			_, err = p.layers(ctx) // which numbers the groups
			p.leaveWhatCannotBeMade()
		}
		for i := range p.steps[:p.linked] {
			if o.mode != LinkAlways && p.readsAnyway() {
				p.steps[i].Evidence, p.steps[i].From = toBeRead, ""
			}
		}
		return err
	}
	for i := range p.steps {
		s := &p.steps[i]
		s.Instruction = Instruction{
			Instruction: s.Instruction.Instruction, Line: s.Step.Line,
			Linked: true, Evidence: toBeRead, Destinations: written(s.Step),
		}
	}
	return nil
}

// written are the destinations of a step as the Dockerfile has them.
func written(s definition.Step) []string {
	var out []string
	for _, a := range s.Actions() {
		switch o := a.Action.(type) {
		case *pb.FileAction_Copy:
			out = append(out, o.Copy.Dest)
		case *pb.FileAction_Mkdir:
			out = append(out, o.Mkdir.Path)
		}
	}
	return out
}

// left are the copies of the head, each with the command that follows it.
func left(g *definition.Graph, head *pb.Input) []Instruction {
	var out []Instruction
	last := head
	for in := head; in != nil; in = g.Below(in) {
		switch {
		case g.Op(in).GetExec() != nil:
			last = in
		case g.Op(in).GetFile() != nil:
			out = append([]Instruction{{
				Instruction: instruction(g.Name(in)),
				Line:        g.Line(in),
				Reason:      fmt.Sprintf("line %d runs a command on it, which would have to unpack the merge", g.Line(last)),
				Advice:      fmt.Sprintf("if the command of line %d does not need it, move it below that line", g.Line(last)),
			}}, out...)
		}
	}
	return out
}

// advice is what could be changed about an instruction.
func advice(i Instruction) string {
	switch {
	case !i.Linked:
		return "copy to a path that the base does not have, or is a plain directory of"
	case i.Evidence == toBeRead:
		return "build once: what is read is remembered"
	default:
		return ""
	}
}
