package frontend

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
)

// buildSquash makes one layer of what a build adds to its base, or to one of its
// stages.
type buildSquash struct {
	*Frontend
	c      gateway.Client
	o      linkOptions
	res    *gateway.Result
	ranges *ranges
	stages map[string]stageResult // by platform, when a stage was named
}

// stageResult is what a stage is for one platform.
type stageResult struct {
	platformGraph
	config *image.Config
}

// squashedBuild is the squash of one platform.
type squashedBuild struct {
	*linking
	base   *pb.Definition // what stays; nil for nothing
	above  *pb.Definition
	on     string // the name of what stays
	kept   []ocispecs.History
	config *image.Config
	report SquashPlatform
	ref    string // the base's reference, where it has one
}

// squashResult squashes every platform of a result, in which the linked states are
// not yet.
func (f *Frontend) squashResult(ctx context.Context, c gateway.Client, o linkOptions, rg *ranges, res *gateway.Result, linked []*linking) error {
	s := &buildSquash{Frontend: f, c: c, o: o, res: res, ranges: rg}
	plans, err := s.plan(ctx, linked)
	if err != nil {
		return err
	}
	eg, egctx := errgroup.WithContext(ctx)
	for _, b := range plans {
		eg.Go(func() error { return s.compose(egctx, b) })
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	for _, b := range plans {
		if err := b.writeConfig(res); err != nil {
			return err
		}
		if o.squash == SquashAll && b.base == nil {
			delete(res.Metadata, exptypes.ExporterImageBaseConfigKey+suffixOf(b.id))
		}
	}
	dt, err := s.report(plans).encode()
	if err != nil {
		return err
	}
	res.AddMeta(SquashReportKey, dt)
	return nil
}

// planSquash answers what a squash of the build would do.
func (f *Frontend) planSquash(ctx context.Context, c gateway.Client, o linkOptions, rg *ranges, stock *reading) (*gateway.Result, error) {
	linked, err := stock.unlinked(ctx, c)
	if err != nil {
		return nil, err
	}
	o.mode = LinkNever
	s := &buildSquash{Frontend: f, c: c, o: o, res: stock.Result, ranges: rg}
	plans, err := s.plan(ctx, linked)
	if err != nil {
		return nil, err
	}
	return answer(s.report(plans))
}

func (s *buildSquash) plan(ctx context.Context, linked []*linking) ([]*squashedBuild, error) {
	if stage := s.o.squash.stage(); stage != "" {
		if err := s.readStage(ctx, stage); err != nil {
			return nil, err
		}
	}
	plans := make([]*squashedBuild, len(linked))
	eg, ctx := errgroup.WithContext(ctx)
	for i, l := range linked {
		plans[i] = &squashedBuild{linking: l}
		eg.Go(func() error { return s.planPlatform(ctx, plans[i]) })
	}
	return plans, eg.Wait()
}

func (s *buildSquash) planPlatform(ctx context.Context, b *squashedBuild) (err error) {
	raw := s.res.Metadata[exptypes.ExporterImageConfigKey+suffixOf(b.id)]
	if b.config, err = image.ParseConfig(raw); err != nil {
		return fmt.Errorf("reading the config of the result: %w", err)
	}
	if err := cannotSquash(b.config.Platform); err != nil {
		return err
	}
	b.report.Platform = cmp.Or(b.id, PlatformID(b.config.Platform))
	b.above = b.state()
	switch s.o.squash {
	case SquashAll:
		b.report.Found = FoundAll
	case SquashBase:
		err = s.keepBase(ctx, b)
	default:
		err = s.keepStage(ctx, b)
	}
	if err != nil {
		return err
	}
	s.count(ctx, b)
	return nil
}

// count says how many layers there are, and what is known of their sizes.
func (s *buildSquash) count(ctx context.Context, b *squashedBuild) {
	kept, all := image.CountLayers(b.kept), image.CountLayers(b.config.History)
	b.report.Kept, b.report.Squashed = make([]Layer, kept), make([]Layer, max(0, all-kept))
	b.report.Runs = 1
	switch len(b.report.Squashed) {
	case 0:
		b.report.Nothing = "the build adds no layer to " + cmp.Or(b.on, "nothing")
	case 1:
		b.report.Nothing = "the build adds one layer to " + cmp.Or(b.on, "nothing")
	}
	b.report.Built = b.report.Nothing != ""
	if b.ref == "" || s.Images == nil {
		return
	}
	d, err := s.Images.Describe(ctx, b.ref)
	if err != nil {
		return // The sizes are for the report only.
	}
	m, _ := d.For(b.config.Platform)
	for i := range min(len(m.Layers), len(b.report.Kept)) {
		b.report.Kept[i].Digest, b.report.Kept[i].Size = m.Layers[i].Digest, m.Layers[i].Size
	}
}

// keepBase finds the image that the target stage stands on, directly or by way of
// other stages. What stands on no image is squashed as a whole.
func (s *buildSquash) keepBase(ctx context.Context, b *squashedBuild) error {
	b.report.Found = FoundBuild
	bottom := b.stock.Bottom(b.stock.Root())
	id := b.stock.Op(bottom).GetSource().GetIdentifier()
	scheme, rest, _ := strings.Cut(id, "://")
	if scheme != imageScheme && scheme != layoutScheme {
		return nil
	}
	b.base, b.on = b.stock.Definition(bottom), rest
	if named, err := reference.ParseNormalizedNamed(rest); err == nil {
		base := NamedImage{}
		if d, ok := named.(reference.Digested); ok {
			base.Digest = d.Digest()
		}
		b.on = (&imageOn{origin: registrySource(BaseContext, rest)}).name()
		base.Name = b.on
		b.report.Base = &base
		if scheme == imageScheme {
			b.ref = rest
		}
	}
	raw := s.res.Metadata[exptypes.ExporterImageBaseConfigKey+suffixOf(b.id)]
	if raw == nil && scheme == imageScheme {
		p := b.config.Platform
		img, err := newResolver(s.c, s.c.BuildOpts().Opts["image-resolve-mode"]).resolve(ctx, registrySource(BaseContext, rest), &p)
		if err != nil {
			return err
		}
		raw = img.raw
	}
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		return fmt.Errorf("reading the config of %s: %w", b.on, err)
	}
	b.kept = image.FitHistory(cfg.History, len(cfg.RootFS.DiffIDs), b.config.Created)
	return nil
}

