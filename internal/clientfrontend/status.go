package clientfrontend

import (
	"context"
	"slices"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
)

// interceptStream takes the warnings that are hidden out of a build's progress.
func (h *Host) interceptStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil || h.Hides == nil || method != controlapi.Control_Status_FullMethodName {
		return stream, err
	}
	return quietStatus{stream, h.Hides}, nil
}

type quietStatus struct {
	grpc.ClientStream
	hides func(*controlapi.VertexWarning) bool
}

func (s quietStatus) RecvMsg(m any) error {
	if err := s.ClientStream.RecvMsg(m); err != nil {
		return err
	}
	if status, ok := m.(*controlapi.StatusResponse); ok {
		status.Warnings = slices.DeleteFunc(status.Warnings, s.hides)
	}
	return nil
}
