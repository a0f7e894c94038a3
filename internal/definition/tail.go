package definition

import (
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/proto"
)

// Step is one operation of a tail: it changes files and runs nothing.
type Step struct {
	// Out is the result of the step in the graph.
	Out *pb.Input
	// Name is the step as the progress shows it, Line its line in the
	// Dockerfile (0: not known).
	Name string
	Line int

	op     *pb.Op
	in     *pb.Input
	beside *pb.Input
	raw    *Graph
}

// Tail splits the graph at the last operation that needs its ground's files to
// run: head is what that operation makes (nil for the empty file system), steps
// are what follows, in their order.
//
// A step is a FileOp of copies and directories whose first action works on the
// result of the one before, or a MergeOp that puts layers on it (COPY --link).
func (g *Graph) Tail() (head *pb.Input, steps []Step) {
	head = g.root
	for head != nil {
		op := g.Op(head)
		in, ok := ground(op)
		if !ok {
			break
		}
		steps = append([]Step{{Out: head, Name: g.Name(head), Line: g.Line(head), op: op, in: in, raw: g}}, steps...)
		head = in
	}
	return head, steps
}

// ground is the input that the operation builds upon, nil for the empty file
// system; false when the operation is none that a tail can have.
func ground(op *pb.Op) (*pb.Input, bool) {
	switch o := op.GetOp().(type) {
	case *pb.Op_Merge:
		if len(o.Merge.Inputs) < 2 {
			return nil, false
		}
		return inputAt(op, o.Merge.Inputs[0].Input), true
	case *pb.Op_File:
		if !isChain(op, o.File) {
			return nil, false
		}
		return inputAt(op, o.File.Actions[0].Input), true
	default:
		return nil, false
	}
}

// isChain says whether the actions are copies and new directories, each on the
// result of the one before, and the last one's result is the operation's.
func isChain(op *pb.Op, f *pb.FileOp) bool {
	n := int64(len(op.Inputs))
	for i, a := range f.Actions {
		switch a.Action.(type) {
		case *pb.FileAction_Copy, *pb.FileAction_Mkdir:
		default:
			return false
		}
		if first := i == 0; first && a.Input >= n || !first && a.Input != n+int64(i)-1 {
			return false
		}
	}
	last := len(f.Actions) - 1
	return last >= 0 && f.Actions[last].Output == 0
}

func inputAt(op *pb.Op, i int64) *pb.Input {
	if i < 0 || i >= int64(len(op.Inputs)) {
		return nil
	}
	return op.Inputs[i]
}

// Actions are the step's file actions in their order; none for a merge.
func (s Step) Actions() []*pb.FileAction { return s.op.GetFile().GetActions() }

// Source is the input that the action copies from, nil for the empty file
// system.
func (s Step) Source(a *pb.FileAction) *pb.Input { return inputAt(s.op, a.SecondaryInput) }

// Ground is what the step builds upon in the graph.
func (s Step) Ground() *pb.Input { return s.in }

// Platform is the platform that the step is for, nil when it has none.
func (s Step) Platform() *pb.Platform { return s.op.GetPlatform() }

// Beside returns the step with one more input, which it does not use. It is for what
// would have none on the empty file system: of operations without inputs, builders
// export no results into caches (ExportRoots in BuildKit's solver/exporter.go). The
// input must be added to a builder before the step is.
func (s Step) Beside(in *pb.Input) Step {
	s.beside = in
	return s
}

// Put adds the step to the builder on another ground (nil: the empty file
// system) and returns its result. What the step copies from stays what it was.
func (b *Builder) Put(s Step, on *pb.Input) (*pb.Input, error) {
	op := proto.Clone(s.op).(*pb.Op)
	r := regrounding{old: s.op.Inputs, on: on}
	if s.beside != nil {
		r.slot(s.beside)
	}
	switch o := op.Op.(type) {
	case *pb.Op_Merge:
		r.merge(s.in, o.Merge)
	case *pb.Op_File:
		r.file(s.in, o.File)
	}
	op.Inputs = r.inputs
	for _, in := range op.Inputs {
		if in != on {
			b.Include(s.raw, in)
		}
	}
	return b.Add(op, s.raw, s.Out)
}

