package definition

import (
	"fmt"
	"slices"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// Builder puts a definition together from operations of other graphs and from
// new ones, with the source files and lines that they come from.
type Builder struct {
	infos []*pb.SourceInfo
	def   *pb.Definition
	seen  map[digest.Digest]bool
	locs  map[string]*pb.Locations
}

// NewBuilder makes an empty builder; sources is the graph whose source files
// come first in the result.
func NewBuilder(sources *Graph) *Builder {
	b := &Builder{
		def:  &pb.Definition{Metadata: map[string]*pb.OpMetadata{}},
		seen: map[digest.Digest]bool{},
		locs: map[string]*pb.Locations{},
	}
	if sources != nil {
		b.infos = slices.Clone(sources.info)
	}
	return b
}

// Include adds what the input needs, unchanged, and returns the input.
func (b *Builder) Include(g *Graph, in *pb.Input) *pb.Input {
	if in != nil {
		b.include(g, digest.Digest(in.Digest))
	}
	return in
}

func (b *Builder) include(g *Graph, dgst digest.Digest) {
	if b.seen[dgst] {
		return
	}
	for _, in := range g.ops[dgst].GetInputs() {
		b.include(g, digest.Digest(in.Digest))
	}
	b.append(g.raw[dgst], dgst, g.meta[dgst], b.located(g, dgst))
}

// Add adds an operation made from the operation of origin, with origin's name,
// cache setting and source lines, and returns its first output. The inputs of
// op must have been added before.
func (b *Builder) Add(op *pb.Op, g *Graph, origin *pb.Input) (*pb.Input, error) {
	dt, dgst, err := written(op)
	if err != nil {
		return nil, err
	}
	from := digest.Digest(origin.GetDigest())
	if !b.seen[dgst] {
		b.append(dt, dgst, g.meta[from], b.located(g, from))
	}
	return &pb.Input{Digest: string(dgst), Index: origin.GetIndex()}, nil
}

// Merge adds a merge of what was added before, the lower first, and returns it. As in
// llb.Merge, nothing (nil) adds nothing, and one alone is that one.
func (b *Builder) Merge(inputs []*pb.Input, name string) (*pb.Input, error) {
	op := &pb.Op{}
	merge := &pb.MergeOp{}
	for _, in := range inputs {
		if in != nil {
			merge.Inputs = append(merge.Inputs, &pb.MergeInput{Input: int64(len(op.Inputs))})
			op.Inputs = append(op.Inputs, in)
		}
	}
	switch len(op.Inputs) {
	case 0:
		return nil, nil
	case 1:
		return op.Inputs[0], nil
	}
	op.Op = &pb.Op_Merge{Merge: merge}
	return b.addNamed(op, name, pb.CapMergeOp)
}

// Diff adds the difference of what was added before, and returns it. As in llb.Diff,
// that to nothing (nil) is the upper side.
func (b *Builder) Diff(lower, upper *pb.Input, name string) (*pb.Input, error) {
	if lower == nil {
		return upper, nil
	}
	diff := &pb.DiffOp{Lower: &pb.LowerDiffInput{}, Upper: &pb.UpperDiffInput{Input: int64(pb.Empty)}}
	op := &pb.Op{Inputs: []*pb.Input{lower}, Op: &pb.Op_Diff{Diff: diff}}
	if upper != nil {
		op.Inputs, diff.Upper.Input = append(op.Inputs, upper), 1
	}
	return b.addNamed(op, name, pb.CapDiffOp)
}

// Nothing adds an operation that makes the empty file system, the difference of nothing
// to nothing, and returns it. Builders keep no files for it and do nothing to make it.
func (b *Builder) Nothing(name string) (*pb.Input, error) {
	diff := &pb.DiffOp{Lower: &pb.LowerDiffInput{Input: int64(pb.Empty)}, Upper: &pb.UpperDiffInput{Input: int64(pb.Empty)}}
	return b.addNamed(&pb.Op{Op: &pb.Op_Diff{Diff: diff}}, name, pb.CapDiffOp)
}

// addNamed adds an operation that is no instruction's, under a name in the progress.
func (b *Builder) addNamed(op *pb.Op, name string, needs apicaps.CapID) (*pb.Input, error) {
	op.Constraints = &pb.WorkerConstraints{}
	dt, dgst, err := written(op)
	if err != nil {
		return nil, err
	}
	if !b.seen[dgst] {
		md := &pb.OpMetadata{
			Description: map[string]string{"llb.customname": name},
			Caps:        map[string]bool{string(needs): true},
		}
		b.append(dt, dgst, md, nil)
	}
	return &pb.Input{Digest: string(dgst)}, nil
}

// written is an operation as definitions have it, and its digest.
func written(op *pb.Op) ([]byte, digest.Digest, error) {
	dt, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		return nil, "", fmt.Errorf("writing an operation: %w", err)
	}
	return dt, digest.FromBytes(dt), nil
}

// located are the source lines of a graph's operation, counted by the source
// files of the builder.
func (b *Builder) located(g *Graph, dgst digest.Digest) *pb.Locations {
	locs := g.locs[dgst].GetLocations()
	if len(locs) == 0 {
		return nil
	}
	out := &pb.Locations{}
	for _, l := range locs {
		if int(l.SourceIndex) >= len(g.info) {
			continue
		}
		l = l.CloneVT()
		l.SourceIndex = b.source(g.info[l.SourceIndex])
		out.Locations = append(out.Locations, l)
	}
	return out
}

func (b *Builder) source(info *pb.SourceInfo) int32 {
	i := slices.IndexFunc(b.infos, func(have *pb.SourceInfo) bool { return have == info || have.EqualVT(info) })
	if i < 0 {
		i = len(b.infos)
		b.infos = append(b.infos, info)
	}
	return int32(i)
}

func (b *Builder) append(dt []byte, dgst digest.Digest, md *pb.OpMetadata, locs *pb.Locations) {
	b.seen[dgst] = true
	b.def.Def = append(b.def.Def, dt)
	if md == nil {
		md = &pb.OpMetadata{}
	}
	b.def.Metadata[string(dgst)] = md
	if locs != nil {
		b.locs[string(dgst)] = locs
	}
}

// Finish names the result and returns the definition; nil is the empty file
// system. The builder must not be used afterwards.
func (b *Builder) Finish(root *pb.Input) *pb.Definition {
	if root == nil {
		return &pb.Definition{}
	}
	dt, dgst, err := written(&pb.Op{Inputs: []*pb.Input{root}})
	if err != nil {
		panic(err) // cannot fail: an operation of one input has no field that could
	}
	b.def.Def = append(b.def.Def, dt)
	b.def.Metadata[string(dgst)] = &pb.OpMetadata{}
	if len(b.locs) > 0 {
		b.def.Source = &pb.Source{Infos: b.infos, Locations: b.locs}
	}
	return b.def
}
