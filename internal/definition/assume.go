package definition

import (
	"path"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/proto"
)

// CanAssumeFile says whether AssumeFiles can hold the copy to be of one file:
// its source is one plain path, and nothing else picks what is copied.
func CanAssumeFile(cp *pb.FileActionCopy) bool {
	return !strings.ContainsAny(cp.Src, `*?[\`) &&
		!strings.HasSuffix(cp.Src, "/") && !strings.HasSuffix(cp.Src, "/.") && path.Clean("/"+cp.Src) != "/" &&
		!cp.AttemptUnpackDockerCompatibility && !cp.AlwaysReplaceExistingDestPaths &&
		len(cp.IncludePatterns)+len(cp.ExcludePatterns)+len(cp.RequiredPaths) == 0
}

// AssumeFiles returns the step with copies that fail when their source is a
// directory; is says of which copies. Everything else about the step stays.
//
// The source is first copied onto nothing, to a path of its own name. A file
// written to that path replaces a file, and fails on a directory: a copy of no
// files from the result makes the step depend on it. All of that is one
// operation with the step's own actions, so it is cached with them, and not run
// when they are not.
func (s Step) AssumeFiles(is func(i int) bool) Step {
	old := s.op.GetFile()
	n := int64(len(s.op.Inputs))
	var actions []*pb.FileAction
	moved := make([]int64, len(old.Actions)) // where the old actions' results are
	result := func(i int64) int64 {
		if i < n {
			return i
		}
		return n + moved[i-n]
	}
	for i, a := range old.Actions {
		a := proto.Clone(a).(*pb.FileAction)
		a.Input, a.SecondaryInput = result(a.Input), result(a.SecondaryInput)
		for _, u := range names(a) {
			u.Input = result(u.Input)
		}
		if cp := a.GetCopy(); cp != nil && is(i) {
			actions = append(actions, fileOnly(a, n+int64(len(actions)))...)
			a.SecondaryInput = n + int64(len(actions)) - 1
			cp.Src = "/" + path.Base(cp.Src)
		}
		moved[i] = int64(len(actions))
		actions = append(actions, a)
	}
	op := proto.Clone(s.op).(*pb.Op)
	op.GetFile().Actions = actions
	for i, in := range s.op.Inputs {
		if in == s.in {
			s.in = op.Inputs[i]
		}
	}
	s.op = op
	return s
}

// fileOnly are the actions whose last result has what the copy brings, at the
// root, and is none when that is a directory. next is the number of the first
// one's result.
func fileOnly(a *pb.FileAction, next int64) []*pb.FileAction {
	const none, noTime = -1, -1
	cp := a.GetCopy()
	name := "/" + path.Base(cp.Src)
	bring := &pb.FileActionCopy{
		Src: cp.Src, Dest: name, Mode: -1, Timestamp: noTime,
		FollowSymlink: cp.FollowSymlink, AllowWildcard: cp.AllowWildcard, CreateDestPath: true,
	}
	return []*pb.FileAction{
		{Input: none, SecondaryInput: a.SecondaryInput, Output: none, Action: &pb.FileAction_Copy{Copy: bring}},
		{Input: next, SecondaryInput: none, Output: none, Action: &pb.FileAction_Mkfile{Mkfile: &pb.FileActionMkFile{
			Path: name, Mode: 0o644, Timestamp: noTime,
		}}},
		{Input: next, SecondaryInput: next + 1, Output: none, Action: &pb.FileAction_Copy{Copy: &pb.FileActionCopy{
			Src: "/.relink-matches-nothing-*", Dest: "/", Mode: -1, Timestamp: noTime, AllowWildcard: true, AllowEmptyWildcard: true, CreateDestPath: true,
		}}},
	}
}
