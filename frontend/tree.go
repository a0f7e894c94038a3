package frontend

import (
	"context"
	"maps"
	"os"
	"path"
	"slices"
	"sync"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/docker-relink/relink/internal/skeleton"
)

// tree reads the file system of a gateway reference, each directory and file
// once.
type tree struct {
	ref gateway.Reference // nil is the empty file system

	mu    sync.Mutex
	dirs  map[string]*dirRead
	files map[string]*fileRead
}

type fileRead struct {
	once sync.Once
	data []byte
	err  error
}

type dirRead struct {
	once    sync.Once
	entries map[string]skeleton.Entry
	err     error
}

func newTree(ref gateway.Reference) *tree {
	return &tree{ref: ref, dirs: map[string]*dirRead{}, files: map[string]*fileRead{}}
}

// ReadDir returns the entries of a directory; it follows no symbolic link to it.
func (t *tree) ReadDir(ctx context.Context, dir string) (map[string]skeleton.Entry, error) {
	if t.ref == nil {
		return nil, nil
	}
	dir = path.Clean("/" + dir)
	t.mu.Lock()
	read := t.dirs[dir]
	if read == nil {
		read = &dirRead{}
		t.dirs[dir] = read
	}
	t.mu.Unlock()
	read.once.Do(func() { read.entries, read.err = t.readDir(ctx, dir) })
	return read.entries, read.err
}

func (t *tree) readDir(ctx context.Context, dir string) (map[string]skeleton.Entry, error) {
	stats, err := t.ref.ReadDir(ctx, gateway.ReadDirRequest{Path: dir})
	if err != nil {
		return nil, err
	}
	entries := make(map[string]skeleton.Entry, len(stats))
	for _, st := range stats {
		entries[path.Base(st.Path)] = entry(st)
	}
	return entries, nil
}

// Line implements skeleton.Head. A file is read once, whatever is looked up in it.
func (t *tree) Line(ctx context.Context, file, name string) (string, skeleton.Evidence, error) {
	t.mu.Lock()
	read := t.files[file]
	if read == nil {
		read = &fileRead{}
		t.files[file] = read
	}
	t.mu.Unlock()
	read.once.Do(func() { read.data, read.err = t.ref.ReadFile(ctx, gateway.ReadRequest{Filename: file}) })
	return skeleton.FindLine(read.data, name), skeleton.Read, read.err
}

// Lstat implements skeleton.Head.
func (t *tree) Lstat(ctx context.Context, name string) (skeleton.Entry, skeleton.Evidence, error) {
	e, err := t.lstat(ctx, name)
	return e, skeleton.Read, err
}

// List implements skeleton.Head.
func (t *tree) List(ctx context.Context, dir string) ([]string, skeleton.Evidence, error) {
	entries, err := t.ReadDir(ctx, dir)
	return slices.Sorted(maps.Keys(entries)), skeleton.Read, err
}

// lstat returns what stands at a path of which the parents are directories.
func (t *tree) lstat(ctx context.Context, name string) (skeleton.Entry, error) {
	name = path.Clean("/" + name)
	if name == "/" {
		return skeleton.Entry{Kind: skeleton.Dir}, nil
	}
	entries, err := t.ReadDir(ctx, path.Dir(name))
	return entries[path.Base(name)], err
}

// entry turns the gateway's stat, which has Go's mode bits, into a fact.
func entry(st *fstypes.Stat) skeleton.Entry {
	mode := os.FileMode(st.Mode)
	e := skeleton.Entry{
		Kind:   skeleton.File,
		Mode:   uint32(mode.Perm()),
		UID:    st.Uid,
		GID:    st.Gid,
		Xattrs: len(st.Xattrs) > 0,
	}
	for bit, unix := range map[os.FileMode]uint32{os.ModeSetuid: 0o4000, os.ModeSetgid: 0o2000, os.ModeSticky: 0o1000} {
		if mode&bit != 0 {
			e.Mode |= unix
		}
	}
	if mode.IsRegular() {
		e.Size, e.ModTime = st.Size, st.ModTime
	}
	switch {
	case mode.IsDir():
		e.Kind = skeleton.Dir
	case mode&os.ModeSymlink != 0:
		e.Kind, e.Target = skeleton.Symlink, st.Linkname
	}
	return e
}
