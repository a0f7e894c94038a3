package frontend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/containerd/platforms"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
)

// rebasing is one rebase on its way.
type rebasing struct {
	imageJob
	onto  *named
	lacks string // what the builder has not, for want of which files are compared
}

// named is an image that the user named, and what is known of it for all
// platforms.
type named struct {
	origin origin
	// description is nil where the registry could not be asked, or has another
	// image under the name than the builder.
	description *image.Description
	remark      string
}

// rebased is the rebase of one platform.
type rebased struct {
	standing
	onto   *imageOn
	result *image.Result
	report RebasePlatform
}

// rebase answers a request for a rebase. All platforms are planned before
// anything is given to the builder, so that an error leaves nothing half done.
func (f *Frontend) rebase(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	r, err := f.newRebasing(c)
	if err != nil {
		return nil, err
	}
	d, err := r.decide(ctx, true)
	if err != nil {
		return nil, err
	}
	if r.o.request != "" {
		return r.answer(d.report())
	}
	if r.lacks = lacking(c); r.lacks != "" {
		for _, b := range d.plans {
			b.oneLayer()
		}
	}
	return r.result(ctx, d.plans, d.report())
}

// decided is what becomes of each platform.
type decided struct {
	plans []*rebased
	// report waits for what was asked meanwhile.
	report func() RebaseReport
}

// decide reads what there is to read of the images, and decides. What stays
// behind is looked for meanwhile, or when the report is wanted.
func (r *rebasing) decide(ctx context.Context, meanwhile bool) (*decided, error) {
	if err := r.describe(ctx); err != nil {
		return nil, err
	}
	ps, missing, err := r.platforms(ctx)
	if err != nil {
		return nil, err
	}
	behind := sync.OnceValue(func() []string { return r.referrers(ctx, ps) })
	if meanwhile {
		go behind()
	}
	plans, err := r.plan(ctx, ps)
	if err != nil {
		return nil, err
	}
	return &decided{plans, sync.OnceValue(func() RebaseReport { return r.report(plans, missing, behind()) })}, nil
}

func (f *Frontend) newRebasing(c gateway.Client) (*rebasing, error) {
	opts := c.BuildOpts().Opts
	o, err := newRebaseOptions(opts)
	if err != nil {
		return nil, err
	}
	r := &rebasing{imageJob: imageJob{Frontend: f, c: c, opts: opts, o: o, resolver: newResolver(c, o.resolveMode), base: rebaseWords}}
	if r.image, err = r.named(ImageContext, "the image to rebase"); err != nil {
		return nil, err
	}
	if _, ok, _ := anyOriginOf(opts, OntoContext, r.o.platforms); !ok && o.request == CheckRequest {
		return r, nil // It is the image's own base; see describe.
	}
	if r.onto, err = r.named(OntoContext, "the new base"); err == nil {
		r.likely = (&imageOn{origin: r.onto.origin}).name()
	}
	return r, err
}

func (r *imageJob) named(context, what string) (*named, error) {
	o, ok, err := anyOriginOf(r.opts, context, r.o.platforms)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errdefs.Invalidf(fmt.Sprintf("Name it as the build context %q.", context), "%s is not named", what)
	}
	return &named{origin: o}, nil
}

// anyPlatform is one of the platforms that were asked for, nil when none was.
func (r *imageJob) anyPlatform() *ocispecs.Platform { return firstOf(r.o.platforms) }

// firstOf is the first of some platforms, nil for none.
func firstOf(ps []ocispecs.Platform) *ocispecs.Platform {
	if len(ps) == 0 {
		return nil
	}
	return &ps[0]
}

// describe reads what the registry knows of the image and of the new base.
func (r *rebasing) describe(ctx context.Context) (err error) {
	if from, named, err := originOf(r.opts, FromContext, r.anyPlatform()); err == nil && named {
		r.anticipate(ctx, from)
	}
	if r.onto == nil {
		if err := r.describeNamed(ctx, r.image); err != nil {
			return err
		}
		if r.onto, err = r.ownBase(ctx); err != nil {
			return err
		}
		return r.describeNamed(ctx, r.onto)
	}
	var eg errgroup.Group // Its context would end what is anticipated.
	for _, n := range []*named{r.image, r.onto} {
		eg.Go(func() error { return r.describeNamed(ctx, n) })
	}
	return eg.Wait()
}

// anticipate reads an old base while other things are read. An error comes again
// when the base is wanted.
func (r *imageJob) anticipate(ctx context.Context, base origin) {
	go func() { _, _ = r.resolver.resolve(ctx, base, r.anyPlatform()) }()
}

// anticipateAnnotated does so with the base that the image's annotations name.
func (r *imageJob) anticipateAnnotated(ctx context.Context, n *named) {
	if n != r.image || n.description == nil || r.o.forceLayers != nil || r.opts["context:"+r.base.context] != "" {
		return
	}
	var annotations []map[string]string
	for _, m := range n.description.Manifests {
		annotations = append(annotations, m.Annotations)
	}
	annotations = append(annotations, n.description.Annotations)
	if base, ok, err := image.BaseFromAnnotations(annotations...); err == nil && ok && base.Name != "" {
		r.anticipate(ctx, registrySource(r.base.context, base.Reference()))
	}
}

