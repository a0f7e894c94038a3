package definition

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
)

// Users are the first outputs of the operations that have the input as one of
// theirs, in the order of their digests.
func (g *Graph) Users(in *pb.Input) []*pb.Input {
	var out []*pb.Input
	for dgst, op := range g.ops {
		if op.Op == nil { // the one that names the result
			continue
		}
		if slices.ContainsFunc(op.Inputs, func(i *pb.Input) bool { return i.Digest == in.Digest && i.Index == in.Index }) {
			out = append(out, &pb.Input{Digest: string(dgst)})
		}
	}
	slices.SortFunc(out, func(a, b *pb.Input) int { return strings.Compare(a.Digest, b.Digest) })
	return out
}
