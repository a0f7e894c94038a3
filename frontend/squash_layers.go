package frontend

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/moby/go-archive/compression"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/changes"
	"github.com/docker-relink/relink/internal/errdefs"
)

// layersAtOnce bounds how many layers are read at the same time.
const layersAtOnce = 4

// ownLayers are what the tars of an image's layers above the first kept ones have. A
// builder that has unpacked them does not show all of that.
type ownLayers struct {
	kept int
	has  []*changes.Contents
}

// readLayers reads the image's own layers from its registry.
func (s *squashing) readLayers(ctx context.Context, b *squashedImage) (own ownLayers, err error) {
	ref := b.image.origin.ref()
	m, ok := s.image.description.For(b.platform)
	if s.Images == nil || ref == "" || !ok || len(m.Layers) != len(b.image.config.RootFS.DiffIDs) {
		return own, errdefs.Unsupportedf("", "there is no registry to read them from")
	}
	own = ownLayers{kept: b.kept, has: make([]*changes.Contents, len(m.Layers)-b.kept)}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(layersAtOnce)
	for i := range own.has {
		eg.Go(func() (err error) {
			own.has[i], err = s.readLayer(ctx, ref, m.Layers[b.kept+i])
			return err
		})
	}
	return own, eg.Wait()
}

func (s *squashing) readLayer(ctx context.Context, ref string, desc ocispecs.Descriptor) (*changes.Contents, error) {
	raw, err := s.Images.Layer(ctx, ref, desc)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	r, err := compression.DecompressStream(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the layer %s: %w", desc.Digest, err)
	}
	defer r.Close()
	contents, err := changes.ReadContents(r)
	if err == nil {
		_, err = io.Copy(io.Discard, raw) // It is held to its digest at its end.
	}
	return contents, err
}

// unwritten says of each layer what BuildKit cannot write again, by the layer's
// number. What a later one hides need not be written.
func (o ownLayers) unwritten() map[int]unwritten {
	why := map[int]unwritten{}
	rooted := false
	for i, c := range o.has {
		var u unwritten
		rooted = rooted || c.OddRoot
		u.root = c.Root && rooted
		for name, attributes := range c.Attributes {
			if attributes = slices.DeleteFunc(slices.Clone(attributes), machines); len(attributes) > 0 && !o.hidden(i, name) {
				u.paths, u.attributes = append(u.paths, name), append(u.attributes, attributes...)
			}
		}
		slices.Sort(u.paths)
		u.times = slices.DeleteFunc(slices.Clone(c.Fractions), func(name string) bool { return o.hidden(i, name) })
		for _, name := range slices.Concat(c.Links...) {
			if _, ok := ignorePattern(name); !ok {
				u.links = append(u.links, fmt.Sprintf("%q", name))
			}
		}
		if u.any() {
			why[o.kept+i+1] = u
		}
	}
	return why
}

// hidden says whether what a layer has at a path is there no more in the end, under no
// name.
func (o ownLayers) hidden(layer int, name string) bool {
	return !slices.ContainsFunc(o.has[layer].Names(name), func(name string) bool {
		return !slices.ContainsFunc(o.has[layer+1:], func(above *changes.Contents) bool { return above.Hides(name) })
	})
}

// links are the names of files that got names in more than one directory, in the
// layers above the first from up to the first to.
func (o ownLayers) links(from, to int) (links [][]string) {
	if o.has == nil {
		return nil
	}
	for _, c := range o.has[from-o.kept : to-o.kept] {
		links = append(links, c.Links...)
	}
	return links
}
