package definition

import (
	"context"
	"maps"
	"testing"

	"github.com/moby/buildkit/client/llb"
)

// Differences and merges above what ignores the cache ignore it, through each other;
// nothing else does, and a definition that others have stays as it was.
func TestUncached(t *testing.T) {
	made := base.Run(llb.Shlex("make"), llb.IgnoreCache).Root()
	layer := llb.Diff(base, made)
	aside := llb.Diff(base, stage)
	st := llb.Merge([]llb.State{base, layer, aside}).File(llb.Mkdir("/w", 0o755))
	def, err := st.Marshal(context.Background(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	given := def.ToPB()
	shared := maps.Clone(given.Metadata)
	got, err := Uncached(given)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, st := range []llb.State{made, layer, llb.Merge([]llb.State{base, layer, aside})} {
		want[graph(t, st).Root().Digest] = true
	}
	for dgst := range g.ops {
		if ignores := g.meta[dgst].GetIgnoreCache(); ignores != want[string(dgst)] {
			t.Errorf("%v: ignoring the cache is %t", g.ops[dgst], ignores)
		}
	}
	if shared[graph(t, layer).Root().Digest].GetIgnoreCache() {
		t.Error("what others may have was changed")
	}
}
