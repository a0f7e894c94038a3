package definition

import (
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/proto"
)

// What the builder merges and subtracts is what llb makes of the same, to the byte: the
// builder's cache would tell them apart.
func TestMergeAndDiffAreThoseOfLLB(t *testing.T) {
	file := func(name string) llb.State { return llb.Scratch().File(llb.Mkfile("/"+name, 0o644, nil)) }
	lower, upper, nothing := file("lower"), file("upper"), llb.Scratch()
	for name, tt := range map[string]struct {
		want llb.State
		made func(b *Builder, lower, upper *pb.Input) (*pb.Input, error)
	}{
		"merge": {llb.Merge([]llb.State{lower, upper}, llb.WithCustomName("name")), func(b *Builder, lower, upper *pb.Input) (*pb.Input, error) {
			return b.Merge([]*pb.Input{lower, upper}, "name")
		}},
		"merge with nothing": {llb.Merge([]llb.State{nothing, upper}, llb.WithCustomName("name")), func(b *Builder, _, upper *pb.Input) (*pb.Input, error) {
			return b.Merge([]*pb.Input{nil, upper}, "name")
		}},
		"merge of nothing": {llb.Merge([]llb.State{nothing, nothing}), func(b *Builder, _, _ *pb.Input) (*pb.Input, error) {
			return b.Merge([]*pb.Input{nil, nil}, "name")
		}},
		"diff": {llb.Diff(lower, upper, llb.WithCustomName("name")), func(b *Builder, lower, upper *pb.Input) (*pb.Input, error) {
			return b.Diff(lower, upper, "name")
		}},
		"diff to nothing": {llb.Diff(nothing, upper, llb.WithCustomName("name")), func(b *Builder, _, upper *pb.Input) (*pb.Input, error) {
			return b.Diff(nil, upper, "name")
		}},
		"diff of nothing": {llb.Diff(lower, nothing, llb.WithCustomName("name")), func(b *Builder, lower, _ *pb.Input) (*pb.Input, error) {
			return b.Diff(lower, nil, "name")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			marshaled, err := tt.want.Marshal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := marshaled.ToPB()
			b := NewBuilder(nil)
			include := func(st llb.State) *pb.Input {
				g := graph(t, st)
				return b.Include(g, g.Root())
			}
			made, err := tt.made(b, include(lower), include(upper))
			if err != nil {
				t.Fatal(err)
			}
			got := b.Finish(made)
			for _, dt := range want.Def {
				if !slices.ContainsFunc(got.Def, func(have []byte) bool { return slices.Equal(have, dt) }) {
					t.Errorf("an operation of llb's is not there")
				}
			}
			for dgst, md := range want.Metadata {
				have := got.Metadata[dgst]
				if md.Description["llb.customname"] == "name" && !proto.Equal(have, md) {
					t.Errorf("metadata %v, want %v", have, md)
				}
			}
		})
	}
}
