package frontend

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/dockerfile"
)

// reading is what the Dockerfile frontend made of a Dockerfile: what to build, of
// which nothing is built yet.
type reading struct {
	*gateway.Result
	platforms []platformGraph // nil until they are asked for
}

// platformGraph is what the Dockerfile frontend made for one platform.
type platformGraph struct {
	platformRef
	*definition.Graph
}

// platformRef is the state of one platform of a result.
type platformRef struct {
	id  string // the platform's key in the result, "" for a result of one
	ref gateway.Reference
}

// read has the Dockerfile frontend read the Dockerfile of the request, with its
// ranges, nil when it has none. Where there were none the last time, the Dockerfile is
// not looked at for them beforehand: when the Dockerfile frontend understands it, what
// it made says what is in it.
func (f *Frontend) read(ctx context.Context, c gateway.Client) (*reading, *ranges, error) {
	opts := c.BuildOpts().Opts
	var plain *reading
	var failed error
	if opts["requestid"] == "" && f.memory().HadNoRanges(dockerfilePlace(opts)) {
		if plain, failed = f.solve(ctx, c, opts); failed == nil && plain.hasNoRanges(ctx) {
			return plain, nil, nil
		}
	}
	rg, err := f.findRanges(ctx, c)
	switch {
	case err != nil:
		return nil, nil, err
	case rg != nil:
		of, err := rg.solve(ctx)
		return of, rg, err
	case plain == nil && failed == nil:
		plain, failed = f.solve(ctx, c, opts)
	}
	return plain, nil, failed
}

// solve has the other frontend read the Dockerfile, with the user's own options.
func (f *Frontend) solve(ctx context.Context, c gateway.Client, opts map[string]string) (*reading, error) {
	inputs, err := frontendInputs(ctx, c)
	if err != nil {
		return nil, err
	}
	res, err := c.Solve(ctx, gateway.SolveRequest{Frontend: f.Inner, FrontendOpt: opts, FrontendInputs: inputs})
	if err != nil {
		return nil, err
	}
	return &reading{Result: res}, nil
}

func frontendInputs(ctx context.Context, c gateway.Client) (map[string]*pb.Definition, error) {
	states, err := c.Inputs(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the inputs of the build: %w", err)
	}
	inputs := make(map[string]*pb.Definition, len(states))
	for name, st := range states {
		def, err := st.Marshal(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the input %s of the build: %w", name, err)
		}
		inputs[name] = def.ToPB()
	}
	return inputs, nil
}

// dockerfilePlace names where the Dockerfile of a request is, as far as the request
// tells: the same for all requests of one Dockerfile.
func dockerfilePlace(opts map[string]string) string {
	var place []string
	for _, key := range []string{"filename", "dockerfilekey", "contextkey", "contextsubdir", "context"} {
		place = append(place, opts[key])
	}
	return strings.Join(place, "\x00")
}

// hasNoRanges says that the Dockerfile that was read is known and has no ranges.
func (r *reading) hasNoRanges(ctx context.Context) bool {
	graphs, err := r.graphs(ctx)
	if err != nil {
		return false
	}
	for _, g := range graphs {
		if text := g.Dockerfile(); text == nil || hasRanges(text) {
			return false
		}
	}
	return len(graphs) > 0
}

// GivenUp says of the source of a warning that it is a Dockerfile with ranges. The
// Dockerfile frontend sees one only where there were none the last time: what it says
// of the ranges is wrong, and all else it says again.
func GivenUp(info *pb.SourceInfo) bool { return info != nil && hasRanges(info.Data) }

func hasRanges(text []byte) bool {
	file, err := dockerfile.Parse(text, func(string) bool { return false })
	return file != nil || err != nil
}

// graphs are the graphs of all platforms.
func (r *reading) graphs(ctx context.Context) ([]platformGraph, error) {
	if r.platforms != nil {
		return r.platforms, nil
	}
	graphs, err := graphsOf(ctx, r.Result)
	r.platforms = graphs
	return graphs, err
}

// unlinked are the states as the Dockerfile frontend made them.
func (r *reading) unlinked(ctx context.Context, c gateway.Client) ([]*linking, error) {
	graphs, err := r.graphs(ctx)
	if err != nil {
		return nil, err
	}
	linked := make([]*linking, len(graphs))
	for i, g := range graphs {
		linked[i] = &linking{platformRef: g.platformRef, stock: g.Graph, report: PlatformReport{Platform: cmp.Or(g.id, onlyPlatform(c))}}
	}
	return linked, nil
}

func graphsOf(ctx context.Context, res *gateway.Result) (graphs []platformGraph, err error) {
	refs, err := platformRefs(res)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		g, err := graphOf(ctx, r.ref)
		if err != nil {
			return nil, err
		}
		graphs = append(graphs, platformGraph{r, g})
	}
	return graphs, nil
}

func platformRefs(res *gateway.Result) ([]platformRef, error) {
	if res.Ref != nil {
		return []platformRef{{ref: res.Ref}}, nil
	}
	ps, err := exptypes.ParsePlatforms(res.Metadata)
	if err != nil {
		return nil, fmt.Errorf("reading the platforms of the result: %w", err)
	}
	var refs []platformRef
	for _, p := range ps.Platforms {
		if ref := res.Refs[p.ID]; ref != nil {
			refs = append(refs, platformRef{id: p.ID, ref: ref})
		}
	}
	return refs, nil
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
