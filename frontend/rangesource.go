package frontend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/docker-relink/relink/internal/dockerfile"
)

// dockerfileSource is the user's Dockerfile, read as the Dockerfile frontend reads it.
type dockerfileSource struct {
	*dockerui.Source
	ui *dockerui.Client
}

// readDockerfile reads the Dockerfile of a request, nil when that fails: the
// Dockerfile frontend will say so itself. The builder makes one transfer of
// this and of the Dockerfile frontend's own reading, as they are the same
// operation.
func readDockerfile(ctx context.Context, c gateway.Client) *dockerfileSource {
	ui, err := dockerui.NewClient(quickReader{withOpts{c, c.BuildOpts().Opts}})
	if err != nil {
		return nil
	}
	src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return nil
	}
	return &dockerfileSource{Source: src, ui: ui}
}

// quickReader is a builder for dockerui to read the Dockerfile from in two
// requests instead of four or five: sizes and the ignore file are not asked
// for. It gives out options that dockerui can change, which it does.
type quickReader struct{ withOpts }

func (c quickReader) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	res, err := c.Client.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	quick := gateway.NewResult()
	quick.SetRef(quickRef{ref})
	return quick, nil
}

type quickRef struct{ gateway.Reference }

var errUnasked = errors.New("not asked for")

func (r quickRef) StatFile(context.Context, gateway.StatRequest) (*fstypes.Stat, error) {
	return nil, errUnasked
}

func (r quickRef) ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error) {
	if strings.HasSuffix(req.Filename, ".dockerignore") {
		return nil, errUnasked
	}
	return r.Reference.ReadFile(ctx, req)
}

// error shows an error at lines of the user's Dockerfile.
func (s *dockerfileSource) error(err error) error {
	var at *dockerfile.Error
	if !errors.As(err, &at) {
		return err
	}
	return solvererrdefs.WithSource(err, &solvererrdefs.Source{
		Info: &pb.SourceInfo{Data: s.Data, Filename: s.Filename, Language: s.Language, Definition: s.Definition.ToPB()},
		Ranges: []*pb.Range{{
			Start: &pb.Position{Line: int32(at.Start)},
			End:   &pb.Position{Line: int32(at.End)},
		}},
	})
}

// ignoreFile is the ignore file that belongs to the Dockerfile, nil when there
// is none.
func (s *dockerfileSource) ignoreFile(ctx context.Context, c gateway.Client) ([]byte, error) {
	ref, err := solveRef(ctx, c, s.Definition.ToPB())
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	dt, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: s.Filename + ".dockerignore"})
	if err != nil {
		// It is hard to tell from a file that is not there; the Dockerfile
		// frontend does not tell them apart either.
		return nil, nil //nolint:nilerr // see above
	}
	return dt, nil
}

// redirect makes options and inputs by which the Dockerfile frontend takes the
// Dockerfile from an input. It does so only when the context is no URL, so such
// a context becomes an input as well; its URL stays where provenance looks.
func (s *dockerfileSource) redirect(ctx context.Context, opts map[string]string, inputs map[string]*pb.Definition) error {
	delete(opts, "dockerfilekey")
	opts["filename"] = s.Filename
	key := "context"
	if v, ok := opts["contextkey"]; ok {
		key = v
	}
	url, ok := opts[key]
	if !ok {
		return nil
	}
	_, git, _ := dockerui.DetectGitContext(url, nil)
	_, _, http := dockerui.DetectHTTPContext(url)
	if !git && !http {
		return nil
	}
	st, err := s.ui.MainContext(ctx)
	if err != nil {
		return fmt.Errorf("reading the build context: %w", err)
	}
	if inputs["context"], err = marshal(ctx, *st); err != nil {
		return err
	}
	for _, k := range []string{key, "contextkey", "contextsubdir"} {
		delete(opts, k)
	}
	opts["input:context"] = url
	return nil
}

// text is a definition of the Dockerfile with another text, with its ignore
// file beside it.
func (s *dockerfileSource) text(ctx context.Context, text, ignore []byte) (*pb.Definition, error) {
	name := path.Clean("/" + s.Filename)
	files := llb.Mkdir(path.Dir(name), 0o755, llb.WithParents(true)).Mkfile(name, 0o644, text)
	if ignore != nil {
		files = files.Mkfile(name+".dockerignore", 0o644, ignore)
	}
	return marshal(ctx, llb.Scratch().File(files, llb.WithCustomName("[relink] name the ranges of "+s.Filename)))
}

// restoreError shows the user's own text in an error of a build of another.
func (r *ranges) restoreError(err error, text []byte, origin func(int) int) error {
	for e := err; ; {
		var at *solvererrdefs.SourceError
		if !errors.As(e, &at) {
			return err
		}
		r.restoreInfo(at.Info, text)
		restoreLines(at.Ranges, origin)
		e = at.Unwrap()
	}
}

// restoreInfo puts the user's own text in the place of the one that was built.
func (r *ranges) restoreInfo(info *pb.SourceInfo, text []byte) bool {
	if info == nil || string(info.Data) != string(text) {
		return false
	}
	info.Data, info.Definition = r.source.Data, r.source.Definition.ToPB()
	return true
}

func restoreLines(ranges []*pb.Range, origin func(int) int) {
	if origin == nil {
		return
	}
	for _, rg := range ranges {
		for _, p := range []*pb.Position{rg.Start, rg.End} {
			if p != nil {
				p.Line = int32(origin(int(p.Line)))
			}
		}
	}
}

// restoreSource does for a definition what restoreError does for an error.
func (r *ranges) restoreSource(def *pb.Definition, text []byte, origin func(int) int) {
	src := def.GetSource().CloneVT() // graphs share theirs
	def.Source = src
	own := slices.IndexFunc(src.GetInfos(), func(info *pb.SourceInfo) bool { return r.restoreInfo(info, text) })
	for _, locs := range src.GetLocations() {
		for _, l := range locs.Locations {
			if int(l.SourceIndex) == own {
				restoreLines(l.Ranges, origin)
			}
		}
	}
}

// withoutSBOM are the options for a build that is only looked at.
func withoutSBOM(opts map[string]string) map[string]string {
	out := maps.Clone(opts)
	for k := range out {
		if strings.HasPrefix(k, "attest:") {
			delete(out, k)
		}
	}
	return out
}
