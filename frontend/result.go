package frontend

import (
	"context"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

// replaceRefs puts the linked states into the result.
func replaceRefs(ctx context.Context, c gateway.Client, res *gateway.Result, linked []*linking) error {
	for _, l := range linked {
		if l.def == nil {
			continue
		}
		ref, err := solveRef(ctx, c, l.def)
		if err != nil {
			return err
		}
		if l.id == "" {
			res.SetRef(ref)
		} else {
			res.AddRef(l.id, ref)
		}
	}
	return nil
}
