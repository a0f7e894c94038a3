// Package definition reads LLB definitions as graphs, finds what stands at
// their end, and builds it up again on another ground. It does no I/O.
//
// The operations are kept as the Dockerfile frontend made them: paths are
// resolved, variables expanded, names and source lines attached. So nothing
// here has to know what a Dockerfile means.
package definition

import (
	"fmt"
	"slices"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// Graph is a definition by the digests of its operations. It is read-only.
type Graph struct {
	ops  map[digest.Digest]*pb.Op
	raw  map[digest.Digest][]byte
	meta map[digest.Digest]*pb.OpMetadata
	locs map[digest.Digest]*pb.Locations
	info []*pb.SourceInfo
	root *pb.Input
}

// Parse reads a definition as the gateway gives it: every operation marshaled
// on its own, the last one naming the result. An empty definition is the empty
// file system; its graph has no root.
func Parse(def *pb.Definition) (*Graph, error) {
	g := &Graph{
		ops:  map[digest.Digest]*pb.Op{},
		raw:  map[digest.Digest][]byte{},
		meta: map[digest.Digest]*pb.OpMetadata{},
		locs: map[digest.Digest]*pb.Locations{},
	}
	var last *pb.Op
	for i, dt := range def.GetDef() {
		op := &pb.Op{}
		if err := proto.Unmarshal(dt, op); err != nil {
			return nil, fmt.Errorf("reading operation %d of the definition: %w", i, err)
		}
		dgst := digest.FromBytes(dt)
		g.ops[dgst], g.raw[dgst] = op, dt
		if md := def.Metadata[string(dgst)]; md != nil {
			g.meta[dgst] = md
		}
		last = op
	}
	if last == nil {
		return g, nil
	}
	if len(last.Inputs) != 1 || last.Op != nil {
		return nil, fmt.Errorf("reading the definition: its last operation does not name one result")
	}
	g.root = last.Inputs[0]
	if src := def.GetSource(); src != nil {
		g.info = src.Infos
		for dgst, l := range src.Locations {
			g.locs[digest.Digest(dgst)] = l
		}
	}
	for dgst, op := range g.ops {
		for _, in := range op.Inputs {
			if g.ops[digest.Digest(in.Digest)] == nil {
				return nil, fmt.Errorf("reading the definition: operation %s needs %s, which is not there", dgst, in.Digest)
			}
		}
	}
	return g, nil
}

// Root is the result that the definition names, nil for the empty file system.
func (g *Graph) Root() *pb.Input { return g.root }

// Op is the operation that makes the input.
func (g *Graph) Op(in *pb.Input) *pb.Op {
	if in == nil {
		return nil
	}
	return g.ops[digest.Digest(in.Digest)]
}

// Name is what the progress shows for the operation, "" when it has no name.
func (g *Graph) Name(in *pb.Input) string {
	return g.meta[digest.Digest(in.GetDigest())].GetDescription()["llb.customname"]
}

// Line is the line of the Dockerfile that the operation comes from, 0 when it
// is not known.
func (g *Graph) Line(in *pb.Input) int {
	for _, l := range g.locs[digest.Digest(in.GetDigest())].GetLocations() {
		for _, r := range l.Ranges {
			if r.Start != nil {
				return int(r.Start.Line)
			}
		}
	}
	return 0
}

// Lines are the lines of the Dockerfile that the graph's operations come from, in
// their order and each once.
func (g *Graph) Lines() []int {
	var lines []int
	for dgst := range g.ops {
		if line := g.Line(&pb.Input{Digest: string(dgst)}); line > 0 {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// Below is the input that the result's root file system is built upon, nil when
// it is built upon none: of a command its root mount, of file operations and
// merges what they change or put layers on.
func (g *Graph) Below(in *pb.Input) *pb.Input {
	op := g.Op(in)
	if exec := op.GetExec(); exec != nil {
		for _, m := range exec.Mounts {
			if m.Dest == "/" {
				return inputAt(op, m.Input)
			}
		}
		return nil
	}
	if op.GetFile() != nil {
		return changed(op, in.Index)
	}
	below, _ := ground(op)
	return below
}

// changed is the input that an output of a file operation is a change of, nil for
// none.
func changed(op *pb.Op, output int64) *pb.Input {
	actions, inputs := op.GetFile().GetActions(), int64(len(op.Inputs))
	last := slices.IndexFunc(actions, func(a *pb.FileAction) bool { return a.Output == output })
	for i := int64(last); i >= 0; {
		of := actions[i].Input
		if of < inputs {
			return inputAt(op, of)
		}
		if of -= inputs; of >= i {
			return nil // not of an earlier action, so of none that there is
		}
		i = of
	}
	return nil
}

// Bottom is the last input below another: the image, as a rule, that it all
// stands upon.
func (g *Graph) Bottom(in *pb.Input) *pb.Input {
	for below := in; below != nil; below = g.Below(in) {
		in = below
	}
	return in
}

// Definition is the part of the graph that the input needs, as a definition of
// its own.
func (g *Graph) Definition(in *pb.Input) *pb.Definition {
	b := NewBuilder(g)
	if in != nil {
		b.include(g, digest.Digest(in.Digest))
	}
	return b.Finish(in)
}

// Reaches says whether the operation of from is, or depends on, the operation
// of what.
func (g *Graph) Reaches(from, what *pb.Input) bool {
	return g.reaches(digest.Digest(from.GetDigest()), digest.Digest(what.GetDigest()), map[digest.Digest]bool{})
}

func (g *Graph) reaches(from, what digest.Digest, seen map[digest.Digest]bool) bool {
	if from == what {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, in := range g.ops[from].GetInputs() {
		if g.reaches(digest.Digest(in.Digest), what, seen) {
			return true
		}
	}
	return false
}

// Dockerfile is the text of the source file that the definition comes from, nil
// when it is not known.
func (g *Graph) Dockerfile() []byte {
	for _, info := range g.info {
		if info.Language == "Dockerfile" {
			return info.Data
		}
	}
	return nil
}

// Key names an input of operations: the same output of the same operation.
func Key(in *pb.Input) string { return fmt.Sprintf("%s@%d", in.Digest, in.Index) }
