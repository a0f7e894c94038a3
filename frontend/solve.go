package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
)

// solveRef gives a definition to the builder. Nothing is built by that; the
// reference is built when it is read or exported.
func solveRef(ctx context.Context, c gateway.Client, def *pb.Definition) (gateway.Reference, error) {
	imports, err := cacheImports(c.BuildOpts().Opts)
	if err != nil {
		return nil, err
	}
	res, err := c.Solve(ctx, gateway.SolveRequest{Definition: def, CacheImports: imports})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
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

// baseImage is the image that the head begins with, by its reference; "" when
// the head begins with something else.
func baseImage(g *definition.Graph, head *pb.Input) string {
	for in := head; in != nil; {
		op := g.Op(in)
		if src := op.GetSource(); src != nil {
			return strings.TrimPrefix(src.Identifier, "docker-image://")
		}
		if len(op.GetInputs()) == 0 {
			return ""
		}
		in = op.Inputs[0]
	}
	return ""
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
