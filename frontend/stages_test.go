package frontend

import (
	"fmt"
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
)

const stagesDockerfile = `FROM debian AS Base
ENV A=b
FROM base AS compile
RUN make
FROM golang AS tests
RUN go test
FROM tools AS tools
FROM base
COPY --from=compile /a /a
FROM scratch AS last
`

func TestStagesOf(t *testing.T) {
	graph := stagesGraph(t, 4, 9)
	for _, c := range []struct {
		opts map[string]string
		want string
	}{
		{map[string]string{"target": "4"}, "[base 1-2 needed compile 3-4 needed tests 5-6 not needed tools 7-7 not needed 4 8-9 target last 10-10 not needed]"},
		{map[string]string{"target": "Compile", "context:tools": "docker-image://x"}, "[base 1-2 needed compile 3-4 target tests 5-6 not needed tools 7-7 replaced by a build context 4 8-9 needed last 10-10 not needed]"},
		{nil, "[base 1-2 needed compile 3-4 needed tests 5-6 not needed tools 7-7 not needed 4 8-9 needed last 10-10 target]"},
		{map[string]string{"target": "9"}, "[]"},
	} {
		var got []string
		for _, s := range stagesOf(graph, c.opts) {
			got = append(got, fmt.Sprintf("%s %d-%d %s", s.Name, s.Lines[0], s.Lines[1], s.Use))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%v: %v, want %s", c.opts, got, c.want)
		}
	}
}

// stagesGraph is a graph of which something comes from each of the lines.
func stagesGraph(t *testing.T, lines ...int32) *definition.Graph {
	t.Helper()
	src := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(stagesDockerfile))
	st := llb.Scratch()
	for _, line := range lines {
		at := src.Location([]*pb.Range{{Start: &pb.Position{Line: line}, End: &pb.Position{Line: line}}})
		st = st.File(llb.Mkdir(fmt.Sprint("/", line), 0o755), at)
	}
	def, err := st.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, err := definition.Parse(def.ToPB())
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{4, 9}; !slices.Equal(g.Lines(), want) {
		t.Fatalf("lines %v, want %v", g.Lines(), want)
	}
	return g
}
