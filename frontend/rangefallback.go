package frontend

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/dockerfile"
	"github.com/docker-relink/relink/internal/errdefs"
)

// unableToCompare says what a builder that cannot subtract layers lacks for
// comparing files, nil when it lacks nothing. One without file operations does
// not get here: the Dockerfile frontend cannot work with it at all.
func unableToCompare(c gateway.Client, what string) error {
	opts := c.BuildOpts()
	for _, need := range []struct {
		err        error
		what, have string
	}{
		{opts.Caps.Supports(gwpb.CapReadDir), "list a directory to a frontend (ReadDir)", "BuildKit v0.5 and Docker Engine 19.03 can"},
		{opts.Caps.Supports(gwpb.CapReferenceOutput), "show a frontend what it built (reference output)", "BuildKit v0.8 and Docker Engine 20.10 can"},
	} {
		if need.err != nil {
			return errdefs.Unsupportedf(
				"Use a builder with BuildKit v0.10 or later, or Docker Engine with the containerd image store.",
				"%s: the builder can neither subtract layers (DiffOp), which BuildKit v0.10 and Docker Engine with the containerd image store can, nor %s, which %s",
				what, need.what, need.have)
		}
	}
	return nil
}

// compared is a range by its files, for builders that cannot subtract layers:
// the whole upper side is copied, and what is the same in the lower one is
// taken out. So hard links, special files and the metadata of directories stay
// what a copy of the upper side makes them.
func (d *differences) compared(ctx context.Context, rg *dockerfile.Range, lower, upper llb.State) (llb.State, error) {
	if lower.Output() == nil {
		return upper, nil
	}
	diff, err := compareStates(ctx, d.r.c, lower, upper)
	if err != nil {
		return llb.State{}, d.r.errRange(rg, fmt.Errorf("comparing the sides of the range %s: %w", rg.Expression, err))
	}
	d.gone[rg] = slices.Concat(diff.gone, diff.sealing())
	return diff.own(d.r.c, upper, llb.WithCustomName("[relink] "+rg.String()+" compared file by file, which is slower: this builder has no DiffOp")), nil
}

// copyWithout copies all of a state and removes some of it.
func copyWithout(st llb.State, removals []removal, follows bool) *llb.FileAction {
	if st.Output() == nil {
		// An operation has to do something to make the empty file system.
		const name = "/relink"
		return llb.Mkdir(name, 0o755).Rm(name)
	}
	return removing(llb.Copy(st, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true}), removals, follows)
}

// removing removes paths after other actions, nil for none. Where the builder's
// removal of a symbolic link takes what the link leads to, each link is made a
// file first, by the copy of a directory with files of these names: it follows
// no link in there, and leaves the directory's own metadata alone.
func removing(files *llb.FileAction, removals []removal, follows bool) *llb.FileAction {
	var dirs []string
	names := map[string]*llb.FileAction{}
	for _, r := range removals {
		if !r.link || !follows {
			continue
		}
		dir := path.Dir(r.path)
		if names[dir] == nil {
			dirs = append(dirs, dir)
			names[dir] = llb.Mkdir("/files", 0o755)
		}
		names[dir] = names[dir].Mkfile("/files/"+path.Base(r.path), 0o644, nil)
	}
	for _, dir := range dirs {
		st := llb.Scratch().File(names[dir], llb.WithCustomName("[relink] name the symbolic links of "+dir))
		files = files.Copy(st, "/files", dir, &llb.CopyInfo{CopyDirContentsOnly: true})
	}
	for _, r := range removals {
		// Some builders look for what a symbolic link leads to.
		files = files.Rm(r.path, llb.WithAllowNotFound(true))
	}
	return files
}

// deleteGone has copies of a whole range that are to be linked, which a builder
// without MergeOp makes ordinary ones, delete what the range deletes.
func (d *differences) deleteGone(ctx context.Context, g *definition.Graph, rg *dockerfile.Range) (*definition.Graph, error) {
	mark := d.r.marks[rg]
	for len(d.gone[rg]) > 0 {
		users := g.Users(mark)
		i := slices.IndexFunc(users, func(u *pb.Input) bool { return linksWhole(g, u, mark) })
		if i < 0 {
			break
		}
		with, err := d.deleting(ctx, g, users[i], d.gone[rg])
		if err != nil {
			return nil, err
		}
		def, err := g.Replace(users[i], with)
		if err != nil {
			return nil, err
		}
		if g, err = definition.Parse(def); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// deleting is an operation of one copy that removes paths before it. It stays
// one operation, so that the instruction makes one layer.
func (d *differences) deleting(ctx context.Context, g *definition.Graph, copied *pb.Input, gone []removal) (*definition.Graph, error) {
	old := g.Op(copied)
	action := old.GetFile().Actions[0]
	var inputs [2]llb.State
	for i, at := range []int64{action.Input, action.SecondaryInput} {
		var err error
		if inputs[i], err = state(g.Definition(old.Inputs[at])); err != nil {
			return nil, err
		}
	}
	cp := action.GetCopy()
	files := removing(nil, gone, removalFollows(d.r.c)).Copy(inputs[1], cp.Src, cp.Dest, &llb.CopyInfo{
		CopyDirContentsOnly: cp.DirCopyContents, CreateDestPath: cp.CreateDestPath, FollowSymlinks: cp.FollowSymlink,
		AllowWildcard: cp.AllowWildcard, AllowEmptyWildcard: cp.AllowEmptyWildcard,
		AlwaysReplaceExistingDestPaths: cp.AlwaysReplaceExistingDestPaths,
	})
	def, err := marshal(ctx, inputs[0].File(files))
	if err != nil {
		return nil, err
	}
	made, err := definition.Parse(def)
	if err != nil {
		return nil, err
	}
	op := made.Op(made.Root()).CloneVT()
	op.Platform, op.Constraints = old.Platform, old.Constraints
	b := definition.NewBuilder(g)
	for _, in := range op.Inputs {
		b.Include(made, in)
	}
	in, err := b.Add(op, g, copied)
	if err != nil {
		return nil, err
	}
	return definition.Parse(b.Finish(in))
}

// removalFollows says whether the builder's removal of a symbolic link takes
// what the link leads to.
func removalFollows(c gateway.Client) bool {
	caps := c.BuildOpts().LLBCaps
	return caps.Supports(pb.CapFileRmNoFollowSymlink) != nil
}

// linksWhole says whether an operation is what becomes of COPY --link of a
// whole range onto something else. Only the name tells it from one without
// --link.
func linksWhole(g *definition.Graph, copied, mark *pb.Input) bool {
	op := g.Op(copied)
	words := strings.Fields(instruction(g.Name(copied)))
	if len(words) == 0 || words[0] != "COPY" || !slices.Contains(words, "--link") && !slices.Contains(words, "--link=true") {
		return false
	}
	actions := op.GetFile().GetActions()
	return len(actions) == 1 && len(op.Inputs) == 2 && actions[0].Input >= 0 && actions[0].SecondaryInput >= 0 &&
		op.Inputs[actions[0].SecondaryInput].Digest == mark.Digest && copiesAll(actions[0].GetCopy())
}
