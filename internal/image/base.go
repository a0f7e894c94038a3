package image

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Base is a base image as an image or its attestations name it. It is a claim,
// not a fact: check it with CheckPrefix before anything is built on it.
type Base struct {
	// Name is the fully qualified reference without digest, such as
	// "docker.io/library/debian:12". Empty when only a digest is known.
	Name string
	// Digest is that of the base's manifest or index. May be empty.
	Digest digest.Digest
	// Platform is the one that the base was used for, if that is recorded.
	Platform *ocispecs.Platform
}

// Reference is the most exact reference that can be made of the base: name and
// digest, or name alone. It is empty when the name is not known.
func (b Base) Reference() string {
	if b.Name == "" || b.Digest == "" {
		return b.Name
	}
	return b.Name + "@" + b.Digest.String()
}

// BaseFromAnnotations reads the base from the annotations
// org.opencontainers.image.base.name and .digest
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md).
// Give the most specific annotations first: the manifest's, then the index's.
//
// The first map that has a name decides the name. The digest comes from the same
// map, or else from one that names no other base, so that one base's name is
// never put together with another's digest. A map with a digest alone lends it
// to the name found later. An empty value counts as none: that is how some
// builders write "from scratch". ok is false when nothing was found. The error
// is about a name or a digest that can not be read.
func BaseFromAnnotations(annotations ...map[string]string) (base Base, ok bool, err error) {
	for _, a := range annotations {
		name, dgst, err := readBaseAnnotations(a)
		if err != nil {
			return Base{}, false, err
		}
		if name != "" && base.Name != "" && name != base.Name {
			continue
		}
		if base.Name == "" {
			base.Name = name
		}
		if base.Digest == "" {
			base.Digest = dgst
		}
	}
	return base, base.Name != "" || base.Digest != "", nil
}

func readBaseAnnotations(a map[string]string) (name string, dgst digest.Digest, err error) {
	if s := a[ocispecs.AnnotationBaseImageName]; s != "" {
		name, dgst, err = parseName(s)
		if err != nil {
			return "", "", fmt.Errorf("reading annotation %s: %w", ocispecs.AnnotationBaseImageName, err)
		}
	}
	s := a[ocispecs.AnnotationBaseImageDigest]
	if s == "" {
		return name, dgst, nil
	}
	annotated, err := digest.Parse(s)
	if err != nil {
		return "", "", fmt.Errorf("reading annotation %s %q: %w", ocispecs.AnnotationBaseImageDigest, s, err)
	}
	if dgst != "" && dgst != annotated {
		return "", "", fmt.Errorf("reading annotation %s: it names %s, but %s says %s",
			ocispecs.AnnotationBaseImageName, dgst, ocispecs.AnnotationBaseImageDigest, annotated)
	}
	return name, annotated, nil
}
