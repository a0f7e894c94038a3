package frontend

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/layers"
)

// squashed is what stands above a base as one layer on it.
type squashed struct {
	state   llb.State
	nothing bool // it leaves nothing, and the state is the base
	lost    unwritten
}

// squashOn makes one layer of what stands above a base. What the names of the
// steps say of it is what; the links are the names of files that have got names in
// more than one directory, as far as they are known.
func squashOn(ctx context.Context, c gateway.Client, base, above llb.State, links [][]string, what string) (squashed, error) {
	caps := c.BuildOpts().LLBCaps
	if caps.Supports(pb.CapDiffOp) != nil {
		return squashByFiles(ctx, c, base, above, links, what)
	}
	if base.Output() == nil {
		return squashAll(ctx, c, above, what)
	}
	added := llb.Diff(base, above, llb.WithCustomName(layers.SquashLooked+what+" change"))
	refs, err := solveAll(ctx, c, []llb.State{base, above, added})
	if err != nil {
		return squashed{}, err
	}
	diff, err := compareForSquash(ctx, refs[0], refs[1], refs[2], links)
	if err != nil {
		return squashed{}, fmt.Errorf("comparing the image with its base: %w", err)
	}
	out := squashed{state: base, nothing: !diff.any, lost: diff.lost}
	if out.nothing {
		return out, nil
	}
	out.state, err = layers.Squash{
		Base: base, Above: above, Except: diff.same, Linked: diff.linked, Dirs: diff.dirs, Nodes: diff.nodes,
		Gone: append(diff.gone, layers.Removal{Path: sealPath(diff.seal)}),
	}.State(what)
	return out, err
}

// squashAll makes one layer of all that there is. It is looked at only for what a
// layer cannot have.
func squashAll(ctx context.Context, c gateway.Client, above llb.State, what string) (squashed, error) {
	refs, err := solveAll(ctx, c, []llb.State{above})
	if err != nil {
		return squashed{}, err
	}
	diff, err := compareForSquash(ctx, nil, nil, refs[0], nil)
	if err != nil {
		return squashed{}, fmt.Errorf("looking at the image: %w", err)
	}
	return squashed{state: layers.All(above, what), lost: diff.lost}, nil
}

// squashByFiles is squashOn for builders that cannot subtract layers: all of the
// files are compared.
func squashByFiles(ctx context.Context, c gateway.Client, base, above llb.State, links [][]string, what string) (squashed, error) {
	if err := unableToCompare(c, what); err != nil {
		return squashed{}, err
	}
	diff, err := compareStates(ctx, c, base, above)
	if err != nil {
		return squashed{}, fmt.Errorf("comparing the image with its base: %w", err)
	}
	if base.Output() != nil && !diff.changed {
		return squashed{state: base, nothing: true, lost: diff.lost}, nil
	}
	elsewhere, err := linksByFiles(ctx, c, base, above, links)
	if err != nil {
		return squashed{}, err
	}
	diff.lost.add(elsewhere.lost)
	what += ", compared file by file, which is slower"
	if caps := c.BuildOpts().LLBCaps; caps.Supports(pb.CapFileCopyIncludeExcludePatterns) != nil {
		for _, l := range elsewhere.linked {
			diff.lost.links = append(diff.lost.links, l.Names...)
		}
		return squashed{state: copiedTwice(c, base, above, diff, what), lost: diff.lost}, nil
	}
	s := layers.Squash{Base: base, Above: above, Linked: elsewhere.linked, Dirs: elsewhere.dirs, Except: elsewhere.same, Gone: []layers.Removal{{Path: sealPath(diff.seal)}}}
	for _, r := range diff.gone {
		s.Gone = append(s.Gone, layers.Removal{Path: r.path})
	}
	for _, r := range diff.same {
		if pattern, ok := ignorePattern(r.path); ok {
			s.Except = append(s.Except, pattern)
		}
	}
	st, err := s.State(what)
	return squashed{state: st, lost: diff.lost}, err
}

// linksByFiles is linksElsewhere for such builders.
func linksByFiles(ctx context.Context, c gateway.Client, base, above llb.State, links [][]string) (diff squashDiff, err error) {
	if base.Output() == nil || len(links) == 0 {
		return diff, nil
	}
	refs, err := solveAll(ctx, c, []llb.State{base, above})
	if err != nil {
		return diff, err
	}
	s := &squashComparison{base: refs[0], above: refs[1], reads: newTurns()}
	return s.linksElsewhere(ctx, links)
}

// copiedTwice is for builders that cannot leave out what is the same while they
// copy.
func copiedTwice(c gateway.Client, base, above llb.State, diff fileDiff, what string) llb.State {
	changed := diff.own(c, above, llb.WithCustomName(layers.SquashLooked+what+" change"))
	files := removing(nil, slices.Concat(diff.gone, diff.sealing()), removalFollows(c)).Copy(changed, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true})
	return base.File(files, llb.WithCustomName(layers.SquashNamed+what))
}

// cannotSquash refuses what file operations on Linux would spoil.
func cannotSquash(p ocispecs.Platform) error {
	if p.OS == "windows" {
		return errdefs.Unsupportedf("", "the layers of an image for Windows can not be squashed")
	}
	return nil
}
