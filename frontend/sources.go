package frontend

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/go-archive/compression"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/skeleton"
)

// sources reads what the tail's instructions copy from.
type sources struct {
	c     gateway.Client
	graph *definition.Graph

	mu    sync.Mutex
	trees map[string]*tree
}

// source is one thing that a copy brings: a file, or the content of a
// directory.
type source struct {
	tree  *tree
	path  string // where it is in the tree, after symbolic links
	name  string // the name it gets in a destination directory
	isDir bool
	entry skeleton.Entry
}

// tree is the file system that an input of the graph makes. Reading it builds
// it, which the build would do, too.
func (s *sources) tree(ctx context.Context, in *pb.Input) (*tree, error) {
	if in == nil {
		return newTree(nil), nil
	}
	key := fmt.Sprintf("%s@%d", in.Digest, in.Index)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.trees[key]; t != nil {
		return t, nil
	}
	t, err := solveTree(ctx, s.c, s.graph.Definition(in))
	if err != nil {
		return nil, err
	}
	s.trees[key] = t
	return t, nil
}

func solveTree(ctx context.Context, c gateway.Client, def *pb.Definition) (*tree, error) {
	ref, err := solveRef(ctx, c, def)
	if err != nil {
		return nil, err
	}
	return newTree(ref), nil
}

// of returns what the action copies from the input.
func (s *sources) of(ctx context.Context, in *pb.Input, cp *pb.FileActionCopy) ([]source, error) {
	t, err := s.tree(ctx, in)
	if err != nil {
		return nil, err
	}
	names := []string{path.Clean("/" + cp.Src)}
	if cp.AllowWildcard {
		if names, err = t.glob(ctx, cp.Src); err != nil {
			return nil, err
		}
	}
	var out []source
	for _, name := range names {
		src, err := s.one(ctx, t, in, name, cp)
		if err != nil {
			return nil, err
		}
		out = append(out, src)
	}
	return out, nil
}

func (s *sources) one(ctx context.Context, t *tree, in *pb.Input, name string, cp *pb.FileActionCopy) (source, error) {
	real, e, err := t.follow(ctx, name, cp.FollowSymlink)
	if err != nil {
		return source{}, err
	}
	src := source{tree: t, path: real, name: path.Base(name), isDir: e.Kind == skeleton.Dir, entry: e}
	if cp.AttemptUnpackDockerCompatibility && e.Kind == skeleton.File {
		unpacked, err := s.unpack(ctx, t, in, real)
		if err != nil || unpacked != nil {
			return source{tree: unpacked, path: "/", isDir: true}, err
		}
	}
	return src, nil
}

// follow resolves a path in a source tree as BuildKit's copy does: links on the
// way always, the last one when follow is set.
func (t *tree) follow(ctx context.Context, name string, follow bool) (string, skeleton.Entry, error) {
	survey := skeleton.NewSurvey(t)
	if follow {
		return survey.Resolve(ctx, name)
	}
	dir, e, err := survey.Resolve(ctx, path.Dir(name))
	if err != nil || e.Kind != skeleton.Dir {
		return name, skeleton.Entry{}, err
	}
	name = path.Join(dir, path.Base(name))
	e, err = t.lstat(ctx, name)
	return name, e, err
}

// glob returns the paths that match a pattern of path.Match, component by
// component.
func (t *tree) glob(ctx context.Context, pattern string) ([]string, error) {
	found := []string{"/"}
	for _, part := range strings.Split(strings.Trim(path.Clean("/"+pattern), "/"), "/") {
		var next []string
		for _, dir := range found {
			names, err := t.match(ctx, dir, part)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		found = next
	}
	return found, nil
}

func (t *tree) match(ctx context.Context, dir, pattern string) ([]string, error) {
	if pattern == "" {
		return []string{dir}, nil
	}
	real, e, err := t.follow(ctx, dir, true)
	if err != nil || e.Kind != skeleton.Dir {
		return nil, err
	}
	entries, err := t.ReadDir(ctx, real)
	if err != nil {
		return nil, err
	}
	var out []string
	for name := range entries {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			out = append(out, path.Join(dir, name))
		}
	}
	return out, nil
}

// unpack returns the content of an archive as ADD unpacks it, nil when the file
// is no archive to ADD. It is unpacked on the builder, onto nothing.
func (s *sources) unpack(ctx context.Context, t *tree, in *pb.Input, name string) (*tree, error) {
	head, err := t.ref.ReadFile(ctx, gateway.ReadRequest{Filename: name, Range: &gateway.FileRange{Length: 512}})
	if err != nil {
		return nil, err
	}
	if !isArchive(head) {
		return nil, nil
	}
	op, err := llb.NewDefinitionOp(s.graph.Definition(in))
	if err != nil {
		return nil, fmt.Errorf("reading the source of an ADD: %w", err)
	}
	st := llb.Scratch().File(llb.Copy(llb.NewState(op.Output()), name, "/", &llb.CopyInfo{AttemptUnpack: true}),
		llb.WithCustomName("[relink] look into "+path.Base(name)))
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", name, err)
	}
	return solveTree(ctx, s.c, def.ToPB())
}

// isArchive says whether ADD would unpack a file that begins so: a tar file, or
// anything compressed, which is more than ADD unpacks.
func isArchive(head []byte) bool {
	if compression.Detect(head) != compression.None {
		return true
	}
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	return err == nil
}
