package frontend

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/layers"
)

// squashComparison finds out what a file operation on a base has to do so that
// the base becomes what stands above it. It looks only where something was
// changed: into the directories that the difference of the two has.
type squashComparison struct {
	base, above, added gateway.Reference
	reads              turns
}

// squashDiff is what was found in a directory and below it.
type squashDiff struct {
	gone   []layers.Removal
	same   []string // what is not to be copied, as .dockerignore knows it
	linked []layers.Links
	dirs   []string // of the base, whose times linked changes
	nodes  []layers.Node
	lost   unwritten
	// seal stands for the metadata of all that was found.
	seal []byte
	any  bool
}

func (d *squashDiff) add(other squashDiff) {
	d.gone = append(d.gone, other.gone...)
	d.same = append(d.same, other.same...)
	d.linked = append(d.linked, other.linked...)
	d.dirs = append(d.dirs, other.dirs...)
	d.nodes = append(d.nodes, other.nodes...)
	d.lost.add(other.lost)
	d.any = d.any || other.any
	d.seal = sealed(d.seal, other.seal)
}

// compareForSquash compares the whole file systems; without a base, all is added. The
// links are the names of files that have got names in more than one directory.
func compareForSquash(ctx context.Context, base, above, added gateway.Reference, links [][]string) (squashDiff, error) {
	c := &squashComparison{base: base, above: above, added: added, reads: newTurns()}
	diff, err := c.dir(ctx, "/", base != nil, nil)
	if err != nil || base == nil {
		return diff, err
	}
	elsewhere, err := c.linksElsewhere(ctx, links)
	diff.add(elsewhere)
	return diff, err
}

// list reads a directory, when it is its turn.
func (c *squashComparison) list(ctx context.Context, ref gateway.Reference, dir string) (list map[string]*fstypes.Stat, err error) {
	err = c.reads.take(ctx, func() error {
		stats, err := ref.ReadDir(ctx, gateway.ReadDirRequest{Path: dir})
		list = byName(stats)
		return err
	})
	return list, err
}

// dir looks into a directory of the difference, which the base may have as well.
func (c *squashComparison) dir(ctx context.Context, dir string, hasBase bool, parents []layers.Node) (diff squashDiff, err error) {
	var added, base, above map[string]*fstypes.Stat
	eg, egctx := errgroup.WithContext(ctx)
	for _, side := range []struct {
		ref  gateway.Reference
		list *map[string]*fstypes.Stat
		read bool
	}{{c.added, &added, true}, {c.base, &base, hasBase}, {c.above, &above, hasBase}} {
		if side.read {
			eg.Go(func() (err error) {
				*side.list, err = c.list(egctx, side.ref, dir)
				return err
			})
		}
	}
	if err := eg.Wait(); err != nil {
		return diff, err
	}
	if diff, err = inBoth(dir, base, above, added); err != nil {
		return diff, err
	}
	entries, err := c.entries(ctx, dir, added, base, parents)
	diff.add(entries)
	return diff, err
}

// inBoth looks at a directory that the base has as well: at what is gone, what is
// the same, and which files of the base have got other names.
func inBoth(dir string, base, above, added map[string]*fstypes.Stat) (diff squashDiff, err error) {
	removals, names, err := removalsIn(dir, base, above)
	if err != nil {
		return diff, err
	}
	for _, name := range names {
		diff.add(squashDiff{seal: []byte(path.Join(dir, name)), any: true})
	}
	diff.gone = removals
	for _, name := range slices.Sorted(maps.Keys(above)) {
		if was, is := attributesOf(base[name]), attributesOf(above[name]); added[name] == nil && !maps.EqualFunc(base[name].GetXattrs(), above[name].GetXattrs(), bytes.Equal) && len(was)+len(is) > 0 {
			diff.lost.add(unwritten{paths: []string{path.Join(dir, name)}, attributes: append(was, is...)})
		}
		if added[name] != nil || !worthLeavingOut(above[name]) {
			continue
		}
		if pattern, ok := ignorePattern(path.Join(dir, name)); ok {
			diff.same = append(diff.same, pattern)
		}
	}
	before, after := linksOf(base), linksOf(above)
	for _, first := range slices.Sorted(maps.Keys(after)) {
		names := after[first]
		if !slices.ContainsFunc(names, func(name string) bool { return alike(above[name], base[name]) }) || slices.Equal(names, before[first]) {
			continue
		}
		links := squashDiff{seal: fmt.Appendf(nil, "%q", names), any: true}
		var patterns []string
		for _, name := range names {
			pattern, _ := ignorePattern(name)
			patterns = append(patterns, pattern)
			if full, ok := ignorePattern(path.Join(dir, name)); ok {
				links.same = append(links.same, full)
			}
		}
		if len(links.same) == len(names) {
			links.linked = []layers.Links{{Dir: dir, Names: patterns, Fraction: time.Unix(0, above[first].ModTime+1)}}
			diff.add(links)
		}
	}
	return diff, nil
}

