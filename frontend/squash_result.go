package frontend

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/docker-relink/relink/internal/image"
)

// result hands the squashed images to the builder.
func (s *squashing) result(ctx context.Context, plans []*squashedImage, report SquashReport) (*gateway.Result, error) {
	made := make([]madeImage, len(plans))
	for i, b := range plans {
		def, err := b.state.Marshal(ctx, llb.Platform(b.platform))
		if err != nil {
			return nil, fmt.Errorf("composing the squashed image: %w", err)
		}
		base, err := b.base.Marshal()
		if err != nil {
			return nil, err
		}
		annotations, err := s.annotations(b)
		if err != nil {
			return nil, err
		}
		made[i] = madeImage{
			platform: b.platform, def: def.ToPB(), config: b.config, base: base, annotations: annotations,
			from: map[string]*imageOn{ImageContext: b.image, BaseContext: b.old},
		}
	}
	var annotations map[string]string
	if d := s.image.description; d != nil {
		annotations = d.Annotations
	}
	res, err := s.imageResult(ctx, made, annotations)
	if err != nil {
		return nil, err
	}
	dt, err := report.encode()
	if err != nil {
		return nil, err
	}
	res.AddMeta(SquashReportKey, dt)
	return res, nil
}

// annotations are those of the image's manifest. Without the base's layers they
// name no base any more, and say nothing about one.
func (s *squashing) annotations(b *squashedImage) (map[string]string, error) {
	m, _ := s.image.description.For(b.platform)
	if b.image.built != nil && b.kept > 0 {
		base := b.image.asBase()
		return image.RebaseAnnotations(nil, base.Name, base.Digest)
	}
	if b.kept > 0 || b.nothing != "" {
		return m.Annotations, nil
	}
	out, err := image.RebaseAnnotations(m.Annotations, "", "")
	delete(out, FactsAnnotation)
	return out, err
}
