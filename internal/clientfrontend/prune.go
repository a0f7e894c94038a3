package clientfrontend

import (
	"context"
	"slices"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
)

// pruneTime bounds how long the last build on a builder waits for what the builds
// should not leave behind.
const pruneTime = time.Second

// prune takes what the build should not leave behind out of the builder's cache.
// A builder that does not let us keeps it: the build itself is done.
//
// The builder says that a build has ended before it has let go of all that the build
// used, and what is in use is not pruned. So the last of the builds there looks at what
// the builds have left, and prunes until nothing is, or until it is others that use it.
func (h *Host) prune(ctx context.Context, frontendOpts map[string]string, builder *grpc.ClientConn) {
	if h.Leftovers == nil {
		return
	}
	filters := h.Leftovers(frontendOpts)
	last, all := h.leave(builder, filters)
	if !last {
		prune(ctx, filters, builder)
		return
	}
	end := time.Now().Add(pruneTime)
	for wait := 5 * time.Millisecond; len(all) > 0; wait *= 2 {
		prune(ctx, all, builder)
		left, err := controlapi.NewControlClient(builder).DiskUsage(ctx, &controlapi.DiskUsageRequest{Filter: all})
		if err != nil || len(left.Record) == 0 || time.Now().Add(wait).After(end) {
			return
		}
		time.Sleep(wait)
	}
}

func prune(ctx context.Context, filters []string, builder *grpc.ClientConn) {
	if len(filters) == 0 {
		return
	}
	stream, err := controlapi.NewControlClient(builder).Prune(ctx, &controlapi.PruneRequest{Filter: filters})
	for err == nil {
		_, err = stream.Recv()
	}
}

// leave notes what a build leaves behind, and gives what all have left when it is the
// last one on the builder.
func (h *Host) leave(builder *grpc.ClientConn, filters []string) (last bool, all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left == nil {
		h.left = map[*grpc.ClientConn][]string{}
	}
	for _, f := range filters {
		if !slices.Contains(h.left[builder], f) {
			h.left[builder] = append(h.left[builder], f)
		}
	}
	on := 0
	for _, b := range h.builds {
		if b.builder == builder {
			on++
		}
	}
	if on > 1 {
		return false, nil
	}
	all = h.left[builder]
	delete(h.left, builder)
	return true, all
}
