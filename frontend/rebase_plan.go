package frontend

import (
	"context"
	"slices"
	"time"

	"github.com/distribution/reference"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
)

// RebasePlan is a rebase that is decided and not done: all that has to be written
// when every layer is in a registry already.
type RebasePlan struct {
	// Images are the platforms' images, in the order of the index.
	Images []PlannedImage
	// Index says that the result is an index even if there is only one image.
	Index bool
	// IndexAnnotations are those of the index, should there be one.
	IndexAnnotations map[string]string
	// Parameters are the request as provenance shows it: with all images by
	// their digests.
	Parameters map[string]string
	// Created is the time that the result carries.
	Created time.Time
	// Report says what is done. The first call looks for what stays behind.
	Report func() RebaseReport
}

// PlannedImage is the image of one platform.
type PlannedImage struct {
	Platform    ocispecs.Platform
	Config      []byte
	Layers      []PlannedLayer
	Annotations map[string]string
	// Materials are the images that it was made of.
	Materials []NamedImage
}

// PlannedLayer is a layer and the repository that it is in.
type PlannedLayer struct {
	ocispecs.Descriptor
	In reference.Named
}

// PlanRebase decides on the rebase that the client's options ask for. Of the
// client it needs the options and the images' configs. The error is Unsupported
// where a layer is not known to be in a registry.
func (f *Frontend) PlanRebase(ctx context.Context, c gateway.Client) (*RebasePlan, error) {
	r, err := f.newRebasing(c)
	if err != nil {
		return nil, err
	}
	d, err := r.decide(ctx, false)
	if err != nil {
		return nil, err
	}
	made := r.made(d.plans)
	plan := &RebasePlan{
		Index: r.multi(made), Parameters: r.attributionOpts(made), Created: r.o.created, Report: d.report,
	}
	if plan.IndexAnnotations, err = r.indexAnnotations(d.plans); err != nil {
		return nil, err
	}
	for _, b := range d.plans {
		img, err := r.planned(b)
		if err != nil {
			return nil, err
		}
		plan.Images = append(plan.Images, img)
	}
	return plan, nil
}

func (r *rebasing) planned(b *rebased) (img PlannedImage, err error) {
	img.Platform = b.result.Config.Platform
	if img.Config, err = b.result.Config.Marshal(); err != nil {
		return img, err
	}
	if img.Annotations, err = r.annotations(b); err != nil {
		return img, err
	}
	own, err := r.image.layersFor(b.platform, len(b.image.config.RootFS.DiffIDs))
	if err != nil {
		return img, err
	}
	base, err := r.onto.layersFor(b.platform, len(b.onto.config.RootFS.DiffIDs))
	if err != nil {
		return img, err
	}
	img.Layers = slices.Concat(base, own[b.oldLayers:])
	for _, m := range []*imageOn{b.image, b.old, b.onto} {
		if m != nil && m.digest != "" {
			img.Materials = append(img.Materials, NamedImage{m.name(), m.digest})
		}
	}
	return img, nil
}

// layersFor are the layers of a platform's image, as many as its config has.
func (n *named) layersFor(p ocispecs.Platform, want int) ([]PlannedLayer, error) {
	m, ok := n.description.For(p)
	repo, err := reference.ParseNormalizedNamed(n.origin.ref())
	if !ok || err != nil || len(m.Layers) != want {
		return nil, errdefs.Unsupportedf("", "the layers of %s are not known to be in a registry", n.origin)
	}
	var ls []PlannedLayer
	for _, desc := range m.Layers {
		ls = append(ls, PlannedLayer{desc, reference.TrimNamed(repo)})
	}
	return ls, nil
}
