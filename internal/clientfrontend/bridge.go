package clientfrontend

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/client/buildid"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// product is the name under which BuildKit's capability errors speak of us.
const product = "docker-relink"

// bridge is the builder's gateway as the frontend sees it: the inputs are the
// request's, and what the frontend returns is kept instead of being sent.
type bridge struct {
	gwpb.LLBBridgeClient
	inputs   map[string]*pb.Definition
	pong     *gwpb.PongResponse // nil has the builder asked
	returned *gwpb.ReturnRequest
}

// Ping answers as the builder did when buildx asked: it is the same builder.
func (b *bridge) Ping(ctx context.Context, in *gwpb.PingRequest, opts ...grpc.CallOption) (*gwpb.PongResponse, error) {
	if b.pong != nil {
		return b.pong, nil
	}
	return b.LLBBridgeClient.Ping(ctx, in, opts...)
}

func (b *bridge) Inputs(context.Context, *gwpb.InputsRequest, ...grpc.CallOption) (*gwpb.InputsResponse, error) {
	return &gwpb.InputsResponse{Definitions: b.inputs}, nil
}

func (b *bridge) Return(_ context.Context, in *gwpb.ReturnRequest, _ ...grpc.CallOption) (*gwpb.ReturnResponse, error) {
	b.returned = in
	return &gwpb.ReturnResponse{}, nil
}

// answer runs the frontend for one request and fills in the response.
func (h *Host) answer(ctx context.Context, req *gwpb.SolveRequest, resp *gwpb.SolveResponse, cc *grpc.ClientConn) error {
	build := h.build(buildID(ctx))
	br := &bridge{LLBBridgeClient: gwpb.NewLLBBridgeClient(cc), inputs: req.FrontendInputs, pong: build.pong}
	c, err := grpcclient.New(ctx, req.FrontendOpt, build.request.Session, product, br, nil)
	if err != nil {
		return fmt.Errorf("opening the builder's gateway: %w", err)
	}
	r := request(req.Frontend, build.request)
	r.Present = func(ctx context.Context, digest string) bool { return present(ctx, cc, digest) }
	r.Lazy = func(ctx context.Context) bool { return lazy(ctx, cc) }
	if err := c.Run(ctx, h.Build(r)); err != nil {
		return grpcerrors.ToGRPC(ctx, err)
	}
	if br.returned == nil {
		return errors.New("running the frontend: it returned nothing")
	}
	resp.Result = br.returned.Result
	return nil
}

// buildID reads the build's ID, which the BuildKit client puts into the
// outgoing metadata of every gateway call.
func buildID(ctx context.Context) string {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return ""
	}
	return buildid.FromIncomingContext(metadata.NewIncomingContext(ctx, md))
}
