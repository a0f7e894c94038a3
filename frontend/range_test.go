package frontend

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	apicapspb "github.com/moby/buildkit/util/apicaps/pb"

	"github.com/docker-relink/relink/internal/errdefs"
)

// dockerfileClient is a builder that has nothing but a Dockerfile.
type dockerfileClient struct {
	gateway.Client
	text    string
	without []apicaps.CapID
	opts    map[string]string
	solves  int
}

func (c *dockerfileClient) BuildOpts() gateway.BuildOpts {
	lacks := func(have *apicapspb.APICap) bool { return slices.Contains(c.without, apicaps.CapID(have.ID)) }
	return gateway.BuildOpts{
		Opts:    c.opts,
		Caps:    gwpb.Caps.CapSet(slices.DeleteFunc(gwpb.Caps.All(), lacks)),
		LLBCaps: pb.Caps.CapSet(slices.DeleteFunc(pb.Caps.All(), lacks)),
	}
}

func (c *dockerfileClient) Inputs(context.Context) (map[string]llb.State, error) { return nil, nil }

func (c *dockerfileClient) Solve(_ context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	c.solves++
	res := gateway.NewResult()
	res.SetRef(dockerfileRef{text: c.text})
	return res, nil
}

type dockerfileRef struct {
	gateway.Reference
	text string
}

func (r dockerfileRef) ReadFile(_ context.Context, req gateway.ReadRequest) ([]byte, error) {
	if path.Base(req.Filename) != "Dockerfile" {
		return nil, fs.ErrNotExist
	}
	return []byte(r.text), nil
}

func TestFindRanges(t *testing.T) {
	for _, tt := range []struct {
		name, text, request string
		ranges, solves      int
	}{
		{name: "none", text: "FROM a\nCOPY ../b /\n", solves: 1},
		{name: "two", text: "FROM a..b AS c\nCOPY --from=c..d / /\n", ranges: 2, solves: 2},
		{name: "targets are told from the user's text", text: "FROM a..b\n", request: "frontend.targets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &dockerfileClient{text: tt.text, opts: map[string]string{"requestid": tt.request}}
			r, err := (&Frontend{Inner: "dockerfile.v0"}).findRanges(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if n := 0; r != nil {
				if n = len(r.file.Ranges); n != tt.ranges {
					t.Errorf("%d ranges, want %d", n, tt.ranges)
				}
			} else if tt.ranges > 0 {
				t.Error("no ranges")
			}
			if c.solves != tt.solves {
				t.Errorf("%d requests, want %d", c.solves, tt.solves)
			}
			for k := range c.opts {
				if k != "requestid" {
					t.Errorf("the user's options have got %s", k)
				}
			}
		})
	}
}

// TestRangesWithoutDiffOrFiles wants one error that names what is missing,
// at the range's line.
func TestRangesWithoutDiffOrFiles(t *testing.T) {
	c := &dockerfileClient{text: "FROM x\nCOPY --from=a..b / /\n", without: []apicaps.CapID{pb.CapDiffOp, gwpb.CapReadDir}, opts: map[string]string{}}
	_, err := (&Frontend{Inner: "dockerfile.v0"}).findRanges(t.Context(), c)
	if !errdefs.Is(err, errdefs.Unsupported) || !strings.Contains(err.Error(), "v0.10") || !strings.Contains(err.Error(), "ReadDir") || errdefs.Hint(err) == "" {
		t.Fatalf("error %v (hint %q)", err, errdefs.Hint(err))
	}
	sources := solvererrdefs.Sources(err)
	if len(sources) != 1 || len(sources[0].Ranges) != 1 || sources[0].Ranges[0].Start.Line != 2 {
		t.Errorf("the lines are %v", sources)
	}
}