// keepStage finds the stage below the target. What stands above it is built on
// the stage as it is linked.
func (s *buildSquash) keepStage(ctx context.Context, b *squashedBuild) error {
	name := s.o.squash.stage()
	stage, ok := s.stages[b.id]
	if !ok {
		return errdefs.Internalf("the stage %s has no result for %s", name, b.id)
	}
	root := stage.Root()
	in := b.stock.Root()
	for in != nil && (root == nil || in.Digest != root.Digest) {
		in = b.stock.Below(in)
	}
	if in == nil {
		return errdefs.Invalidf("Name a stage that the target is built FROM, or base or all.", "the target stage does not stand on the stage %q", name)
	}
	b.on, b.kept, b.report.Found = "the stage "+name, stage.config.History, FoundStage
	b.base = stage.Definition(root)
	if s.o.mode != LinkNever && unable(s.c) == "" {
		l, err := link(ctx, s.c, s.o, stage.platformGraph)
		if err != nil {
			return err
		}
		if err := l.holdAlone(ctx, s.o); err != nil {
			return err
		}
		b.base = l.state()
	}
	below, err := definition.Parse(b.base)
	if err != nil {
		return err
	}
	b.above, err = b.stock.Replace(root, below)
	if in.Digest == b.stock.Root().Digest {
		b.above = b.base
	}
	return err
}