// describeNamed asks the registry and the builder at the same time. The builder's
// word counts: it may have another image under the name, or reach a registry
// that is out of reach from here.
func (r *imageJob) describeNamed(ctx context.Context, n *named) error {
	var seen *imageOn
	var seenErr, err error
	var eg errgroup.Group
	eg.Go(func() error {
		seen, seenErr = r.resolver.resolve(ctx, n.origin, r.anyPlatform())
		return nil
	})
	eg.Go(func() error {
		if ref := n.origin.ref(); ref != "" && r.Images != nil {
			n.description, err = r.Images.Describe(ctx, ref)
			r.anticipateAnnotated(ctx, n)
		}
		return nil
	})
	_ = eg.Wait() // Neither returns an error.
	switch {
	case seenErr != nil && n.description == nil:
		return seenErr
	case seenErr != nil && !n.description.Index:
		return seenErr
	case err != nil:
		n.remark = fmt.Sprintf("what the registry says of %s is not known: %v", n.origin, err)
	case seen != nil && n.description != nil && seen.digest != n.description.Digest:
		n.description = nil
		n.remark = fmt.Sprintf("the builder's %s is not the one in the registry, so what the registry says of it was left out", n.origin)
	}
	return nil
}

// platforms are the platforms to rebase and those that are left out because the
// new base lacks them.
func (r *rebasing) platforms(ctx context.Context) (ps, missing []ocispecs.Platform, err error) {
	if ps, err = r.imagePlatforms(ctx); err != nil {
		return nil, nil, err
	}
	has, err := r.ontoPlatforms(ctx)
	if err != nil || has == nil {
		return ps, nil, err
	}
	pairs, missing := image.MatchPlatforms(ps, has)
	if len(missing) > 0 && !r.o.skipMissing {
		return nil, nil, errdefs.Invalidf("Leave them out with --skip-missing-platforms, or choose others with --platform.",
			"the new base %s has no image for %s", r.onto.origin, formatPlatforms(missing))
	}
	if len(pairs) == 0 {
		return nil, nil, errdefs.Invalidf("", "the new base %s has none of the platforms %s", r.onto.origin, formatPlatforms(ps))
	}
	var out []ocispecs.Platform
	for _, pair := range pairs {
		out = append(out, ps[pair.Image])
	}
	return out, missing, nil
}

// ontoPlatforms are those that the new base has, nil where it does not say.
func (r *rebasing) ontoPlatforms(ctx context.Context) ([]ocispecs.Platform, error) {
	if r.onto.origin.scheme == inputScheme {
		return r.resolver.inputPlatforms(ctx, r.opts, r.onto.origin.role)
	}
	if d := r.onto.description; d != nil && d.Index {
		return d.Platforms(), nil
	}
	return nil, nil
}

// imagePlatforms are those that were asked for, or else all that the image has.
func (r *imageJob) imagePlatforms(ctx context.Context) ([]ocispecs.Platform, error) {
	if r.image.origin.scheme == inputScheme {
		has, err := r.resolver.inputPlatforms(ctx, r.opts, r.image.origin.role)
		if err != nil {
			return nil, err
		}
		if has != nil {
			return r.chosenPlatforms(has)
		}
	}
	d := r.image.description
	if d == nil || !d.Index {
		return r.onlyPlatform(ctx)
	}
	var images []ocispecs.Platform
	for _, p := range d.Platforms() {
		if p.OS != "unknown" {
			images = append(images, platforms.Normalize(p))
		}
	}
	if len(images) == 0 {
		return nil, errdefs.Invalidf("", "%s is an index without images", r.image.origin)
	}
	return r.chosenPlatforms(images)
}

// chosenPlatforms are those that were asked for of those that the image has, all of
// them where none was.
func (r *imageJob) chosenPlatforms(has []ocispecs.Platform) ([]ocispecs.Platform, error) {
	if len(r.o.platforms) == 0 {
		return has, nil
	}
	if _, missing := image.MatchPlatforms(r.o.platforms, has); len(missing) > 0 {
		return nil, errdefs.Invalidf("It has "+formatPlatforms(has)+".", "%s has no image for %s", r.image.origin, formatPlatforms(missing))
	}
	return r.o.platforms, nil
}

// onlyPlatform is the platform of an image that is no index, or of one of which
// only the builder knows.
func (r *imageJob) onlyPlatform(ctx context.Context) ([]ocispecs.Platform, error) {
	if r.image.description == nil && len(r.o.platforms) > 0 {
		return r.o.platforms, nil
	}
	img, err := r.resolver.resolve(ctx, r.image.origin, r.anyPlatform())
	if err != nil {
		return nil, err
	}
	has := []ocispecs.Platform{platforms.Normalize(img.config.Platform)}
	if has[0].OS == "" || has[0].Architecture == "" {
		return nil, errdefs.Invalidf("Look at its config: it is damaged.", "the config of %s names no platform", r.image.origin)
	}
	return r.chosenPlatforms(has)
}

