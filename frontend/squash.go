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
	kept    int    // layers that stay
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
	in := image.SquashInput{Image: cfg, Layers: len(cfg.RootFS.DiffIDs), Kept: b.kept}
	if b.old != nil {
		in.Base = b.old.config.History
	}
	created := cfg.Created
	if s.o.epoch || created == nil && b.image.built == nil {
		created = &s.o.created
	}
	in.Entry = ocispecs.History{Created: created, CreatedBy: "squash " + b.summary(), Comment: squashComment}
	out, err := image.Squash(in)
	if err != nil {
		return err
	}
	b.base = &image.Config{}
	*b.base = *out
	b.base.History = out.History[:len(out.History)-1]
	if b.nothing != "" {
		same := *cfg
		out = &same
	} else {
		out.Created = created
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

// summary says what was squashed, in the history and in the progress.
func (b *squashedImage) summary() string {
	has := len(b.image.config.RootFS.DiffIDs)
	if b.kept == 0 {
		return fmt.Sprintf("%d layers", has)
	}
	on := ""
	if b.old != nil && b.old.named().Name != "" {
		on = " on " + b.old.named().Name
	}
	return fmt.Sprintf("layers %d to %d%s", b.kept+1, has, on)
}

// compose makes the states: those that have to be read are read on the builder.
func (s *squashing) compose(ctx context.Context, plans []*squashedImage) error {
	eg, ctx := errgroup.WithContext(ctx)
	for _, b := range plans {
		eg.Go(func() error {
			whole := b.image.state(layers.Whole, "[image] "+b.image.origin.String())
			if b.nothing != "" {
				b.state = whole
				return nil
			}
			base := llb.Scratch()
			if b.kept > 0 {
				if !s.cutsOff(b) {
					return s.fromBase(ctx, b, whole)
				}
				base = b.image.state(b.kept, fmt.Sprintf("[image] the first %d layers", b.kept))
			}
			return b.squashOn(ctx, s.c, base, whole)
		})
	}
	return eg.Wait()
}

// cutsOff says whether the layers that stay can be taken from the image itself.
func (s *squashing) cutsOff(b *squashedImage) bool {
	// Docker Engine with a graph driver says that it can limit layers, and does not.
	caps := s.c.BuildOpts().LLBCaps
	return caps.Supports(pb.CapSourceImageLayerLimit) == nil && caps.Supports(pb.CapDiffOp) == nil && b.kept <= len(b.image.known())
}

// fromBase is for images that cannot be cut off above some of their layers: there
// the base has to be there, as an image of its own.
func (s *squashing) fromBase(ctx context.Context, b *squashedImage, whole llb.State) error {
	if b.old == nil {
		return errdefs.Unsupportedf("Name the base with --base, use --all, or use a builder with BuildKit v0.10 or later, or Docker Engine with the containerd image store.",
			"the builder cannot take the first %d layers of an image", b.kept)
	}
	return b.squashOn(ctx, s.c, b.old.state(layers.Whole, "[base] "+b.old.origin.String()), whole)
}

func (b *squashedImage) squashOn(ctx context.Context, c gateway.Client, base, whole llb.State) error {
	one, err := squashOn(ctx, c, base, whole, b.summary())
	if err != nil {
		return err
	}
	b.state = one.state
	b.report.Remarks = append(b.report.Remarks, one.remarks...)
	if one.nothing {
		b.config.History = slices.Clone(b.config.History)
		b.config.History[len(b.config.History)-1].EmptyLayer = true
		b.report.Remarks = append(b.report.Remarks, "what these layers have done leaves nothing behind")
	}
	return nil
}
