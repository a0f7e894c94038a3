package clientfrontend

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// lettingGo is a builder that has a record in use for as many prunes as it says.
type lettingGo struct {
	controlapi.UnimplementedControlServer
	mu     sync.Mutex
	uses   int
	prunes [][]string
}

func (b *lettingGo) Prune(req *controlapi.PruneRequest, _ grpc.ServerStreamingServer[controlapi.UsageRecord]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uses--
	b.prunes = append(b.prunes, req.Filter)
	return nil
}

func (b *lettingGo) DiskUsage(context.Context, *controlapi.DiskUsageRequest) (*controlapi.DiskUsageResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	usage := &controlapi.DiskUsageResponse{}
	if b.uses >= 0 {
		usage.Record = append(usage.Record, &controlapi.UsageRecord{ID: "left"})
	}
	return usage, nil
}

func (b *lettingGo) connect(t *testing.T) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, b)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	cc, err := grpc.NewClient("passthrough:builder", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// What a build leaves goes also where the builder lets go of it after it has answered,
// and of several builds the last one sees to that.
func TestPruneUntilGone(t *testing.T) {
	builder := &lettingGo{uses: 3}
	cc := builder.connect(t)
	h := &Host{Leftovers: func(opts map[string]string) []string {
		if opts["leaves"] == "" {
			return nil
		}
		return []string{"description==" + opts["leaves"]}
	}}
	forget := []func(){
		h.keep(&controlapi.SolveRequest{Ref: "first"}, cc),
		h.keep(&controlapi.SolveRequest{Ref: "elsewhere"}, (&lettingGo{}).connect(t)),
		h.keep(&controlapi.SolveRequest{Ref: "last"}, cc),
	}
	h.prune(t.Context(), map[string]string{"leaves": "a"}, cc)
	forget[0]()
	if len(builder.prunes) != 1 {
		t.Fatalf("while another build runs, %d prunes, want 1", len(builder.prunes))
	}
	h.prune(t.Context(), nil, cc)
	if len(builder.prunes) != 4 || !slices.Equal(builder.prunes[3], []string{"description==a"}) {
		t.Errorf("in the end, the prunes are %q", builder.prunes)
	}
	h.prune(t.Context(), nil, cc)
	if len(builder.prunes) != 4 {
		t.Errorf("a build that leaves nothing was pruned after: %q", builder.prunes[4:])
	}
}