// plan decides for all platforms what becomes of them.
func (r *rebasing) plan(ctx context.Context, ps []ocispecs.Platform) ([]*rebased, error) {
	plans := make([]*rebased, len(ps))
	eg, egctx := errgroup.WithContext(ctx)
	for i, p := range ps {
		eg.Go(func() (err error) {
			if plans[i], err = r.planPlatform(egctx, p); err != nil && len(ps) > 1 {
				return fmt.Errorf("%s: %w", PlatformID(p), err)
			}
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	return plans, nil
}

func (r *rebasing) planPlatform(ctx context.Context, p ocispecs.Platform) (*rebased, error) {
	b := &rebased{standing: standing{platform: p}}
	if err := r.resolveBoth(ctx, b); err != nil {
		return nil, err
	}
	if err := image.CheckPlatform(b.image.config.Platform, b.onto.config.Platform); err != nil {
		return nil, badInput(err)
	}
	if err := r.findBase(ctx, &b.standing,
		baseWay{FoundOnto, func(context.Context, *standing) error { return r.baseByOnto(b) }},
		baseWay{FoundLabels, r.baseByLabels},
		baseWay{FoundTags, r.baseByTags},
		baseWay{FoundHistory, func(context.Context, *standing) error { return r.layersByHistory(b) }},
	); err != nil {
		return nil, err
	}
	in := image.Input{
		Image: b.image.config, NewBase: b.onto.config, OldBaseLayers: b.oldLayers, Created: &r.o.created,
	}
	if b.old != nil {
		in.OldBase = b.old.config
	}
	var err error
	if b.result, err = image.Rebase(in); err != nil {
		return nil, badInput(err)
	}
	if err := r.finishConfig(b); err != nil {
		return nil, err
	}
	r.reportPlatform(b)
	return b, nil
}

func (r *rebasing) resolveBoth(ctx context.Context, b *rebased) error {
	eg, ctx := errgroup.WithContext(ctx)
	for _, side := range []struct {
		context string
		img     **imageOn
	}{{ImageContext, &b.image}, {OntoContext, &b.onto}} {
		eg.Go(func() error {
			o, ok, err := originOf(r.opts, side.context, &b.platform)
			if err != nil {
				return err
			}
			if !ok {
				o = r.onto.origin
			}
			*side.img, err = r.resolver.resolve(ctx, o, r.platformToAsk(o, b.platform))
			return err
		})
	}
	return eg.Wait()
}

// platformToAsk is the platform to ask for, or what was asked for before where the
// image is known to be one alone: then it was read already.
func (r *rebasing) platformToAsk(o origin, p ocispecs.Platform) *ocispecs.Platform {
	for _, n := range []*named{r.image, r.onto} {
		if n.origin == o && n.description != nil && !n.description.Index {
			return r.anyPlatform()
		}
	}
	return &p
}

// finishConfig puts the user's labels into the config, and the new base into the
// labels that name the base.
func (r *rebasing) finishConfig(b *rebased) error {
	cfg := &b.result.Config.Config
	if cfg.Labels[ocispecs.AnnotationBaseImageName] != "" || cfg.Labels[ocispecs.AnnotationBaseImageDigest] != "" {
		onto := b.onto.asBase()
		labels, err := image.RebaseAnnotations(cfg.Labels, onto.Name, onto.Digest)
		if err != nil {
			return err
		}
		cfg.Labels = labels
	}
	if r.o.epoch {
		b.clampHistory(r.o.created)
	}
	if len(r.o.labels) > 0 {
		cfg.Labels = maps.Clone(cfg.Labels)
		if cfg.Labels == nil {
			cfg.Labels = map[string]string{}
		}
		maps.Copy(cfg.Labels, r.o.labels)
	}
	return nil
}

// clampHistory lets no entry of the image's own be later than the time that the
// result has, as BuildKit does when it exports.
func (b *rebased) clampHistory(latest time.Time) {
	history, base := b.result.Config.History, b.onto.config.History
	first := 0
	for first < min(len(history), len(base)) && reflect.DeepEqual(history[first], base[first]) {
		first++
	}
	for i := first; i < len(history); i++ {
		if h := &history[i]; h.Created == nil || h.Created.After(latest) {
			h.Created = &latest
		}
	}
}

// badInput marks what the images themselves are to blame for.
func badInput(err error) error {
	var platform *image.PlatformError
	if errors.As(err, &platform) {
		return errdefs.Invalidf("Name a base for the image's platform with --onto.", "%w", err)
	}
	return err
}

func formatPlatforms(ps []ocispecs.Platform) string {
	s := ""
	for i, p := range ps {
		if i > 0 {
			s += ", "
		}
		s += platforms.Format(platforms.Normalize(p))
	}
	return s
}
