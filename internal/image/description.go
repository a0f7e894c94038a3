package image

import (
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Description is what a registry says of an image without a look into its
// layers or configs.
type Description struct {
	// Digest is that of the index, or of the manifest where there is no index.
	Digest digest.Digest
	// Index says that the reference names an index.
	Index bool
	// Annotations are the index's.
	Annotations map[string]string
	// Manifests are those of the images; of one image without an index the
	// platform is not known.
	Manifests []Manifest
}

// Manifest is the manifest of one image.
type Manifest struct {
	Digest      digest.Digest
	Platform    *ocispecs.Platform
	Annotations map[string]string
	Config      ocispecs.Descriptor
	Layers      []ocispecs.Descriptor
	// Attestations are the manifests in the index that carry the image's
	// attestations.
	Attestations []ocispecs.Descriptor
}

// Platforms are the platforms of an index, in its order; none of an image
// without an index.
func (d *Description) Platforms() []ocispecs.Platform {
	var ps []ocispecs.Platform
	for _, m := range d.Manifests {
		if m.Platform != nil {
			ps = append(ps, *m.Platform)
		}
	}
	return ps
}

// For is the manifest of the image for a platform. Where there is no index it is
// the only one.
func (d *Description) For(p ocispecs.Platform) (Manifest, bool) {
	if d == nil {
		return Manifest{}, false
	}
	for _, m := range d.Manifests {
		if !d.Index || m.Platform != nil && samePlatform(*m.Platform, p) {
			return m, true
		}
	}
	return Manifest{}, false
}
