package frontend

import (
	"context"
	"fmt"
	"slices"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/definition"
)

// replaceStates puts the linked states into the result, and into its
// attestations where these look at the image: an SBOM is made from the state
// that is exported.
func replaceStates(ctx context.Context, c gateway.Client, res *gateway.Result, linked []*linking, refs []gateway.Reference) error {
	for i, ref := range refs {
		l := linked[i]
		setRef(res, l.id, ref)
		if l.def == nil {
			continue
		}
		if err := l.replaceInAttestations(ctx, c, res); err != nil {
			return err
		}
	}
	return nil
}

func anyLinked(linked []*linking) bool {
	for _, l := range linked {
		if l.def != nil {
			return true
		}
	}
	return false
}

// state is the definition of the platform's state: the linked one, or the one
// that the Dockerfile frontend made.
func (l *linking) state() *pb.Definition {
	if l.def != nil {
		return l.def
	}
	return l.stock.Definition(l.stock.Root())
}

// solveHeld gives the states to the builder and returns a reference for each. Those that
// rest on what may not hold are built there.
func (f *Frontend) solveHeld(ctx context.Context, c gateway.Client, o linkOptions, linked []*linking) ([]gateway.Reference, error) {
	refs, err := f.solveLinked(ctx, c, linked)
	if err != nil || refs == nil {
		return nil, err
	}
	anew := make([]bool, len(linked))
	eg, egctx := errgroup.WithContext(ctx)
	for i, l := range linked {
		eg.Go(func() (err error) {
			anew[i], err = l.hold(egctx, o, refs[i].Evaluate)
			return err
		})
	}
	if err := eg.Wait(); err != nil || !slices.Contains(anew, true) {
		return refs, err
	}
	return f.solveLinked(ctx, c, linked)
}

// solveLinked gives the states to the builder and returns a reference for each; none at
// all when all are as the Dockerfile frontend made them.
func (f *Frontend) solveLinked(ctx context.Context, c gateway.Client, linked []*linking) ([]gateway.Reference, error) {
	if !anyLinked(linked) {
		return nil, nil
	}
	states := make([]attributed, len(linked))
	for i, l := range linked {
		states[i] = attributed{id: l.id, def: l.state()}
	}
	return f.solveStates(ctx, c, states, attributionOpts(c.BuildOpts().Opts), syntaxOf(linked[0]))
}

// suffixOf is what the keys of a platform's metadata end with.
func suffixOf(id string) string {
	if id == "" {
		return ""
	}
	return "/" + id
}

// setRef puts a state into a result, under the platform's key where it has one.
func setRef(res *gateway.Result, id string, ref gateway.Reference) {
	if id == "" {
		res.SetRef(ref)
	} else {
		res.AddRef(id, ref)
	}
}

// replaceInAttestations has what was made of the stock state made of the linked
// one: the scanner of an SBOM reads the image that is exported.
func (l *linking) replaceInAttestations(ctx context.Context, c gateway.Client, res *gateway.Result) error {
	atts := res.Attestations[l.id]
	if len(atts) == 0 {
		return nil
	}
	with, err := definition.Parse(l.def)
	if err != nil {
		return err
	}
	for i := range atts {
		if atts[i].Ref == nil {
			continue
		}
		g, err := graphOf(ctx, atts[i].Ref)
		if err != nil {
			return fmt.Errorf("reading an attestation: %w", err)
		}
		def, err := g.Replace(l.stock.Root(), with)
		if err != nil {
			return err
		}
		if atts[i].Ref, err = solveRef(ctx, c, def); err != nil {
			return err
		}
	}
	return nil
}
