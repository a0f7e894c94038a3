package frontend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/dockerfile"
)

// ranges builds a Dockerfile with ranges (A..B).
//
// The Dockerfile frontend reads it with a name in the place of each range. By
// that name it gets a build context of nothing but a mark, and where the mark
// is in what it returns, the range is needed. The sides of these ranges are
// taken from a second reading, which may show marks of further ranges. In the
// end every mark is replaced by the difference of its sides.
type ranges struct {
	f      *Frontend
	c      gateway.Client
	source *dockerfileSource
	file   *dockerfile.File
	text   []byte // with the names
	ignore []byte
	opts   map[string]string
	inputs map[string]*pb.Definition
	marks  map[*dockerfile.Range]*pb.Input

	byFiles   bool // the builder cannot subtract layers
	inProcess bool // the builder's own Dockerfile frontend is too old
}

// findRanges reads the Dockerfile and finds the ranges in it, nil when there is
// none.
func (f *Frontend) findRanges(ctx context.Context, c gateway.Client) (*ranges, error) {
	opts := c.BuildOpts().Opts
	switch opts["requestid"] {
	case "", requestLint, requestOutline:
	default:
		// The stages can be told from the user's own text.
		return nil, nil
	}
	src := readDockerfile(ctx, c)
	if src == nil {
		return nil, nil
	}
	file, err := dockerfile.Parse(src.Data, func(name string) bool {
		_, ok := opts["context:"+name]
		return ok
	})
	if err != nil {
		return nil, src.error(err)
	}
	f.memory().KeepRanges(dockerfilePlace(opts), file != nil)
	if file == nil {
		return nil, nil
	}
	r := &ranges{f: f, c: c, source: src, file: file, opts: maps.Clone(opts)}
	return r, r.prepare(ctx)
}

func (r *ranges) prepare(ctx context.Context) (err error) {
	caps := r.c.BuildOpts().LLBCaps
	if caps.Supports(pb.CapDiffOp) != nil {
		if err := unableToCompare(r.c, "range "+r.file.Ranges[0].String()); err != nil {
			return r.errRange(r.file.Ranges[0], err)
		}
		// A builder that knows of DiffOp and has it disabled is new enough.
		r.byFiles, r.inProcess = true, !caps.Contains(pb.CapDiffOp)
	}
	if r.text, err = r.file.Rewritten(); err != nil {
		return r.source.error(err)
	}
	if r.ignore, err = r.source.ignoreFile(ctx, r.c); err != nil {
		return err
	}
	if r.inputs, err = frontendInputs(ctx, r.c); err != nil {
		return err
	}
	if err := r.source.redirect(ctx, r.opts, r.inputs); err != nil {
		return err
	}
	return r.mark(ctx)
}

// mark gives every range a build context that is known again by its digest.
func (r *ranges) mark(ctx context.Context) error {
	r.marks = map[*dockerfile.Range]*pb.Input{}
	for _, rg := range r.file.Ranges {
		def, err := marshal(ctx, llb.Scratch().File(llb.Mkfile("/"+rg.Name, 0o400, nil), llb.WithCustomName("[relink] "+rg.String())))
		if err != nil {
			return err
		}
		g, err := definition.Parse(def)
		if err != nil {
			return err
		}
		r.marks[rg] = g.Root()
		r.inputs[rg.Name] = def
		r.opts["context:"+rg.Name] = "input:" + rg.Name
	}
	return nil
}

// solve has the Dockerfile frontend read the Dockerfile, and puts the ranges
// into what it returns.
func (r *ranges) solve(ctx context.Context) (*reading, error) {
	if id := r.opts["requestid"]; id != "" {
		res, err := r.request(ctx, id)
		return &reading{Result: res}, err
	}
	res, err := r.read(ctx, r.opts, r.text)
	if err != nil {
		return nil, r.restoreError(err, r.text, nil)
	}
	needed, graphs, err := r.graphs(ctx, res)
	if err != nil {
		return nil, err
	}
	sides, err := r.sides(ctx, needed)
	if err != nil {
		return nil, err
	}
	var replaced []*linking
	for _, g := range graphs {
		l := &linking{platformRef: g.platformRef, stock: g.Graph}
		if l.def, err = r.filled(ctx, sides[g.id], g.Graph); err != nil {
			return nil, err
		}
		replaced = append(replaced, l)
	}
	return &reading{Result: res}, r.replace(ctx, res, sides, replaced)
}

