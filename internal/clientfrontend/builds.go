package clientfrontend

import (
	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc"
)

// running is a build while it runs.
type running struct {
	// request is what was asked for; it is empty when that is not known.
	request *controlapi.SolveRequest
	// builder is the connection to the builder that it runs on.
	builder *grpc.ClientConn
	// pong is what the builder's gateway said of itself; nil when it was not asked.
	pong *gwpb.PongResponse
}

// keep remembers a build while it runs.
func (h *Host) keep(r *controlapi.SolveRequest, builder *grpc.ClientConn) (forget func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.builds == nil {
		h.builds = map[string]running{}
	}
	h.builds[r.Ref] = running{request: r, builder: builder}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.builds, r.Ref)
	}
}

// keepPong remembers what the builder's gateway said of itself to a build.
func (h *Host) keepPong(id string, pong *gwpb.PongResponse) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.builds[id]; ok {
		b.pong = pong
		h.builds[id] = b
	}
}

// build is the build that runs under the ID.
func (h *Host) build(id string) running {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b, ok := h.builds[id]; ok {
		return b
	}
	return running{request: &controlapi.SolveRequest{}}
}
