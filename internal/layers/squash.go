package layers

import (
	"bytes"
	"fmt"
	"io/fs"
	"time"

	"github.com/moby/buildkit/client/llb"
)

// Squash is all that stands above a base as one layer on it, made by one file
// operation: what is gone is removed, and what is new or another is copied. That
// costs what the change is worth, and not what the base has.
type Squash struct {
	Base llb.State
	// Above is what the base is to become. It is copied but for what Except names
	// (in the way of .dockerignore), of which the base has at least as much as makes
	// a copy not worth while. It is copied in one
	// piece, so that names of one file stay that.
	Above  llb.State
	Except []string
	// Gone are the paths to remove from the base before anything is copied.
	Gone []Removal
	// Linked are files of the base that have got other names; they are in Except, too.
	Linked []Links
	// Dirs are directories of the base that have other times because of Linked.
	Dirs []string
	// Nodes are block devices, of which BuildKit's copy makes something else, and
	// the directories that they are in.
	Nodes []Node
}

// nothing is a pattern that fits nothing: of a directory, its metadata is copied.
const nothing = ".relink/nothing"

// Removal is a path to remove.
type Removal struct {
	Path string
	// Pattern says that the path is a pattern as filepath.Match knows them.
	Pattern bool
}

// Links are the names of one file in a directory and below it. When BuildKit makes a
// layer, it leaves out what the base has with the same metadata and content, and so the
// name that the others are links to. With another fraction of a second it takes it; the
// fraction is not written into the layer.
type Links struct {
	Dir      string
	Names    []string // in the directory, as .dockerignore knows them
	Fraction time.Time
}

// Node is a block device or a directory.
type Node struct {
	Path         string
	Mode         fs.FileMode
	UID, GID     int
	Major, Minor int64
	ModTime      time.Time
	Xattrs       map[string][]byte
}

// State is the base with the one layer. name is what the progress shows.
func (s Squash) State(name string) (llb.State, error) {
	var files *llb.FileAction
	for _, r := range s.Gone {
		opts := []llb.RmOption{llb.WithAllowNotFound(true)}
		if r.Pattern {
			opts = append(opts, llb.WithAllowWildcard(true))
		}
		files = files.Rm(r.Path, opts...)
	}
	for _, l := range s.Linked {
		files = files.Copy(s.Above, l.Dir, l.Dir, &llb.CopyInfo{
			CopyDirContentsOnly: true, IncludePatterns: l.Names, CreatedTime: &l.Fraction,
		})
	}
	files = files.Copy(s.Above, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true, ExcludePatterns: s.Except})
	for _, dir := range s.Dirs {
		files = files.Copy(s.Above, dir, dir, &llb.CopyInfo{CopyDirContentsOnly: true, IncludePatterns: []string{nothing}})
	}
	if len(s.Nodes) > 0 {
		nodes, err := nodesTar(s.Nodes)
		if err != nil {
			return llb.State{}, fmt.Errorf("making block devices: %w", err)
		}
		const archive = "/nodes.tar"
		from := llb.Scratch().File(llb.Mkfile(archive, 0o600, nodes), llb.WithCustomName(SquashNamed+"block devices"))
		files = files.Copy(from, archive, "/", &llb.CopyInfo{AttemptUnpack: true})
	}
	return s.Base.File(files, llb.WithCustomName(SquashNamed+name)), nil
}

// Piece is a run of an image's layers that becomes one, or a layer that stays: what
// With has on Below, which it stands on.
type Piece struct{ Below, With llb.State }

// Pieces are an image's layers on its first ones, some of them made one. A layer that
// stays is taken as it is, as in a rebase.
func Pieces(bottom llb.State, pieces []Piece) llb.State {
	if len(pieces) == 0 {
		return bottom
	}
	all := []llb.State{bottom}
	for i, p := range pieces {
		all = append(all, llb.Diff(p.Below, p.With, llb.WithCustomName(fmt.Sprintf("%spiece %d has", SquashLooked, i+1))))
	}
	return llb.Merge(all, llb.WithCustomName(SquashLooked+"the layers are on one another"))
}

// What the names of the steps of a squash begin with: of all, and of the differences
// that must not stay in BuildKit's cache.
const (
	SquashNamed  = "[squash] "
	SquashLooked = SquashNamed + "what "
)

// SquashLeftovers are filters of BuildKit's cache records that should go once a
// squash is exported, for the reason that Leftovers has: layers may have been made of
// these differences, of those that are only looked at by an export of the cache.
func SquashLeftovers() []string {
	return append(DifferenceLeftovers(), `description~="^\\[squash\\] what "`)
}

// All is all of an image as one layer: the difference between it and a file
// system with nothing in it. Of the empty file system itself BuildKit would take
// the image's own layers for the difference.
func All(image llb.State, name string) llb.State {
	const mark = "/.relink"
	empty := llb.Scratch().File(llb.Mkdir(mark, 0o755).Rm(mark), llb.WithCustomName(SquashNamed+"nothing"))
	return llb.Diff(empty, image, llb.WithCustomName(SquashNamed+name))
}

func nodesTar(nodes []Node) ([]byte, error) {
	var buf bytes.Buffer
	w := newTarWriter(&buf)
	for _, n := range nodes {
		if err := w.write(n); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