// smallFile is the size of a file below which it is copied faster than left out:
// every name that is left out is compared with every other.
const smallFile = 64 << 10

// worthLeavingOut says whether what the base has as well should not be copied. If it
// is, BuildKit finds that it is the same when it makes the layer; not so devices,
// which the copy may make another.
func worthLeavingOut(st *fstypes.Stat) bool {
	mode := os.FileMode(st.Mode)
	return mode&os.ModeSymlink == 0 && (!mode.IsRegular() || st.Size >= smallFile)
}

// linksOf are the names in a directory that belong to one file, by the first of
// them.
func linksOf(list map[string]*fstypes.Stat) map[string][]string {
	links := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		st := list[name]
		if first := path.Base(st.Linkname); os.FileMode(st.Mode).IsRegular() && st.Linkname != "" && list[first] != nil {
			if links[first] == nil {
				links[first] = []string{first}
			}
			links[first] = append(links[first], name)
		}
	}
	return links
}

// alike says whether the base has a file with the same metadata.
func alike(st, base *fstypes.Stat) bool {
	return base != nil && os.FileMode(base.Mode).IsRegular() && sameOwnerAndMode(st, base) && st.Size == base.Size && st.ModTime == base.ModTime
}

func (c *squashComparison) entries(ctx context.Context, dir string, added, base map[string]*fstypes.Stat, parents []layers.Node) (diff squashDiff, err error) {
	names := slices.Sorted(maps.Keys(added))
	parts := make([]squashDiff, len(names))
	eg, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		eg.Go(func() (err error) {
			parts[i], err = c.entry(ctx, path.Join(dir, name), added[name], base[name], parents)
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return diff, err
	}
	for _, part := range parts {
		diff.add(part)
	}
	return diff, nil
}

// entry looks at what stands at a path of the difference.
func (c *squashComparison) entry(ctx context.Context, name string, st, base *fstypes.Stat, parents []layers.Node) (squashDiff, error) {
	diff := squashDiff{seal: sealOf(name, st), any: true}
	if attributes := append(attributesOf(st), attributesOf(base)...); len(attributes) > 0 {
		diff.lost = unwritten{paths: []string{name}, attributes: attributes}
	}
	if os.FileMode(st.Mode).Type() == os.ModeDevice {
		diff.nodes = append(slices.Clone(parents), nodeOf(name, st))
	}
	if !isDir(st) {
		return diff, nil
	}
	hasBase := base != nil && isDir(base)
	inside, err := c.dir(ctx, name, hasBase, append(parents[:len(parents):len(parents)], nodeOf(name, st)))
	diff.add(inside)
	if hasBase && sameOwnerAndMode(st, base) {
		diff.any = inside.any
	}
	return diff, err
}

func isDir(st *fstypes.Stat) bool { return os.FileMode(st.Mode).IsDir() }

func sameOwnerAndMode(a, b *fstypes.Stat) bool {
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid
}

// sealOf is all that is known of an entry.
func sealOf(name string, st *fstypes.Stat) []byte {
	seal := fmt.Appendf(nil, "%q %o %d %d %d %d %q %d %d", name, st.Mode, st.Uid, st.Gid, st.Size, st.ModTime, st.Linkname, st.Devmajor, st.Devminor)
	for _, key := range slices.Sorted(maps.Keys(st.Xattrs)) {
		seal = fmt.Appendf(seal, " %q=%x", key, st.Xattrs[key])
	}
	return seal
}

func nodeOf(name string, st *fstypes.Stat) layers.Node {
	return layers.Node{
		Path: name, Mode: fs.FileMode(st.Mode), UID: int(st.Uid), GID: int(st.Gid), Major: st.Devmajor, Minor: st.Devminor,
		ModTime: time.Unix(0, st.ModTime), Xattrs: st.Xattrs,
	}
}

// ignorePattern is a path as .dockerignore would have it, false for one that it
// cannot have.
func ignorePattern(name string) (string, bool) {
	name = strings.TrimPrefix(name, "/")
	if !utf8.ValidString(name) || strings.TrimSpace(name) != name {
		return "", false
	}
	var b strings.Builder
	for i, r := range name {
		if strings.ContainsRune(`*?[]\^`, r) || i == 0 && r == '!' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String(), true
}
