package definition

import (
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// Replace returns the graph's definition with another result in the place of
// old, wherever an operation has it as an input. It is the same definition when
// none has.
func (g *Graph) Replace(old *pb.Input, with *Graph) (*pb.Definition, error) {
	r := replacing{g: g, b: NewBuilder(g), old: old, done: map[digest.Digest]digest.Digest{}}
	r.new = r.b.Include(with, with.root)
	root, err := r.input(g.root)
	if err != nil {
		return nil, err
	}
	return r.b.Finish(root), nil
}

type replacing struct {
	g        *Graph
	b        *Builder
	old, new *pb.Input
	done     map[digest.Digest]digest.Digest
}

func (r *replacing) input(in *pb.Input) (*pb.Input, error) {
	if in.Digest == r.old.Digest && in.Index == r.old.Index {
		return r.new, nil
	}
	dgst, err := r.op(digest.Digest(in.Digest))
	return &pb.Input{Digest: string(dgst), Index: in.Index}, err
}

// op adds the operation to the builder, changed when one of its inputs is, and
// returns its digest there.
func (r *replacing) op(dgst digest.Digest) (digest.Digest, error) {
	if to, ok := r.done[dgst]; ok {
		return to, nil
	}
	op, changed := proto.Clone(r.g.ops[dgst]).(*pb.Op), false
	for i, in := range op.Inputs {
		to, err := r.input(in)
		if err != nil {
			return "", err
		}
		changed = changed || to.Digest != in.Digest || to.Index != in.Index
		op.Inputs[i] = to
	}
	to := dgst
	if changed {
		in, err := r.b.Add(op, r.g, &pb.Input{Digest: string(dgst)})
		if err != nil {
			return "", err
		}
		to = digest.Digest(in.Digest)
	} else {
		r.b.include(r.g, dgst)
	}
	r.done[dgst] = to
	return to, nil
}
