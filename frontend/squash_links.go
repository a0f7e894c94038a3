package frontend

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/docker-relink/relink/internal/layers"
)

// linkSearch looks for files of a base that have got names in other directories. A
// builder says what is a link to what only of one directory: the names come from the
// layers that made the links.
type linkSearch struct {
	c           *squashComparison
	base, above *listings
}

// listings are directories of a file system, each read once.
type listings struct {
	c    *squashComparison
	ref  gateway.Reference
	dirs map[string]map[string]*fstypes.Stat
}

// linksElsewhere has such files copied together with all their names.
func (c *squashComparison) linksElsewhere(ctx context.Context, links [][]string) (diff squashDiff, err error) {
	s := linkSearch{c, &listings{c, c.base, map[string]map[string]*fstypes.Stat{}}, &listings{c, c.above, map[string]map[string]*fstypes.Stat{}}}
	for _, names := range links {
		found, err := s.find(ctx, names)
		if err != nil {
			return diff, fmt.Errorf("looking for the names of %s: %w", names[0], err)
		}
		diff.add(found)
	}
	slices.Sort(diff.dirs)
	diff.dirs = slices.Compact(diff.dirs)
	return diff, nil
}

// find looks at what is left of a file's names. A later layer may have put another
// file in the place of some; the copy makes links only of what is linked.
func (s linkSearch) find(ctx context.Context, names []string) (diff squashDiff, err error) {
	files := map[string]*linkedFile{}
	for _, name := range names {
		st, err := s.above.stat(ctx, name)
		if err != nil {
			return diff, err
		}
		if st == nil || !os.FileMode(st.Mode).IsRegular() {
			continue
		}
		base, err := s.base.stat(ctx, name)
		if err != nil {
			return diff, err
		}
		key := fmt.Sprint(st.Mode, st.Uid, st.Gid, st.Size, st.ModTime)
		if files[key] == nil {
			files[key] = &linkedFile{modTime: st.ModTime}
		}
		files[key].names = append(files[key].names, name)
		files[key].ofBase = files[key].ofBase || alike(st, base)
	}
	for _, key := range slices.Sorted(maps.Keys(files)) {
		if f := files[key]; len(f.names) > 1 && f.ofBase {
			diff.add(asLinks(f.names, f.modTime))
		}
	}
	return diff, nil
}

// linkedFile is names whose files are told apart by nothing.
type linkedFile struct {
	names   []string
	modTime int64
	ofBase  bool // the base has such a file under one of them
}

// stat is what stands at a path, nil for nothing. It follows no symbolic link.
func (l *listings) stat(ctx context.Context, name string) (st *fstypes.Stat, err error) {
	dir := "/"
	for _, part := range strings.Split(strings.TrimPrefix(name, "/"), "/") {
		if st != nil && !isDir(st) {
			return nil, nil
		}
		list, read := l.dirs[dir]
		if !read {
			if list, err = l.c.list(ctx, l.ref, dir); err != nil {
				return nil, err
			}
			l.dirs[dir] = list
		}
		if st = list[part]; st == nil {
			return nil, nil
		}
		dir = path.Join(dir, part)
	}
	return st, nil
}

// asLinks has files copied together.
func asLinks(names []string, modTime int64) (diff squashDiff) {
	dir := path.Dir(names[0])
	for _, name := range names {
		for !strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
			dir = path.Dir(dir)
		}
	}
	links := layers.Links{Dir: dir, Fraction: time.Unix(0, modTime+1)}
	for _, name := range names {
		inDir, _ := ignorePattern(strings.TrimPrefix(name, dir)) // The layer was kept if it is none.
		full, _ := ignorePattern(name)
		links.Names = append(links.Names, inDir)
		diff.same = append(diff.same, full)
		diff.dirs = append(diff.dirs, path.Dir(name))
		diff.seal = fmt.Appendf(diff.seal, "%q", name)
	}
	diff.linked, diff.any = []layers.Links{links}, true
	return diff
}