// regrounding gives an operation another ground and renumbers its inputs, so
// that the old ground is only kept where something is copied from it.
type regrounding struct {
	old, inputs []*pb.Input
	on          *pb.Input
}

const scratch = -1

func (r *regrounding) ground() int64 {
	if r.on == nil {
		return scratch
	}
	return r.slot(r.on)
}

func (r *regrounding) source(i int64) int64 {
	if i < 0 {
		return i
	}
	return r.slot(r.old[i])
}

func (r *regrounding) slot(in *pb.Input) int64 {
	for i, have := range r.inputs {
		if have == in {
			return int64(i)
		}
	}
	r.inputs = append(r.inputs, in)
	return int64(len(r.inputs) - 1)
}

func (r *regrounding) merge(ground *pb.Input, m *pb.MergeOp) {
	inputs := m.Inputs[:0]
	for _, in := range m.Inputs {
		switch {
		case r.old[in.Input] != ground:
			inputs = append(inputs, &pb.MergeInput{Input: r.source(in.Input)})
		case r.on != nil:
			inputs = append(inputs, &pb.MergeInput{Input: r.ground()})
		}
	}
	m.Inputs = inputs
}

func (r *regrounding) file(ground *pb.Input, f *pb.FileOp) {
	// First the inputs, as their number is what results are counted from.
	if r.on != nil {
		r.ground()
	}
	for _, a := range f.Actions {
		a.Input = r.input(a.Input, ground)
		a.SecondaryInput = r.input(a.SecondaryInput, nil)
		for _, u := range names(a) {
			u.Input = r.input(u.Input, ground)
		}
	}
	for _, a := range f.Actions {
		r.count(&a.Input)
		r.count(&a.SecondaryInput)
		for _, u := range names(a) {
			r.count(&u.Input)
		}
	}
}

// input is the new number of an action's input: of the ground, of a source, or
// of another action's result.
func (r *regrounding) input(i int64, ground *pb.Input) int64 {
	n := int64(len(r.old))
	switch {
	case i < 0:
		return i
	case i >= n:
		return i - n + resultBase
	case ground != nil && r.old[i] == ground:
		return r.ground()
	default:
		return r.source(i)
	}
}

// count numbers a result, when the number of the inputs is known.
func (r *regrounding) count(i *int64) {
	if *i >= resultBase {
		*i += int64(len(r.inputs)) - resultBase
	}
}

// resultBase stands for the number of inputs until that is known: no operation
// has so many.
const resultBase = 1 << 32

// names are the places where the action names a user or a group to be looked up
// in an input.
func names(a *pb.FileAction) []*pb.NamedUserOpt {
	owner := ownerOf(a)
	var out []*pb.NamedUserOpt
	for _, u := range []*pb.UserOpt{owner.GetUser(), owner.GetGroup()} {
		if byName := u.GetByName(); byName != nil {
			out = append(out, byName)
		}
	}
	return out
}

// Names are the user and group names that the step looks up on its ground.
func (s Step) Names() (users, groups []string) {
	for _, a := range s.Actions() {
		owner := ownerOf(a)
		if u := owner.GetUser().GetByName(); u != nil {
			users = append(users, u.Name)
		}
		if u := owner.GetGroup().GetByName(); u != nil {
			groups = append(groups, u.Name)
		}
	}
	return users, groups
}

func ownerOf(a *pb.FileAction) *pb.ChownOpt {
	switch o := a.Action.(type) {
	case *pb.FileAction_Copy:
		return o.Copy.Owner
	case *pb.FileAction_Mkdir:
		return o.Mkdir.Owner
	default:
		return nil
	}
}

// Extras are the layers that a merge puts on its ground; none for a step of
// file actions.
func (s Step) Extras() []*pb.Input {
	var out []*pb.Input
	for _, in := range s.op.GetMerge().GetInputs() {
		if i := inputAt(s.op, in.Input); i != s.in {
			out = append(out, i)
		}
	}
	return out
}
