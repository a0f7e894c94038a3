package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
)

// diffSide is a side of a difference, for all platforms.
type diffSide struct {
	name string
	// One of these says what it is; none is the empty file system.
	image *named
	built *gateway.Result // a stage, or the Dockerfile's target
	input string          // the build context that is another build's result
}

// sideOn is a side for one platform.
type sideOn struct {
	name   string
	digest digest.Digest
	raw    []byte // the image config, nil when there is none
	// baseRaw is the config of what a build stands on, where its frontend says it.
	baseRaw []byte
	graph   *definition.Graph
	// image is set where the side is an image as it came, bottom where it stands
	// on one.
	image, bottom *imageOn
}

// on is the side for a platform.
func (d *diffing) on(ctx context.Context, s *diffSide, p *ocispecs.Platform) (*sideOn, error) {
	switch {
	case s.image != nil:
		return d.imageOn(ctx, s, p)
	case s.built != nil:
		return d.builtOn(ctx, s, p)
	case s.input != "":
		return d.inputOn(ctx, s, p)
	default:
		g, err := graphOfState(ctx, llb.Scratch())
		return &sideOn{name: s.name, graph: g}, err
	}
}

func (d *diffing) imageOn(ctx context.Context, s *diffSide, p *ocispecs.Platform) (*sideOn, error) {
	o := s.image.origin
	if own, ok, err := originOf(d.opts, o.role, p); err != nil {
		return nil, err
	} else if ok {
		o = own
	}
	img, err := d.resolver.resolve(ctx, o, p)
	if err != nil {
		return nil, err
	}
	return imageSide(ctx, s.name, img)
}

// inputOn is the result of another build, such as a linked target of bake.
func (d *diffing) inputOn(ctx context.Context, s *diffSide, p *ocispecs.Platform) (*sideOn, error) {
	o, ok, err := originOf(d.opts, s.input, p)
	if err == nil && !ok {
		err = errdefs.Invalidf("", "the build context %q is not there for all platforms", s.input)
	}
	if err != nil {
		return nil, err
	}
	st, metadata, err := d.resolver.input(ctx, o)
	if err != nil {
		return nil, err
	}
	g, err := graphOfState(ctx, st)
	if err != nil {
		return nil, err
	}
	return d.standing(ctx, &sideOn{name: s.name, raw: metadata[exptypes.ExporterImageConfigKey], graph: g}, p)
}

func imageSide(ctx context.Context, name string, img *imageOn) (*sideOn, error) {
	g, err := graphOfState(ctx, img.state(-1, "["+img.origin.role+"] "+img.origin.String()))
	if err != nil {
		return nil, err
	}
	return &sideOn{name: name, digest: img.digest, raw: img.raw, graph: g, image: img, bottom: img}, nil
}

func (d *diffing) builtOn(ctx context.Context, s *diffSide, p *ocispecs.Platform) (*sideOn, error) {
	ref, suffix := s.built.Ref, ""
	if ref == nil && len(s.built.Refs) > 0 {
		id, err := builtPlatform(s.built, p)
		if err != nil {
			return nil, err
		}
		ref, suffix = s.built.Refs[id], suffixOf(id)
	}
	g, err := graphOfState(ctx, llb.Scratch())
	if ref != nil {
		g, err = graphOf(ctx, ref)
	}
	if err != nil {
		return nil, err
	}
	side := &sideOn{
		name: s.name, graph: g,
		raw:     s.built.Metadata[exptypes.ExporterImageConfigKey+suffix],
		baseRaw: s.built.Metadata[exptypes.ExporterImageBaseConfigKey+suffix],
	}
	return d.standing(ctx, side, p)
}

// builtPlatform is the key of a platform in a result of several.
func builtPlatform(res *gateway.Result, p *ocispecs.Platform) (string, error) {
	ps, err := exptypes.ParsePlatforms(res.Metadata)
	if err != nil {
		return "", fmt.Errorf("reading the platforms of the result: %w", err)
	}
	for _, has := range ps.Platforms {
		if p == nil || PlatformID(has.Platform) == PlatformID(*p) {
			return has.ID, nil
		}
	}
	return "", errdefs.Internalf("the Dockerfile frontend returned nothing for %s", platforms.Format(*p))
}

