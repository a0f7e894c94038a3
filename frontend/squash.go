package frontend

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// squashing is one squash of an image on its way.
type squashing struct {
	imageJob
	squash squashOptions
}

// squashedImage is the squash of one platform.
type squashedImage struct {
	standing
	kept    int // layers that stay, from the lowest on
	pieces  []squashPiece
	nothing string // why there is nothing to squash, "" when there is
	state   llb.State
	config  *image.Config
	base    *image.Config // of the layers that stay
	report  SquashPlatform
}

// squash answers a request for a squash of an image. All platforms are planned
// before anything is given to the builder.
func (f *Frontend) squash(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	s, err := f.newSquashing(c)
	if err != nil {
		return nil, err
	}
	if err := s.describeNamed(ctx, s.image); err != nil {
		return nil, err
	}
	ps, err := s.imagePlatforms(ctx)
	if err != nil {
		return nil, err
	}
	plans := make([]*squashedImage, len(ps))
	var warnings []string
	eg, egctx := errgroup.WithContext(ctx)
	eg.Go(func() error {
		warnings = s.referrers(egctx, ps)
		return nil
	})
	for i, p := range ps {
		eg.Go(func() (err error) {
			if plans[i], err = s.plan(egctx, p); err != nil && len(ps) > 1 {
				return fmt.Errorf("%s: %w", PlatformID(p), err)
			}
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	if s.o.request != "" {
		return answer(s.report(plans, warnings))
	}
	if err := s.compose(ctx, plans); err != nil {
		return nil, err
	}
	return s.result(ctx, plans, s.report(plans, warnings))
}

func (f *Frontend) newSquashing(c gateway.Client) (s *squashing, err error) {
	opts := c.BuildOpts().Opts
	s = &squashing{imageJob: imageJob{Frontend: f, c: c, opts: opts, base: squashWords}}
	if s.o, err = newRebaseOptions(opts); err != nil {
		return nil, err
	}
	if s.o.request == CheckRequest {
		return nil, errdefs.Unsupportedf("", "a squash has no answer to %q", s.o.request)
	}
	if s.squash, err = newSquashOptions(opts); err != nil {
		return nil, err
	}
	s.resolver = newResolver(c, s.o.resolveMode)
	s.image, err = s.named(ImageContext, "the image to squash")
	return s, err
}

// plan decides which layers of a platform's image become one.
func (s *squashing) plan(ctx context.Context, p ocispecs.Platform) (*squashedImage, error) {
	b := &squashedImage{standing: standing{platform: p}}
	origin, _, err := originOf(s.opts, ImageContext, &p)
	if err != nil {
		return nil, err
	}
	if b.image, err = s.resolver.resolve(ctx, origin, &b.platform); err != nil {
		return nil, err
	}
	if err := cannotSquash(b.image.config.Platform); err != nil {
		return nil, err
	}
	if err := s.choose(ctx, b); err != nil {
		return nil, err
	}
	switch own := len(b.image.config.RootFS.DiffIDs) - b.kept; own {
	case 0:
		b.nothing = "the image has no layer of its own"
	case 1:
		b.nothing = "it is one layer already"
	}
	b.pieces = []squashPiece{{from: b.kept, to: len(b.image.config.RootFS.DiffIDs), made: true}}
	s.reportPlatform(b)
	return b, s.configure(b)
}

// choose decides how many layers stay.
func (s *squashing) choose(ctx context.Context, b *squashedImage) error {
	has := len(b.image.config.RootFS.DiffIDs)
	switch {
	case s.squash.fromLayer > 0:
		if s.squash.fromLayer > has {
			return errdefs.Invalidf("Use a number up to that.", "the layers from %d on were to be squashed, but %s has only %d", s.squash.fromLayer, b.image.origin, has)
		}
		b.kept, b.found = s.squash.fromLayer-1, FoundFromLayer
		return b.image.canCut(b.kept)
	case s.squash.mode == SquashAll:
		b.kept, b.found = 0, FoundAll
	default:
		if err := s.findBase(ctx, &b.standing); err != nil {
			return err
		}
		b.kept = b.oldLayers
	}
	return nil
}

// configure makes the image's config.
func (s *squashing) configure(b *squashedImage) error {
	cfg := b.image.config
	in := image.SquashInput{Image: cfg, Layers: len(cfg.RootFS.DiffIDs), Kept: b.kept, Created: cfg.Created}
	if b.old != nil {
		in.Base = b.old.config.History
	}
	if s.o.epoch || in.Created == nil && b.image.built == nil {
		in.Created = &s.o.created
	}
	in.Above = b.parts(in.Created)
	out, err := image.Squash(in)
	if err != nil {
		return err
	}
	b.base = &image.Config{}
	*b.base = *out
	b.base.History = out.History[:len(out.History)-len(in.Above)]
	if b.nothing != "" {
		same := *cfg
		out = &same
	} else {
		out.Created = in.Created
	}
	if len(s.o.labels) > 0 {
		out.Config.Labels = maps.Clone(out.Config.Labels)
		if out.Config.Labels == nil {
			out.Config.Labels = map[string]string{}
		}
		maps.Copy(out.Config.Labels, s.o.labels)
	}
	b.config = out
	return nil
}

// squashComment marks the entries of a history that stand for what was squashed.
const squashComment = "docker relink squash"

// summary says which layers were squashed, in the history and in the progress.
func (b *squashedImage) summary(from, to int) string {
	if from == 0 && to == len(b.image.config.RootFS.DiffIDs) {
		return fmt.Sprintf("%d layers", to)
	}
	on := ""
	if b.old != nil && b.old.named().Name != "" {
		on = " on " + b.old.named().Name
	}
	return fmt.Sprintf("layers %d to %d%s", from+1, to, on)
}

// compose makes the states: those that have to be read are read on the builder.
func (s *squashing) compose(ctx context.Context, plans []*squashedImage) error {
	eg, ctx := errgroup.WithContext(ctx)
	for _, b := range plans {
		eg.Go(func() error {
			if b.nothing != "" {
				b.state = b.first(len(b.image.config.RootFS.DiffIDs))
				return nil
			}
			caps, compose := s.c.BuildOpts().LLBCaps, s.around
			switch {
			case b.image.built != nil:
				compose = s.ofBuild
			case caps.Supports(pb.CapDiffOp) != nil:
				compose = s.byFiles
			}
			if err := compose(ctx, b); err != nil {
				return err
			}
			s.reportPlatform(b)
			return s.configure(b)
		})
	}
	return eg.Wait()
}

// first is the image's first n layers.
func (b *squashedImage) first(n int) llb.State {
	switch n {
	case 0:
		return llb.Scratch()
	case len(b.image.config.RootFS.DiffIDs):
		return b.image.state(layers.Whole, "[image] "+b.image.origin.String())
	default:
		return b.image.state(n, fmt.Sprintf("[image] the first %d layers", n))
	}
}

// staying are the layers that stay: of the image itself, or else the base, which has to
// be there as an image of its own.
func (s *squashing) staying(b *squashedImage) (llb.State, error) {
	// Docker Engine with a graph driver says that it can limit layers, and does not.
	caps := s.c.BuildOpts().LLBCaps
	cutsOff := caps.Supports(pb.CapSourceImageLayerLimit) == nil && caps.Supports(pb.CapDiffOp) == nil && b.kept <= len(b.image.known())
	switch {
	case b.kept == 0 || cutsOff:
		return b.first(b.kept), nil
	case b.old == nil:
		return llb.State{}, errdefs.Unsupportedf("Name the base with --base, use --all, or use a builder with BuildKit v0.10 or later, or Docker Engine with the containerd image store.",
			"the builder cannot take the first %d layers of an image", b.kept)
	default:
		return b.old.state(layers.Whole, "[base] "+b.old.origin.String()), nil
	}
}

// ofBuild squashes the result of another build. BuildKit has made its layers, and so
// what it cannot write is not in them.
func (s *squashing) ofBuild(ctx context.Context, b *squashedImage) error {
	base, err := s.staying(b)
	if err != nil {
		return err
	}
	has := len(b.image.config.RootFS.DiffIDs)
	one, err := squashOn(ctx, s.c, base, b.first(has), nil, b.summary(b.kept, has))
	b.state, b.pieces[0].nothing = one.state, one.nothing
	return err
}

// byFiles is for builders that cannot subtract layers, and so cannot keep one that
// stands on others that were squashed.
func (s *squashing) byFiles(ctx context.Context, b *squashedImage) error {
	base, err := s.staying(b)
	if err != nil {
		return err
	}
	own, why, err := s.look(ctx, b)
	if err != nil {
		return err
	}
	has := len(b.image.config.RootFS.DiffIDs)
	one, err := squashOn(ctx, s.c, base, b.first(has), own.links(b.kept, has), b.summary(b.kept, has))
	if err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(why)) {
		one.lost.add(why[n])
	}
	if one.lost.any() {
		return errdefs.Unsupportedf("Use a builder with BuildKit v0.10 or later, or Docker Engine with the containerd image store: they keep the layers that have that.",
			"the builder cannot write %s", one.lost)
	}
	b.state, b.pieces[0].nothing = one.state, one.nothing
	return nil
}
