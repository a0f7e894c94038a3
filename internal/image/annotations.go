package image

import (
	"fmt"
	"maps"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// RebaseAnnotations is existing with the base annotations of the image spec
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md) set to
// the new base; the rest is kept. name is a reference, with or without tag and
// digest; it is written fully qualified and without digest, as the spec asks. An
// empty name or digest removes the annotation, because the old one would name a
// base that is no longer there. existing is not changed.
//
// The same function is right for image labels that carry these keys. The error
// is about a name that is no reference or a digest that is no digest.
func RebaseAnnotations(existing map[string]string, name string, dgst digest.Digest) (map[string]string, error) {
	out := make(map[string]string, len(existing)+2)
	maps.Copy(out, existing)
	delete(out, ocispecs.AnnotationBaseImageName)
	delete(out, ocispecs.AnnotationBaseImageDigest)
	if name != "" {
		named, _, err := parseName(name)
		if err != nil {
			return nil, fmt.Errorf("annotating base name: %w", err)
		}
		out[ocispecs.AnnotationBaseImageName] = named
	}
	if dgst != "" {
		if err := dgst.Validate(); err != nil {
			return nil, fmt.Errorf("annotating base digest %q: %w", dgst, err)
		}
		out[ocispecs.AnnotationBaseImageDigest] = dgst.String()
	}
	return out, nil
}

// parseName splits a reference into its fully qualified name with tag, and its
// digest if it has one. A name without tag and digest gets the tag "latest".
func parseName(s string) (string, digest.Digest, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return "", "", fmt.Errorf("reading reference %q: %w", s, err)
	}
	canonical, ok := named.(reference.Canonical)
	if !ok {
		return reference.TagNameOnly(named).String(), "", nil
	}
	name := reference.TrimNamed(named).String()
	if tagged, ok := named.(reference.Tagged); ok {
		name += ":" + tagged.Tag()
	}
	return name, canonical.Digest(), nil
}
