package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/definition"
)

// withOpts is a builder that was asked with other options, which may be changed.
type withOpts struct {
	gateway.Client
	opts map[string]string
}

func (c withOpts) BuildOpts() gateway.BuildOpts {
	o := c.Client.BuildOpts()
	o.Opts = maps.Clone(c.opts)
	return o
}

// solveRef gives a definition to the builder. Nothing is built by that; the
// reference is built when it is read or exported.
func solveRef(ctx context.Context, c gateway.Client, def *pb.Definition) (gateway.Reference, error) {
	return solve(ctx, c, gateway.SolveRequest{Definition: def})
}

// solveAll gives states to the builder, at the same time; an empty one has no
// reference.
func solveAll(ctx context.Context, c gateway.Client, states []llb.State, opts ...llb.ConstraintsOpt) ([]gateway.Reference, error) {
	refs := make([]gateway.Reference, len(states))
	eg, ctx := errgroup.WithContext(ctx)
	for i, st := range states {
		if st.Output() == nil {
			continue
		}
		eg.Go(func() error {
			def, err := marshal(ctx, st, opts...)
			if err == nil {
				refs[i], err = solveRef(ctx, c, def)
			}
			return err
		})
	}
	return refs, eg.Wait()
}

// evaluate builds a definition. What the builder has in a cache that was
// imported is not fetched for that.
func evaluate(ctx context.Context, c gateway.Client, def *pb.Definition) error {
	_, err := solve(ctx, c, gateway.SolveRequest{Definition: def, Evaluate: true})
	return err
}

func solve(ctx context.Context, c gateway.Client, req gateway.SolveRequest) (_ gateway.Reference, err error) {
	if req.CacheImports, err = cacheImports(c.BuildOpts().Opts); err != nil {
		return nil, err
	}
	if req.Definition, err = definition.Uncached(req.Definition); err != nil {
		return nil, err
	}
	res, err := c.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// failsInFileAction says whether it was an action of a file operation that
// failed, and not a command.
func failsInFileAction(err error) bool {
	var solve *errdefs.SolveError
	if !errors.As(err, &solve) {
		return false
	}
	_, ok := solve.Subject.(*errdefs.Solve_File)
	return ok
}

// cacheImports are the user's --cache-from, which a frontend has to pass on
// with every definition of its own.
func cacheImports(opts map[string]string) ([]gateway.CacheOptionsEntry, error) {
	var entries []gateway.CacheOptionsEntry
	if s := opts["cache-imports"]; s != "" {
		if err := json.Unmarshal([]byte(s), &entries); err != nil {
			return nil, fmt.Errorf("reading the cache imports: %w", err)
		}
	}
	return entries, nil
}

// importsCache says whether the builder may have results that it has not got the
// files of.
func importsCache(opts map[string]string) bool {
	return opts["cache-imports"] != "" || opts["cache-from"] != ""
}

// baseImage is the image that the head begins with, by its reference; "" when
// the head begins with something else.
func baseImage(g *definition.Graph, head *pb.Input) string {
	for in := head; in != nil; in = g.Below(in) {
		if ref, ok := imageOf(g.Op(in)); ok {
			return ref
		}
	}
	return ""
}

func imageOf(op *pb.Op) (string, bool) {
	return strings.CutPrefix(op.GetSource().GetIdentifier(), "docker-image://")
}

// baseOf is what facts about the head are about: the image, when the head is an
// image as it came and its digest is known, else the head's definition.
func baseOf(g *definition.Graph, head *pb.Input, platform string) Base {
	if p := g.Op(head).GetPlatform(); platform == "" && p != nil {
		platform = platforms.FormatAll(platforms.Normalize(p.Spec()))
	}
	base := Base{Digest: head.Digest, Platform: platform}
	if ref, ok := imageOf(g.Op(head)); ok {
		if named, err := reference.ParseNormalizedNamed(ref); err == nil {
			if d, ok := named.(reference.Digested); ok {
				base.Repository, base.Digest = named.Name(), d.Digest().String()
			}
		}
	}
	return base
}

// instruction is the instruction of a step as the progress names it, without
// the stage and the count: "[final 2/3] COPY a b" is "COPY a b".
func instruction(name string) string {
	if rest, ok := strings.CutPrefix(name, "["); ok {
		if _, after, ok := strings.Cut(rest, "] "); ok {
			return after
		}
	}
	return name
}
