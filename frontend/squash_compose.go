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
	remarks []string
}

// squashOn makes one layer of what stands above a base. What the names of the
// steps say of it is what.
func squashOn(ctx context.Context, c gateway.Client, base, above llb.State, what string) (squashed, error) {
	caps := c.BuildOpts().LLBCaps
	if caps.Supports(pb.CapDiffOp) != nil {
		return squashByFiles(ctx, c, base, above, what)
	}
	if base.Output() == nil {
		return squashAll(ctx, c, above, what)
	}
	added := llb.Diff(base, above, llb.WithCustomName(layers.SquashLooked+what+" change"))
	refs, err := solveAll(ctx, c, []llb.State{base, above, added})
	if err != nil {
		return squashed{}, err
	}
	diff, err := compareForSquash(ctx, refs[0], refs[1], refs[2])
	if err != nil {
		return squashed{}, fmt.Errorf("comparing the image with its base: %w", err)
	}
	remarks, err := rootRemarks(ctx, refs[0], refs[1])
	if err != nil {
		return squashed{}, err
	}
	out := squashed{state: base, nothing: !diff.any, remarks: append(remarks, lostRemarks(diff.lost)...)}
	if out.nothing {
		return out, nil
	}
	out.state, err = layers.Squash{
		Base: base, Above: above, Except: diff.same, Linked: diff.linked, Nodes: diff.nodes,
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
	diff, err := compareForSquash(ctx, nil, nil, refs[0])
	if err != nil {
		return squashed{}, fmt.Errorf("looking at the image: %w", err)
	}
	return squashed{state: layers.All(above, what), remarks: lostRemarks(diff.lost)}, nil
}

// lostRemarks says which extended attributes are lost.
func lostRemarks(paths []string) []string {
	if len(paths) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("extended attributes of %d paths are lost (the first is %s): a layer that BuildKit makes has none but file capabilities", len(paths), paths[0])}
}

// rootRemarks says what of the root directory itself is lost: layers that BuildKit
// makes do not have it.
func rootRemarks(ctx context.Context, base, above gateway.Reference) ([]string, error) {
	var stats [2]string
	for i, ref := range []gateway.Reference{base, above} {
		st, err := ref.StatFile(ctx, gateway.StatRequest{Path: "/"})
		if err != nil {
			return nil, fmt.Errorf("reading the root directory: %w", err)
		}
		stats[i] = fmt.Sprint(st.Mode&rootBits, st.Uid, st.Gid)
	}
	if stats[0] != stats[1] {
		return []string{"the root directory has another mode or owner than the base's, which BuildKit does not keep in a layer"}, nil
	}
	return nil, nil
}

// rootBits are the permissions of a directory.
const rootBits = 0o777

// squashByFiles is squashOn for builders that cannot subtract layers: all of the
// files are compared.
func squashByFiles(ctx context.Context, c gateway.Client, base, above llb.State, what string) (squashed, error) {
	if err := unableToCompare(c, what); err != nil {
		return squashed{}, err
	}
	diff, err := compareStates(ctx, c, base, above)
	if err != nil {
		return squashed{}, fmt.Errorf("comparing the image with its base: %w", err)
	}
	if base.Output() != nil && !diff.changed {
		return squashed{state: base, nothing: true}, nil
	}
	what += ", compared file by file, which is slower"
	if caps := c.BuildOpts().LLBCaps; caps.Supports(pb.CapFileCopyIncludeExcludePatterns) != nil {
		return copiedTwice(c, base, above, diff, what), nil
	}
	s := layers.Squash{Base: base, Above: above, Gone: []layers.Removal{{Path: sealPath(diff.seal)}}}
	for _, r := range diff.gone {
		s.Gone = append(s.Gone, layers.Removal{Path: r.path})
	}
	for _, r := range diff.same {
		if pattern, ok := ignorePattern(r.path); ok {
			s.Except = append(s.Except, pattern)
		}
	}
	st, err := s.State(what)
	return squashed{state: st}, err
}

// copiedTwice is for builders that cannot leave out what is the same while they
// copy.
func copiedTwice(c gateway.Client, base, above llb.State, diff fileDiff, what string) squashed {
	changed := diff.own(c, above, llb.WithCustomName(layers.SquashLooked+what+" change"))
	files := removing(nil, slices.Concat(diff.gone, diff.sealing()), removalFollows(c)).Copy(changed, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true})
	return squashed{state: base.File(files, llb.WithCustomName(layers.SquashNamed+what))}
}

// cannotSquash refuses what file operations on Linux would spoil.
func cannotSquash(p ocispecs.Platform) error {
	if p.OS == "windows" {
		return errdefs.Unsupportedf("", "the layers of an image for Windows can not be squashed")
	}
	return nil
}
