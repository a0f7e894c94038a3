package commands

import (
	"errors"
	"fmt"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/changes"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/memory"
)

// diffParts is what the builder gave out to make the list from: an OCI layout of
// layers, or a tar of file systems.
type diffParts struct {
	report      frontend.DiffReport
	layout, tar string
	// known are the layers whose paths are remembered.
	known memory.Layers
}

// platformChanges are the changes of one platform.
type platformChanges struct {
	frontend.DiffPlatform
	list []changes.Change
}

// assumed counts the changes of which the other side may have the path from below.
func (p platformChanges) assumed() (n int) {
	for _, c := range p.list {
		if c.Assumed {
			n++
		}
	}
	return n
}

// changes lists the changes of every platform. progress is told how many layers
// were read of how many.
func (p *diffParts) changes(progress func(done, all int)) ([]platformChanges, error) {
	read := p.layers
	if p.report.Trees {
		read = p.trees
	}
	parts, err := read(progress)
	if err != nil {
		return nil, fmt.Errorf("reading what the sides are made of: %w", err)
	}
	var out []platformChanges
	for _, platform := range p.report.Platforms {
		stacks := map[string][]changes.Layer{}
		for _, part := range platform.Parts {
			stacks[part.Role] = parts[part.ID]
			for _, diffID := range part.Listed {
				layer, err := p.known.Load(diffID)
				if err != nil {
					return nil, err
				}
				stacks[part.Role] = append(stacks[part.Role], layer)
			}
		}
		below := changes.NewTree(stacks[frontend.SharedPart]...)
		if _, has := stacks[frontend.SharedPart]; platform.Shared && !has && !p.report.Trees {
			below = changes.NewTreeAbove()
		}
		lower, upper := below.With(stacks[frontend.LowerPart]...), below.With(stacks[frontend.UpperPart]...)
		out = append(out, platformChanges{platform, changes.Compare(lower, upper)})
	}
	return out, nil
}

// trees reads the tar of file systems.
func (p *diffParts) trees(func(done, all int)) (map[string][]changes.Layer, error) {
	file, err := os.Open(p.tar)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // Both sides are empty.
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	trees, err := changes.ReadTrees(file)
	out := map[string][]changes.Layer{}
	for id, tree := range trees {
		out[id] = []changes.Layer{tree}
	}
	return out, err
}

// layersAtOnce bounds how many layers are unpacked at the same time.
const layersAtOnce = 4

// layers reads the layers of every part, each layer once.
func (p *diffParts) layers(progress func(done, all int)) (map[string][]changes.Layer, error) {
	images, err := p.images()
	if err != nil {
		return nil, err
	}
	stacks := map[string][]v1.Layer{}
	distinct := map[v1.Hash]v1.Layer{}
	for id, image := range images {
		if stacks[id], err = image.Layers(); err != nil {
			return nil, err
		}
		for _, layer := range stacks[id] {
			hash, err := layer.Digest()
			if err != nil {
				return nil, err
			}
			distinct[hash] = layer
		}
	}
	read, err := readLayers(distinct, progress)
	if err != nil {
		return nil, err
	}
	p.keep(distinct, read)
	out := map[string][]changes.Layer{}
	for id, stack := range stacks {
		for _, layer := range stack {
			hash, err := layer.Digest()
			if err != nil {
				return nil, err
			}
			out[id] = append(out[id], read[hash])
		}
	}
	return out, nil
}

// keep remembers the layers that were read. One that cannot be kept is read again
// another time.
func (p *diffParts) keep(layers map[v1.Hash]v1.Layer, read map[v1.Hash]changes.Layer) {
	for hash, layer := range layers {
		diffID, err := layer.DiffID()
		if err == nil {
			err = p.known.Keep(digest.Digest(diffID.String()), read[hash])
		}
		if err != nil {
			logrus.Debugf("keeping the paths of layer %s: %v", hash, err)
		}
	}
}

func readLayers(distinct map[v1.Hash]v1.Layer, progress func(done, all int)) (map[v1.Hash]changes.Layer, error) {
	read := map[v1.Hash]changes.Layer{}
	var mu sync.Mutex
	var eg errgroup.Group
	eg.SetLimit(layersAtOnce)
	for hash, layer := range distinct {
		eg.Go(func() error {
			r, err := layer.Uncompressed()
			if err != nil {
				return fmt.Errorf("layer %s: %w", hash, err)
			}
			defer r.Close()
			entries, err := changes.ReadLayer(r)
			if err != nil {
				return fmt.Errorf("layer %s: %w", hash, err)
			}
			mu.Lock()
			defer mu.Unlock()
			read[hash] = entries
			progress(len(read), len(distinct))
			return nil
		})
	}
	return read, eg.Wait()
}

// images are the parts as the images that they are to the builder.
func (p *diffParts) images() (map[string]v1.Image, error) {
	var ids []string
	for _, platform := range p.report.Platforms {
		for _, part := range platform.Parts {
			if part.ID != "" {
				ids = append(ids, part.ID)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	index, err := layout.ImageIndexFromPath(p.layout)
	if err != nil {
		return nil, err
	}
	all, err := imagesOf(index)
	if err != nil {
		return nil, err
	}
	if len(all) != len(ids) {
		return nil, errdefs.Internalf("the builder gave %d parts out of %d", len(all), len(ids))
	}
	images := map[string]v1.Image{}
	for i, id := range ids {
		images[id] = all[i]
	}
	return images, nil
}

// imagesOf are the images of an index, and of the indexes in it.
func imagesOf(index v1.ImageIndex) ([]v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var images []v1.Image
	for _, desc := range manifest.Manifests {
		if desc.MediaType.IsIndex() {
			inner, err := index.ImageIndex(desc.Digest)
			if err != nil {
				return nil, err
			}
			more, err := imagesOf(inner)
			if err != nil {
				return nil, err
			}
			images = append(images, more...)
			continue
		}
		image, err := index.Image(desc.Digest)
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}