// standing finds the image that a side stands on.
func (d *diffing) standing(ctx context.Context, s *sideOn, p *ocispecs.Platform) (_ *sideOn, err error) {
	s.bottom, err = d.resolver.bottom(ctx, LowerContext, s.graph, p)
	return s, err
}

func (s *sideOn) state() (llb.State, error) { return state(s.graph.Definition(s.graph.Root())) }

// diffIDs are those of the image that the side is, or stands on.
func (s *sideOn) diffIDs() []digest.Digest {
	if s.bottom == nil {
		return nil
	}
	return s.bottom.config.RootFS.DiffIDs
}

func (s *sideOn) report() DiffSide {
	return DiffSide{Name: s.name, Digest: s.digest, Config: json.RawMessage(s.raw), Built: s.image == nil && s.raw != nil}
}

func graphOfState(ctx context.Context, st llb.State) (*definition.Graph, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("composing a side of the difference: %w", err)
	}
	return definition.Parse(def.ToPB())
}

// below are the operations that a side is built upon, the last one first.
func below(g *definition.Graph) []string {
	var out []string
	for in := g.Root(); in != nil; in = g.Below(in) {
		out = append(out, definition.Key(in))
	}
	return out
}

// platformsOf are the platforms that a side has, nil when it has any.
func (d *diffing) platformsOf(ctx context.Context, s *diffSide) ([]ocispecs.Platform, error) {
	if s.input != "" {
		return d.resolver.inputPlatforms(ctx, d.opts, s.input)
	}
	if s.image == nil {
		return nil, nil
	}
	if desc := s.image.description; desc != nil && desc.Index {
		var ps []ocispecs.Platform
		for _, p := range desc.Platforms() {
			if p.OS != "unknown" {
				ps = append(ps, platforms.Normalize(p))
			}
		}
		return ps, nil
	}
	img, err := d.resolver.resolve(ctx, s.image.origin, nil)
	if err != nil || img.config.OS == "" || img.config.Architecture == "" {
		return nil, err
	}
	return []ocispecs.Platform{platforms.Normalize(img.config.Platform)}, nil
}

// commonPlatforms are those that were asked for, or else those that both sides
// have; skipped are those that only one of them has.
func (d *diffing) commonPlatforms(ctx context.Context) (ps []*ocispecs.Platform, skipped []string, err error) {
	var has [2][]ocispecs.Platform
	for i, s := range []*diffSide{d.lower, d.upper} {
		if s == nil {
			continue
		}
		if has[i], err = d.platformsOf(ctx, s); err != nil {
			return nil, nil, err
		}
		if _, missing := image.MatchPlatforms(d.o.platforms, has[i]); has[i] != nil && len(missing) > 0 {
			return nil, nil, errdefs.Invalidf("It has "+formatPlatforms(has[i])+".", "%s has no image for %s", s.name, formatPlatforms(missing))
		}
	}
	wanted := d.o.platforms
	if len(wanted) == 0 && d.builds() {
		return []*ocispecs.Platform{nil}, nil, nil
	}
	if len(wanted) == 0 {
		wanted, skipped = intersect(has[0], has[1])
		if len(wanted) == 0 && len(skipped) > 0 {
			return nil, nil, errdefs.Invalidf("Choose images of the same platform.", "%s is for %s, %s for %s",
				d.lower.name, formatPlatforms(has[0]), d.upper.name, formatPlatforms(has[1]))
		}
	}
	for _, p := range wanted {
		ps = append(ps, &p)
	}
	if len(ps) == 0 {
		ps = []*ocispecs.Platform{nil}
	}
	return ps, skipped, nil
}

// builds says whether a side is built here, for the builder's own platform where
// no other was asked for.
func (d *diffing) builds() bool {
	return slices.ContainsFunc([]*diffSide{d.lower, d.upper}, func(s *diffSide) bool { return s != nil && s.built != nil })
}

func intersect(a, b []ocispecs.Platform) (both []ocispecs.Platform, only []string) {
	switch {
	case a == nil:
		return b, nil
	case b == nil:
		return a, nil
	}
	pairs, missing := image.MatchPlatforms(b, a)
	for _, pair := range pairs {
		both = append(both, b[pair.Image])
	}
	_, more := image.MatchPlatforms(a, b)
	for _, p := range append(missing, more...) {
		only = append(only, PlatformID(p))
	}
	return both, only
}
