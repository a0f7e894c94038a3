package frontend

import (
	"fmt"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// built is the result of another build of the session, such as a linked target of
// bake: a state that no image was made of yet.
type built struct {
	// bottom is the image that it stands on, nil for none.
	bottom *imageOn
	// own are the layers that it adds to that. How many there will be is known only
	// in the end: what one operation puts on another may be several.
	own []builtLayer
}

// builtLayer is what an operation adds to the one that it is built upon.
type builtLayer struct {
	key   string // names the operation
	state llb.State
}

// layersBelow is the number of layers of the image that it stands on.
func (b *built) layersBelow() int {
	if b.bottom == nil {
		return 0
	}
	return len(b.bottom.config.RootFS.DiffIDs)
}

// above are the layers above the first n.
func (b *built) above(n int) []llb.State {
	below := b.layersBelow()
	var out []llb.State
	if n < below {
		out = layers.Own(layers.Named, b.bottom.state, below, n)
	}
	for _, l := range b.own[min(max(0, n-below), len(b.own)):] {
		out = append(out, l.state)
	}
	return out
}

// source makes the state; a part of it can only be one of the image that it stands on.
func (b *built) source(whole llb.State) layers.Source {
	return func(limit int, name string) llb.State {
		switch {
		case limit == layers.Whole:
			return whole
		case limit == b.layersBelow():
			limit = layers.Whole
		}
		return b.bottom.state(limit, name)
	}
}

// diffIDs are the layers, as many as the history has. What stands in for a layer
// that is not known yet is the operation that makes it, so that a build begins with
// the layers of another where it is built upon it.
func (b *built) diffIDs(history []ocispecs.History) (ids []digest.Digest) {
	below := 0
	if b.bottom != nil {
		ids = slices.Clone(b.bottom.config.RootFS.DiffIDs)
		below = image.CountLayers(b.bottom.config.History)
	}
	for i := range max(len(b.own), image.CountLayers(history)-below) {
		stands := fmt.Sprint("layer ", i)
		if i < len(b.own) {
			stands = b.own[i].key
		}
		ids = append(ids, digest.FromString(stands))
	}
	return ids
}

// asBase is the image as annotations name a base: of a build's result, which has no
// name, the image that it stands on, as they do for a build on it.
func (i *imageOn) asBase() NamedImage {
	if i.built != nil && i.built.bottom != nil {
		i = i.built.bottom
	}
	return NamedImage{i.name(), i.digest}
}

// named is the image as reports name it: another build's result by its target.
func (i *imageOn) named() NamedImage {
	if i.built != nil {
		return NamedImage{Name: i.origin.String()}
	}
	return NamedImage{i.name(), i.digest}
}

// known are the layers of an image whose DiffIDs are known.
func (i *imageOn) known() []digest.Digest {
	if i.built != nil {
		return i.config.RootFS.DiffIDs[:i.built.layersBelow()]
	}
	return i.config.RootFS.DiffIDs
}

// standsOn says whether the image stands on a base.
func (i *imageOn) standsOn(base *imageOn) error {
	err := image.CheckPrefix(i.config.RootFS.DiffIDs, base.config.RootFS.DiffIDs)
	if err == nil || i.built == nil && base.built == nil {
		return err
	}
	has, wants := i.known(), base.known()
	if n := min(len(has), len(wants)); image.CheckPrefix(has[:n], wants[:n]) != nil {
		return err
	}
	if i.built != nil && base.built != nil {
		return fmt.Errorf("the one is not built upon the other")
	}
	return fmt.Errorf("the layers that a build adds are not known before its image was exported; push it, and name that")
}

// canCut says whether the first n layers can be told from the others.
func (i *imageOn) canCut(n int) error {
	if n > len(i.known()) && i.built != nil {
		return errdefs.Unsupportedf("Push its image and name that.",
			"which are the first %d layers of %s is not known before its image was exported: those of the image that it stands on are %d", n, i.origin, len(i.known()))
	}
	return nil
}
