package frontend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/errdefs"
)

const (
	// readsAtOnce is how many requests of a comparison are under way at most.
	readsAtOnce = 8
	// pieceSize is how much of a file is read in one request, well below what
	// old builders can send.
	pieceSize = 1 << 20
)

// removal is a path to remove.
type removal struct {
	path string
	link bool // a symbolic link stands there
}

func remove(name string, st *fstypes.Stat) []removal {
	return []removal{{path: name, link: os.FileMode(st.Mode)&os.ModeSymlink != 0}}
}

// fileDiff is how two file systems differ.
type fileDiff struct {
	// same are the paths of the upper one that the lower one has as well, of a
	// directory with all that is in it.
	same []removal
	// gone are the paths that the upper one does not have, or has as something
	// of another type.
	gone []removal
	// changed says that there is anything that is not the same.
	changed bool
	// seal stands for the metadata of what differs.
	seal []byte
	lost unwritten
}

func (d *fileDiff) add(other fileDiff) {
	d.seal = sealed(d.seal, other.seal)
	d.same = append(d.same, other.same...)
	d.gone = append(d.gone, other.gone...)
	d.lost.add(other.lost)
	d.changed = d.changed || other.changed
}

// sealed stands for what two seals stand for.
func sealed(seal, other []byte) []byte {
	if other == nil {
		return seal
	}
	sum := sha256.Sum256(append(seal, other...))
	return sum[:]
}

// turns bound how many requests of a comparison are under way: each has the builder
// mount a file system.
type turns chan struct{}

func newTurns() turns { return make(turns, readsAtOnce) }

// take waits for a turn, and does something in it.
func (t turns) take(ctx context.Context, f func() error) error {
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-t }()
	return f()
}

// fileComparison compares two file systems of the builder. What decides is what
// decides where DiffOp has to compare, and all extended attributes.
type fileComparison struct {
	lower, upper gateway.Reference // nil is the empty file system
	reads        turns
	// plain says that the builder's copy is good for files, directories and
	// symbolic links only: it leaves FIFOs out and makes files of devices.
	plain bool
}

// compareStates compares two states by their files. The builder has to make them
// for that.
func compareStates(ctx context.Context, c gateway.Client, lower, upper llb.State, opts ...llb.ConstraintsOpt) (fileDiff, error) {
	refs, err := solveAll(ctx, c, []llb.State{lower, upper}, opts...)
	if err != nil {
		return fileDiff{}, err
	}
	caps := c.BuildOpts().LLBCaps
	return compareFiles(ctx, refs[0], refs[1], !caps.Contains(pb.CapDiffOp))
}

// own is what the upper one of two states has other than the lower one, by a copy of
// all of it without what is the same.
func (d fileDiff) own(c gateway.Client, upper llb.State, opts ...llb.ConstraintsOpt) llb.State {
	return llb.Scratch().File(copyWithout(upper, slices.Concat(d.same, d.sealing()), removalFollows(c)), opts...)
}

// sealing is the removal of a path that is not there. It says which difference an
// operation is about: the builder takes two copies for the same when only times, or
// to some only owners, differ.
func (d fileDiff) sealing() []removal { return []removal{{path: sealPath(d.seal)}} }

// sealPath is a path that is not there, by what a seal stands for.
func sealPath(seal []byte) string { return fmt.Sprintf("/.relink.%x", seal) }

func compareFiles(ctx context.Context, lower, upper gateway.Reference, plain bool) (fileDiff, error) {
	c := &fileComparison{lower: lower, upper: upper, reads: newTurns(), plain: plain}
	return c.dir(ctx, "/", true)
}

// both does something with either side at the same time, where there is one.
func (c *fileComparison) both(ctx context.Context, hasLower bool, f func(ctx context.Context, side int, ref gateway.Reference) error) error {
	eg, ctx := errgroup.WithContext(ctx)
	for side, ref := range []gateway.Reference{c.lower, c.upper} {
		if ref != nil && (side == 1 || hasLower) {
			eg.Go(func() error { return c.reads.take(ctx, func() error { return f(ctx, side, ref) }) })
		}
	}
	return eg.Wait()
}

