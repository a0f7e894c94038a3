package image

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// PrefixError says that an image does not stand on a base, and where the two
// part. CheckPrefix returns it.
type PrefixError struct {
	Layer       int           // index from 0 of the first layer that differs
	Image       digest.Digest // the image's DiffID there; empty when the image has no more layers
	Base        digest.Digest // the base's DiffID there
	ImageLayers int           // layers of the image
	BaseLayers  int           // layers of the base
}

func (e *PrefixError) Error() string {
	if e.Image == "" {
		return fmt.Sprintf("the image is not based on this base: its %d layers are the base's first ones, but the base has %d",
			e.ImageLayers, e.BaseLayers)
	}
	return fmt.Sprintf("the image is not based on this base: they part at layer %d of the base's %d: the image has %s, the base %s",
		e.Layer+1, e.BaseLayers, e.Image, e.Base)
}

// CheckPrefix says whether an image stands on a base: the base's DiffIDs are the
// first of the image's. It compares DiffIDs, the digests of the uncompressed
// layers, so a base that was compressed again is still the same base. The error
// is a *PrefixError. A base without layers is a prefix of every image.
func CheckPrefix(image, base []digest.Digest) error {
	for i, want := range base {
		e := &PrefixError{Layer: i, Base: want, ImageLayers: len(image), BaseLayers: len(base)}
		if i >= len(image) {
			return e
		}
		if image[i] != want {
			e.Image = image[i]
			return e
		}
	}
	return nil
}

// MatchPrefix finds, among the DiffIDs of candidate bases, the one with the most
// layers that the image stands on. It returns the candidate's index and its
// number of layers; the first of equals wins. A candidate without layers says
// nothing about the image and is never the answer.
func MatchPrefix(image []digest.Digest, candidates [][]digest.Digest) (index, layers int, ok bool) {
	for i, c := range candidates {
		if len(c) > layers && CheckPrefix(image, c) == nil {
			index, layers, ok = i, len(c), true
		}
	}
	return index, layers, ok
}