// read has the Dockerfile frontend read a text in place of the Dockerfile.
func (r *ranges) read(ctx context.Context, opts map[string]string, text []byte) (*gateway.Result, error) {
	inputs := maps.Clone(r.inputs)
	var err error
	if inputs["dockerfile"], err = r.source.text(ctx, text, r.ignore); err != nil {
		return nil, err
	}
	if r.inProcess && !namesFrontend(opts, text) {
		return readInProcess(ctx, r.c, opts, inputs)
	}
	return r.c.Solve(ctx, gateway.SolveRequest{Frontend: r.f.Inner, FrontendOpt: opts, FrontendInputs: inputs})
}

// graphs are what a result has for each platform, and the ranges that it needs.
func (r *ranges) graphs(ctx context.Context, res *gateway.Result) (needed []*dockerfile.Range, graphs []platformGraph, err error) {
	if graphs, err = graphsOf(ctx, res); err != nil {
		return nil, nil, err
	}
	for _, rg := range r.file.Ranges {
		if slices.ContainsFunc(graphs, func(g platformGraph) bool { return g.Op(r.marks[rg]) != nil }) {
			needed = append(needed, rg)
		}
	}
	return needed, graphs, nil
}

// filled is a graph that was made of the text with the names, as it would be of
// the user's own.
func (r *ranges) filled(ctx context.Context, with *differences, g *definition.Graph) (*pb.Definition, error) {
	def := g.Definition(g.Root())
	r.restoreSource(def, r.text, nil)
	own, err := definition.Parse(def)
	if err != nil {
		return nil, err
	}
	return r.fill(ctx, with, own)
}

// fill replaces the marks in a graph by the ranges, and where a whole range is
// linked, as COPY --link does, puts its layers there as they are.
func (r *ranges) fill(ctx context.Context, with *differences, g *definition.Graph) (*pb.Definition, error) {
	def := g.Definition(g.Root())
	for _, rg := range r.file.Ranges {
		mark := r.marks[rg]
		if g.Op(mark) == nil {
			continue
		}
		diff, err := with.of(ctx, rg)
		if err != nil {
			return nil, err
		}
		for _, copied := range wholeCopies(g, mark) {
			if def, err = g.Replace(copied, diff); err != nil {
				return nil, err
			}
			if g, err = definition.Parse(def); err != nil {
				return nil, err
			}
		}
		if g.Op(mark) == nil {
			continue
		}
		if g, err = with.deleteGone(ctx, g, rg); err != nil {
			return nil, err
		}
		if def, err = g.Replace(mark, diff); err != nil {
			return nil, err
		}
		if g, err = definition.Parse(def); err != nil {
			return nil, err
		}
	}
	return def, nil
}

// replace puts the graphs with the ranges into a result, and into its
// attestations.
func (r *ranges) replace(ctx context.Context, res *gateway.Result, sides map[string]*differences, replaced []*linking) error {
	if len(replaced) == 0 {
		return nil
	}
	refs, err := r.f.solveLinked(ctx, r.c, replaced)
	if err != nil {
		return err
	}
	for i, l := range replaced {
		setRef(res, l.id, refs[i])
		atts := res.Attestations[l.id]
		for j := range atts {
			if atts[j].Ref == nil {
				continue
			}
			g, err := graphOf(ctx, atts[j].Ref)
			if err != nil {
				return fmt.Errorf("reading an attestation: %w", err)
			}
			def, err := r.filled(ctx, sides[l.id], g)
			if err != nil {
				return err
			}
			if atts[j].Ref, err = solveRef(ctx, r.c, def); err != nil {
				return err
			}
		}
	}
	return nil
}

// wholeCopies are the operations that copy the input's root to their own root,
// as it is, only to be put on top of something else by a merge: what COPY
// --link makes.
func wholeCopies(g *definition.Graph, in *pb.Input) []*pb.Input {
	var out []*pb.Input
	for _, copied := range g.Users(in) {
		if copied.Digest == g.Root().Digest || !copiesWhole(g.Op(copied)) {
			continue
		}
		users := g.Users(copied)
		if len(users) > 0 && !slices.ContainsFunc(users, func(u *pb.Input) bool { return g.Op(u).GetMerge() == nil }) {
			out = append(out, copied)
		}
	}
	return out
}

func copiesWhole(op *pb.Op) bool {
	actions := op.GetFile().GetActions()
	if len(actions) != 1 || len(op.Inputs) != 1 || actions[0].Input >= 0 || actions[0].SecondaryInput != 0 {
		return false
	}
	return copiesAll(actions[0].GetCopy())
}

// copiesAll says whether an action copies all that there is, as it is, to the
// root.
func copiesAll(cp *pb.FileActionCopy) bool {
	return cp != nil && strings.Trim(cp.Src, "/.") == "" && strings.Trim(cp.Dest, "/.") == "" &&
		cp.Owner == nil && cp.Mode < 0 && cp.ModeStr == "" && cp.Timestamp < 0 &&
		len(cp.IncludePatterns)+len(cp.ExcludePatterns) == 0
}
