package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/moby/buildkit/util/attestation"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Part is the image of one platform, to be assembled of layers that are there.
type Part struct {
	Platform ocispecs.Platform
	Config   []byte
	Layers   []ocispecs.Descriptor
	// Annotations are those of the manifest, DescriptorAnnotations of its entry
	// in the index.
	Annotations, DescriptorAnnotations map[string]string
	// Attest, when set, makes a statement about the manifest.
	Attest func(manifest digest.Digest) (*Statement, error)
}

// Assembled is what has to be written, besides layers: the blobs, then the
// manifests, then Root, which names them.
type Assembled struct {
	Blobs     [][]byte
	Manifests []Document
	Root      Document
	Index     bool // says what Root is
}

// Document is a manifest or an index.
type Document struct {
	MediaType string
	Content   []byte
}

// Assemble makes the manifests of an image, in the form that BuildKit gives them:
// all of OCI's media types, and each image's attestations beside it in the index.
// There is an index if there are several parts or attestations, or if index asks
// for it; annotations are the index's.
func Assemble(parts []Part, index bool, annotations map[string]string) (*Assembled, error) {
	a := &assembling{}
	for i := range parts {
		if err := a.add(&parts[i]); err != nil {
			return nil, fmt.Errorf("writing the manifests: %w", err)
		}
	}
	if index = index || len(parts) > 1 || len(a.attestations) > 0; !index {
		a.out.Root, a.out.Manifests = a.out.Manifests[0], nil
		return &a.out, nil
	}
	content, err := document(ocispecs.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex,
		Manifests: append(a.images, a.attestations...), Annotations: annotations,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the index: %w", err)
	}
	a.out.Root, a.out.Index = Document{ocispecs.MediaTypeImageIndex, content}, true
	return &a.out, nil
}

type assembling struct {
	out                  Assembled
	images, attestations []ocispecs.Descriptor
}

func (a *assembling) add(p *Part) error {
	config := a.blob(ocispecs.MediaTypeImageConfig, p.Config)
	desc, err := a.manifest(ocispecs.Manifest{
		Config:      config,
		Layers:      ociLayers(p.Layers),
		Annotations: p.Annotations,
	})
	if err != nil {
		return err
	}
	desc.Annotations = maps.Clone(p.DescriptorAnnotations)
	desc.Platform = &p.Platform
	a.images = append(a.images, desc)
	if p.Attest == nil {
		return nil
	}
	s, err := p.Attest(desc.Digest)
	if err != nil {
		return err
	}
	return a.attest(desc, s)
}

// ociTypes are OCI's names for Docker's kinds of layers.
var ociTypes = map[string]string{
	images.MediaTypeDockerSchema2Layer:            ocispecs.MediaTypeImageLayer,
	images.MediaTypeDockerSchema2LayerGzip:        ocispecs.MediaTypeImageLayerGzip,
	images.MediaTypeDockerSchema2LayerZstd:        ocispecs.MediaTypeImageLayerZstd,
	images.MediaTypeDockerSchema2LayerForeign:     nondistributable,
	images.MediaTypeDockerSchema2LayerForeignGzip: nondistributable + "+gzip",
}

// nondistributable is deprecated in the specification, and what images for
// Windows have nevertheless.
const nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar"

func ociLayers(layers []ocispecs.Descriptor) []ocispecs.Descriptor {
	out := slices.Clone(layers)
	for i, l := range out {
		if oci, ok := ociTypes[l.MediaType]; ok {
			out[i].MediaType = oci
		}
	}
	return out
}

// AttestationType is what BuildKit calls the manifests that carry attestations.
const AttestationType = "application/vnd.docker.attestation.manifest.v1+json"

func (a *assembling) attest(about ocispecs.Descriptor, s *Statement) error {
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	statement := a.blob("application/vnd.in-toto+json", content)
	statement.Annotations = map[string]string{"in-toto.io/predicate-type": s.PredicateType}
	a.blob("", ocispecs.DescriptorEmptyJSON.Data)
	desc, err := a.manifest(ocispecs.Manifest{
		ArtifactType: AttestationType,
		Config:       ocispecs.DescriptorEmptyJSON,
		Layers:       []ocispecs.Descriptor{statement},
		Subject:      &ocispecs.Descriptor{MediaType: about.MediaType, Digest: about.Digest, Size: about.Size},
	})
	if err != nil {
		return err
	}
	desc.Annotations = map[string]string{
		attestation.DockerAnnotationReferenceType:   attestation.DockerAnnotationReferenceTypeDefault,
		attestation.DockerAnnotationReferenceDigest: about.Digest.String(),
	}
	desc.Platform = &ocispecs.Platform{OS: "unknown", Architecture: "unknown"}
	a.attestations = append(a.attestations, desc)
	return nil
}

func (a *assembling) blob(mediaType string, content []byte) ocispecs.Descriptor {
	a.out.Blobs = append(a.out.Blobs, content)
	return descriptor(mediaType, content)
}

func (a *assembling) manifest(m ocispecs.Manifest) (ocispecs.Descriptor, error) {
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispecs.MediaTypeImageManifest
	content, err := document(m)
	a.out.Manifests = append(a.out.Manifests, Document{m.MediaType, content})
	return descriptor(m.MediaType, content), err
}

func document(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }

func descriptor(mediaType string, content []byte) ocispecs.Descriptor {
	return ocispecs.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}