// dir compares a directory of the upper side, which the lower one may have,
// too.
func (c *fileComparison) dir(ctx context.Context, dir string, hasLower bool) (diff fileDiff, err error) {
	var sides [2]map[string]*fstypes.Stat
	err = c.both(ctx, hasLower, func(ctx context.Context, side int, ref gateway.Reference) error {
		stats, err := ref.ReadDir(ctx, gateway.ReadDirRequest{Path: dir})
		sides[side] = byName(stats)
		return err
	})
	if err != nil {
		return diff, err
	}
	names := slices.Sorted(maps.Keys(sides[1]))
	parts := make([]fileDiff, len(names))
	eg, egctx := errgroup.WithContext(ctx)
	for i, name := range names {
		eg.Go(func() (err error) {
			parts[i], err = c.entry(egctx, path.Join(dir, name), sides[0][name], sides[1][name])
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return diff, err
	}
	for _, part := range parts {
		diff.add(part)
	}
	for _, name := range slices.Sorted(maps.Keys(sides[0])) {
		if sides[1][name] == nil {
			diff.add(fileDiff{gone: remove(path.Join(dir, name), sides[0][name]), changed: true})
		}
	}
	return diff, nil
}

// byName is a listing by name. Of hard links to the same file in a directory,
// all but the first are listed as links to that one without a size.
func byName(stats []*fstypes.Stat) map[string]*fstypes.Stat {
	out := make(map[string]*fstypes.Stat, len(stats))
	for _, st := range stats {
		out[path.Base(st.Path)] = st
	}
	for _, st := range out {
		if os.FileMode(st.Mode)&os.ModeSymlink != 0 || st.Linkname == "" {
			continue
		}
		if first := out[path.Base(st.Linkname)]; first != nil {
			st.Size = first.Size
		}
	}
	return out
}

// entry compares what stands at a path of the upper side.
func (c *fileComparison) entry(ctx context.Context, name string, lower, upper *fstypes.Stat) (diff fileDiff, err error) {
	sameType := lower != nil && os.FileMode(lower.Mode).Type() == os.FileMode(upper.Mode).Type()
	if os.FileMode(upper.Mode).IsDir() {
		diff, err = c.dir(ctx, name, sameType)
	} else if sameType {
		var same bool
		same, err = c.sameFile(ctx, name, lower, upper)
		diff.changed = !same
	}
	if err != nil {
		return fileDiff{}, err
	}
	if sameType && !diff.changed && sameMetadata(lower, upper) {
		return fileDiff{same: remove(name, upper)}, nil
	}
	diff.add(fileDiff{changed: true, seal: fmt.Appendf(nil, "%q %o %d %d %d", name, upper.Mode, upper.Uid, upper.Gid, upper.ModTime)})
	if attributes := append(attributesOf(upper), attributesOf(lower)...); len(attributes) > 0 {
		diff.lost.add(unwritten{paths: []string{name}, attributes: attributes})
	}
	if lower != nil && !sameType {
		diff.gone = append(diff.gone, remove(name, lower)...)
	}
	return diff, c.copied(name, upper)
}

// copied refuses what does not come out of the builder's copy as it is.
func (c *fileComparison) copied(name string, st *fstypes.Stat) error {
	mode := os.FileMode(st.Mode)
	kind := "device"
	switch {
	case mode.Type() == os.ModeDevice:
		kind = "block device"
	case !c.plain:
		return nil
	case mode&os.ModeNamedPipe != 0:
		kind = "FIFO"
	case mode&os.ModeDevice == 0:
		return nil
	}
	return errdefs.Unsupportedf(
		"Use a builder with BuildKit v0.10 or later, or Docker Engine with the containerd image store.",
		"the builder cannot copy the %s %s, and has no DiffOp, which BuildKit v0.10 and Docker Engine with the containerd image store have", kind, name)
}

func sameMetadata(a, b *fstypes.Stat) bool {
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid && a.Devmajor == b.Devmajor && a.Devminor == b.Devminor &&
		maps.EqualFunc(a.Xattrs, b.Xattrs, bytes.Equal)
}

// sameFile compares what is no directory. Times without a fraction of a second
// may be those of an archive, and say nothing about the contents.
func (c *fileComparison) sameFile(ctx context.Context, name string, lower, upper *fstypes.Stat) (bool, error) {
	if !sameMetadata(lower, upper) || lower.Size != upper.Size || lower.ModTime != upper.ModTime {
		return false, nil
	}
	if mode := os.FileMode(upper.Mode); !mode.IsRegular() {
		return mode&os.ModeSymlink == 0 || lower.Linkname == upper.Linkname, nil
	}
	if upper.ModTime%int64(time.Second) != 0 {
		return true, nil
	}
	return c.sameContents(ctx, name, upper.Size)
}

func (c *fileComparison) sameContents(ctx context.Context, name string, size int64) (bool, error) {
	for at := int64(0); at < size; at += pieceSize {
		var pieces [2][]byte
		err := c.both(ctx, true, func(ctx context.Context, side int, ref gateway.Reference) (err error) {
			pieces[side], err = ref.ReadFile(ctx, gateway.ReadRequest{
				Filename: name,
				Range:    &gateway.FileRange{Offset: int(at), Length: pieceSize},
			})
			return err
		})
		if err != nil || !bytes.Equal(pieces[0], pieces[1]) {
			return false, err
		}
	}
	return true, nil
}