// readStage has the Dockerfile frontend read the stage above which the layers are
// squashed.
func (s *buildSquash) readStage(ctx context.Context, name string) error {
	opts := withoutSBOM(s.c.BuildOpts().Opts)
	if s.ranges != nil {
		opts = withoutSBOM(s.ranges.opts)
	}
	delete(opts, "requestid")
	opts["target"] = name
	var stage *reading
	var err error
	if s.ranges != nil {
		of := *s.ranges
		of.opts = opts
		stage, err = of.solve(ctx)
	} else {
		stage, err = s.solve(ctx, s.c, opts)
	}
	if err != nil {
		return fmt.Errorf("reading the stage %s: %w", name, err)
	}
	graphs, err := stage.graphs(ctx)
	if err != nil {
		return err
	}
	s.stages = map[string]stageResult{}
	for _, g := range graphs {
		st := stageResult{platformGraph: g}
		if st.config, err = image.ParseConfig(stage.Metadata[exptypes.ExporterImageConfigKey+suffixOf(g.id)]); err != nil {
			return fmt.Errorf("reading the config of the stage %s: %w", name, err)
		}
		s.stages[g.id] = st
	}
	return nil
}

// compose puts the squashed state in the place of the linked one.
func (s *buildSquash) compose(ctx context.Context, b *squashedBuild) error {
	if b.report.Nothing != "" {
		return nil
	}
	one, err := s.one(ctx, b)
	if err == nil && one.lost.any() && s.o.squash == SquashAll {
		if err = s.keepUnwritten(ctx, b); err == nil && b.base != nil && b.report.Nothing == "" {
			one, err = s.one(ctx, b)
		}
	}
	if err != nil || b.report.Nothing != "" {
		return err
	}
	if b.def, err = marshal(ctx, one.state, llb.Platform(b.config.Platform)); err != nil {
		return err
	}
	if one.nothing {
		b.report.Runs = 0
	}
	if one.lost.any() {
		b.report.Remarks = append(b.report.Remarks, fmt.Sprintf("BuildKit cannot write %s: they are lost", one.lost))
	}
	entry := ocispecs.History{Created: b.config.Created, CreatedBy: "squash " + b.summary(), Comment: squashComment, EmptyLayer: one.nothing}
	b.config.History = slices.Concat(b.kept, []ocispecs.History{entry})
	return nil
}

// one makes one layer of what stands above the base.
func (s *buildSquash) one(ctx context.Context, b *squashedBuild) (squashed, error) {
	base := llb.Scratch()
	var err error
	if b.base != nil {
		if base, err = state(b.base); err != nil {
			return squashed{}, err
		}
	}
	above, err := state(b.above)
	if err != nil {
		return squashed{}, err
	}
	return squashOn(ctx, s.c, base, above, nil, b.summary())
}

// keepUnwritten has the base's layers stay after all where they have what BuildKit
// cannot write. Of what the build itself adds that is lost in any case.
func (s *buildSquash) keepUnwritten(ctx context.Context, b *squashedBuild) error {
	of := *b
	if err := s.keepBase(ctx, &of); err != nil || of.base == nil {
		return err
	}
	base, err := state(of.base)
	if err != nil {
		return err
	}
	looked, err := squashOn(ctx, s.c, llb.Scratch(), base, nil, "the layers of "+of.on)
	if err != nil || !looked.lost.any() {
		return err
	}
	*b = of
	s.count(ctx, b)
	b.report.Remarks = append(b.report.Remarks, fmt.Sprintf("the base's layers are kept as they are: BuildKit cannot write %s", looked.lost))
	return nil
}

func (b *squashedBuild) summary() string {
	s := fmt.Sprintf("%d layers", len(b.report.Squashed))
	if b.on != "" {
		s += " on " + b.on
	}
	return s
}

func (b *squashedBuild) writeConfig(res *gateway.Result) error {
	dt, err := b.config.Marshal()
	if err == nil && b.report.Nothing == "" {
		res.AddMeta(exptypes.ExporterImageConfigKey+suffixOf(b.id), dt)
	}
	return err
}

func (s *buildSquash) report(plans []*squashedBuild) SquashReport {
	rep := SquashReport{Image: NamedImage{Name: s.Image}}
	for _, b := range plans {
		rep.Platforms = append(rep.Platforms, b.report)
		rep.Warnings = append(rep.Warnings, b.report.warnings()...)
	}
	return rep
}

// withoutRequest are options without a request that the Dockerfile frontend does
// not know.
func withoutRequest(opts map[string]string) map[string]string {
	out := maps.Clone(opts)
	delete(out, "requestid")
	return out
}
