// Package clientfrontend runs a BuildKit frontend inside the client.
//
// buildx's build.Build has no hook for a frontend of the client's own: it asks
// the builder to run "dockerfile.v0" by a gRPC call. This package answers that
// one call here, over the same connection, and leaves everything else of buildx
// as it is. It is kept apart so that it can be deleted the day buildx takes a
// build function.
package clientfrontend

import (
	"context"
	"slices"
	"sync"

	"github.com/docker/buildx/driver"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc"
)

// Host answers frontend requests in the client.
type Host struct {
	// Build makes the function that is run in place of a frontend of the
	// builder's.
	Build func(Request) gateway.BuildFunc
	// Response, when set, sees what the builder answers to the whole build of this
	// reference and may change it: what the frontend left in the result's metadata
	// under "frontend." arrives there.
	Response func(ref string, exporterResponse map[string]string)

	// Features, when set, is told what a builder can do, as buildx asks for it.
	Features func(map[driver.Feature]bool)

	// Hides, when set, says that a warning of the builder's is not for the user.
	Hides func(*controlapi.VertexWarning) bool

	// Pushed, when set, sees before Response what the builder answers to a build
	// whose result it pushed.
	Pushed func(exporterResponse map[string]string)

	// Leftovers, when set, says which records of the builder's cache should go
	// when the build with these frontend options has ended.
	Leftovers func(frontendOpts map[string]string) (filters []string)

	mu     sync.Mutex
	builds map[string]running            // by build ID
	left   map[*grpc.ClientConn][]string // filters of what builds have left behind, by builder
}

// Request is what a build asks for besides the frontend's own options.
type Request struct {
	// Frontend is the builder's frontend that was asked for.
	Frontend string
	// Images are the names under which the result is stored.
	Images []string
	// Caches are the images that cache is imported from.
	Caches []string
	// Annotations are the keys of the annotations that the user set on the
	// image's manifests.
	Annotations []string
	// IndexAnnotations are those of the annotations of the index.
	IndexAnnotations []string
	// Stored says that the result becomes an image of the builder or of a registry
	// and nothing else: then it has attestations that are for images alone.
	Stored bool
	// Unattested says that the result becomes no image: nothing that it becomes has
	// attestations that are for images alone.
	Unattested bool
	// DockerTypes says that the user wants Docker's media types, which know no
	// annotations of an index.
	DockerTypes bool
	// Present says whether the builder has the files of an image, given the
	// image's digest.
	Present func(ctx context.Context, digest string) bool
	// Lazy says whether the builder has not fetched the files of something that
	// it uses now.
	Lazy func(ctx context.Context) bool
}

// ownSolve marks the context of the frontend's own requests, so that they are
// not answered here again.
type ownSolve struct{}

// DialOptions are the client options that make a connection answer here.
func (h *Host) DialOptions() []client.ClientOpt {
	return []client.ClientOpt{
		client.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(h.intercept)),
		client.WithGRPCDialOption(grpc.WithChainStreamInterceptor(h.interceptStream)),
	}
}

func (h *Host) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	switch r := req.(type) {
	case *controlapi.SolveRequest:
		defer h.keep(r, cc)()
		defer h.prune(context.WithoutCancel(ctx), r.FrontendAttrs, cc)
		if err := invoke(ctx, method, req, reply, cc, opts...); err != nil {
			return err
		}
		if resp, ok := reply.(*controlapi.SolveResponse); ok {
			h.answered(r, resp)
		}
		return nil
	case *gwpb.PingRequest:
		err := invoke(ctx, method, req, reply, cc, opts...)
		if pong, ok := reply.(*gwpb.PongResponse); ok && err == nil {
			h.keepPong(buildID(ctx), pong)
		}
		return err
	case *gwpb.SolveRequest:
		if ctx.Value(ownSolve{}) == nil && isDockerfile(r) {
			return h.answer(context.WithValue(ctx, ownSolve{}, true), r, reply.(*gwpb.SolveResponse), cc)
		}
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

func (h *Host) answered(r *controlapi.SolveRequest, resp *controlapi.SolveResponse) {
	pushed := slices.ContainsFunc(r.Exporters, func(e *controlapi.Exporter) bool { return e.Attrs["push"] == "true" })
	if pushed && h.Pushed != nil {
		h.Pushed(resp.ExporterResponse)
	}
	if h.Response != nil {
		h.Response(r.Ref, resp.ExporterResponse)
	}
}

// isDockerfile says whether a request is for the Dockerfile frontend: the
// builder's own, or one that the user named by BUILDKIT_SYNTAX, which buildx
// turns into a gateway request with the source as "cmdline".
func isDockerfile(r *gwpb.SolveRequest) bool {
	switch r.Frontend {
	case "dockerfile.v0":
		return true
	case "gateway.v0":
		return r.FrontendOpt["cmdline"] != ""
	default:
		return false
	}
}
