package frontend

import (
	"context"
	"errors"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/errdefs"
)

// ownBase is what the upper side stands on.
func (d *diffing) ownBase(ctx context.Context, b *diffed) (*sideOn, error) {
	if b.upper.image == nil {
		return baseOfBuilt(ctx, b.upper)
	}
	p := b.upper.image.config.Platform
	if b.platform != nil {
		p = *b.platform
	}
	r := d.imageJob(d.upper.image)
	found := &standing{platform: platforms.Normalize(p), image: b.upper.image}
	for _, way := range []func(context.Context, *standing) error{r.baseByAnnotations, r.baseByProvenance} {
		err := way(ctx, found)
		if err == nil {
			return imageSide(ctx, baseName(found.old), found.old)
		}
		if !errors.Is(err, errNotFound) {
			return nil, err
		}
	}
	cause := ""
	for _, tried := range found.tried {
		cause += "\n  " + tried
	}
	return nil, errdefs.Invalidf("Name it: BASE.."+d.upper.name, "the base of %s is not known%s", d.upper.name, cause)
}

// baseOfBuilt is the image that a build stands on, or nothing.
func baseOfBuilt(ctx context.Context, s *sideOn) (*sideOn, error) {
	bottom := s.graph.Bottom(s.graph.Root())
	g, err := definition.Parse(s.graph.Definition(bottom))
	if err != nil {
		return nil, err
	}
	op := s.graph.Op(bottom)
	switch source := op.GetSource(); {
	case s.bottom != nil:
		return &sideOn{name: baseName(s.bottom), digest: s.bottom.digest, raw: s.bottom.raw, graph: g, image: s.bottom, bottom: s.bottom}, nil
	case source != nil: // such as an image of an OCI layout
		return &sideOn{name: source.Identifier, raw: s.baseRaw, graph: g}, nil
	default:
		g, err = graphOfState(ctx, llb.Scratch())
		return &sideOn{name: emptySide, graph: g}, err
	}
}

// baseName is the name of a base without the digest that it was pinned to.
func baseName(img *imageOn) string {
	if name := img.name(); name != "" {
		return name
	}
	return img.origin.String()
}

// imageJob has the ways to an image's base.
func (d *diffing) imageJob(n *named) *imageJob {
	return &imageJob{Frontend: d.Frontend, c: d.c, opts: d.opts, o: rebaseOptions{platforms: d.o.platforms}, resolver: d.resolver, image: n, base: rebaseWords}
}
