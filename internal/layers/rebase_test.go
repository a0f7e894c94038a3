package layers_test

import (
	"context"
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/layers"
)

func image(limit int, name string) llb.State {
	opts := []llb.ImageOption{llb.WithCustomName(name)}
	if limit != layers.Whole {
		opts = append(opts, llb.WithLayerLimit(limit))
	}
	return llb.Image("registry.test/app:1", opts...)
}

// TestRebaseState holds the composition to the operations that BuildKit does
// without unpacking a layer.
func TestRebaseState(t *testing.T) {
	onto := llb.Image("registry.test/base:2")
	for _, test := range []struct {
		name            string
		layers, oldBase int
		want            []string
	}{
		{"own layers on a base", 5, 3, []string{"base:2", "app:1 limit 3", "app:1 limit 4", "app:1", "diff", "diff", "merge"}},
		{"an image from scratch", 5, 0, []string{"base:2", "app:1", "merge"}},
		{"no own layers", 3, 3, []string{"base:2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := layers.Rebase{Image: image, Layers: test.layers, OldBaseLayers: test.oldBase, Onto: onto}
			got := operations(t, r.State())
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("operations %q, want %q", got, test.want)
			}
		})
	}
}

func operations(t *testing.T, st llb.State) (names []string) {
	t.Helper()
	def, err := st.Marshal(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			t.Fatal(err)
		}
		switch {
		case op.GetSource() != nil:
			name := op.GetSource().Identifier[len("docker-image://registry.test/"):]
			if limit := op.GetSource().Attrs[pb.AttrImageLayerLimit]; limit != "" {
				name += " limit " + limit
			}
			names = append(names, name)
		case op.GetDiff() != nil:
			names = append(names, "diff")
		case op.GetMerge() != nil:
			names = append(names, "merge")
		}
	}
	return names
}
