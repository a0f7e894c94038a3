package clientfrontend

import (
	"context"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc"
)

// present asks the builder's cache for what was pulled from an image. Layers that
// are known but were not fetched are of no size there.
func present(ctx context.Context, cc *grpc.ClientConn, image string) bool {
	if digest.Digest(image).Validate() != nil {
		return false
	}
	usage, err := controlapi.NewControlClient(cc).DiskUsage(ctx, &controlapi.DiskUsageRequest{
		Filter: []string{`description~="` + image + `"`},
	})
	if err != nil {
		return false
	}
	found := false
	for _, r := range usage.Record {
		if !strings.HasPrefix(r.Description, "pulled from ") {
			continue
		}
		if found = true; r.Size == 0 {
			return false
		}
	}
	return found
}

// lazy asks the builder's cache whether it uses something whose files it has not
// fetched: what an imported cache stands for.
func lazy(ctx context.Context, cc *grpc.ClientConn) bool {
	usage, err := controlapi.NewControlClient(cc).DiskUsage(ctx, &controlapi.DiskUsageRequest{Filter: []string{"inuse"}})
	if err != nil {
		return false
	}
	for _, r := range usage.Record {
		composed := strings.HasPrefix(r.Description, "merge") || strings.HasPrefix(r.Description, "diff")
		// A client may have sent nothing, which has no size where state is in memory.
		sent := strings.HasPrefix(r.Description, "local source for ")
		if r.Size == 0 && !r.Mutable && !composed && !sent {
			return true
		}
	}
	return false
}
