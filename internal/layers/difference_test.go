package layers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// Every difference has a name by which its record in BuildKit's cache is found
// again, and is of two states of which the one has one layer more.
func TestDifferencesHaveNames(t *testing.T) {
	image := func(limit int, name string) llb.State {
		if limit == Whole {
			return llb.Image("example.com/app", llb.WithCustomName(name))
		}
		return llb.Image("example.com/app", llb.WithCustomName(name), llb.WithLayerLimit(limit))
	}
	for _, tt := range []struct{ layers, below, want, differences int }{
		{4, 4, 0, 0}, {4, 0, 1, 0}, {4, 3, 1, 1}, {4, 1, 3, 3},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			own := Own(Subtracted, image, tt.layers, tt.below)
			if len(own) != tt.want {
				t.Fatalf("%d states, want %d", len(own), tt.want)
			}
			if got := named(t, Stack(own)); got != tt.differences {
				t.Errorf("%d differences, want %d", got, tt.differences)
			}
		})
	}
	if got := named(t, Flat(image(1, "lower"), image(Whole, "upper"), Subtracted+"both")); got != 1 {
		t.Errorf("flat, there are %d differences", got)
	}
}

// named counts the differences in a state, all of which have to have a name.
func named(t *testing.T, st llb.State) (n int) {
	t.Helper()
	def, err := st.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pbDef := def.ToPB()
	for i, raw := range pbDef.Def {
		var op pb.Op
		if err := proto.Unmarshal(raw, &op); err != nil {
			t.Fatalf("operation %d: %v", i, err)
		}
		if op.GetDiff() == nil {
			continue
		}
		n++
		name := pbDef.Metadata[digest.FromBytes(raw).String()].GetDescription()["llb.customname"]
		if !strings.HasPrefix(name, Subtracted) {
			t.Errorf("a difference is named %q", name)
		}
	}
	return n
}
