package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/buildx/util/imagetools"
	"github.com/moby/buildkit/util/attestation"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/image"
)

// Images reads what registries say of images, and layers only where they are asked
// for. What it has read but for layers it keeps: one run sees one state of a tag.
type Images struct {
	wire *wire

	descriptions memo[*image.Description] // by reference
	contents     memo[[]byte]             // by digest
}

// NewImages makes one with buildx's way to registries.
func NewImages(opt imagetools.Opt) *Images {
	return &Images{wire: newWire(opt)}
}

// Describe reads an image's index, if it has one, and its manifests.
func (r *Images) Describe(ctx context.Context, ref string) (*image.Description, error) {
	return r.descriptions.get(ref, func() (*image.Description, error) { return r.describe(ctx, ref) })
}

func (r *Images) describe(ctx context.Context, ref string) (*image.Description, error) {
	dt, desc, err := r.manifest(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	d := &image.Description{Digest: desc.Digest}
	if !images.IsIndexType(desc.MediaType) {
		m, err := parseManifest(ref, desc, dt)
		d.Manifests = []image.Manifest{m}
		return d, err
	}
	var idx ocispecs.Index
	if err := json.Unmarshal(dt, &idx); err != nil {
		return nil, fmt.Errorf("reading the index of %s: %w", ref, err)
	}
	d.Index, d.Annotations = true, idx.Annotations
	d.Manifests, err = r.manifests(ctx, ref, idx)
	return d, err
}

// manifest reads what a reference names, by its digest where it has one.
func (r *Images) manifest(ctx context.Context, ref string) ([]byte, ocispecs.Descriptor, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, ocispecs.Descriptor{}, err
	}
	under, want := "latest", digest.Digest("")
	if tagged, ok := named.(reference.Tagged); ok {
		under = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		want = digested.Digest()
		under = want.String()
	}
	got, err := r.wire.send(ctx, ask{
		method: http.MethodGet, repo: reference.TrimNamed(named), path: "manifests/" + under,
		header: map[string]string{"Accept": manifestTypes},
	})
	if err != nil {
		return nil, ocispecs.Descriptor{}, err
	}
	desc := ocispecs.Descriptor{MediaType: mediaType(got), Digest: digest.FromBytes(got.body), Size: int64(len(got.body))}
	if want != "" {
		if desc.Digest = want.Algorithm().FromBytes(got.body); desc.Digest != want {
			return nil, desc, fmt.Errorf("what the registry has is %s", desc.Digest)
		}
	}
	return got.body, desc, nil
}

// manifestTypes are what Describe can read.
var manifestTypes = strings.Join([]string{
	ocispecs.MediaTypeImageIndex, images.MediaTypeDockerSchema2ManifestList,
	ocispecs.MediaTypeImageManifest, images.MediaTypeDockerSchema2Manifest,
}, ", ")

// mediaType is what a manifest says that it is, or else what the registry says.
func mediaType(got *answer) string {
	var said struct{ MediaType string }
	if err := json.Unmarshal(got.body, &said); err == nil && said.MediaType != "" {
		return said.MediaType
	}
	typ, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	return typ
}

// manifests reads the manifests of an index's images, and puts the attestations
// to the images that they are about.
func (r *Images) manifests(ctx context.Context, ref string, idx ocispecs.Index) ([]image.Manifest, error) {
	var imageDescs []ocispecs.Descriptor
	attestations := map[digest.Digest][]ocispecs.Descriptor{}
	for _, desc := range idx.Manifests {
		switch {
		case desc.Annotations[attestation.DockerAnnotationReferenceType] == attestation.DockerAnnotationReferenceTypeDefault:
			subject := digest.Digest(desc.Annotations[attestation.DockerAnnotationReferenceDigest])
			attestations[subject] = append(attestations[subject], desc)
		case images.IsManifestType(desc.MediaType) && desc.Platform != nil && desc.Platform.OS != "unknown":
			imageDescs = append(imageDescs, desc)
		}
	}
	out := make([]image.Manifest, len(imageDescs))
	eg, ctx := errgroup.WithContext(ctx)
	for i, desc := range imageDescs {
		eg.Go(func() error {
			dt, err := r.descriptor(ctx, ref, desc)
			if err != nil {
				return err
			}
			if out[i], err = parseManifest(ref, desc, dt); err != nil {
				return err
			}
			out[i].Platform, out[i].Attestations = desc.Platform, attestations[desc.Digest]
			return nil
		})
	}
	return out, eg.Wait()
}

// descriptor reads a manifest or a blob of an image's repository.
func (r *Images) descriptor(ctx context.Context, ref string, desc ocispecs.Descriptor) ([]byte, error) {
	dt, err := r.contents.get(desc.Digest.String(), func() ([]byte, error) { return r.readDescriptor(ctx, ref, desc) })
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", desc.Digest, ref, err)
	}
	return dt, nil
}

func (r *Images) readDescriptor(ctx context.Context, ref string, desc ocispecs.Descriptor) ([]byte, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, err
	}
	a := ask{method: http.MethodGet, repo: reference.TrimNamed(named), path: "blobs/" + desc.Digest.String()}
	if images.IsManifestType(desc.MediaType) || images.IsIndexType(desc.MediaType) {
		a.path, a.header = "manifests/"+desc.Digest.String(), map[string]string{"Accept": manifestTypes}
	}
	got, err := r.wire.send(ctx, a)
	if err != nil {
		return nil, err
	}
	if have := desc.Digest.Algorithm().FromBytes(got.body); have != desc.Digest {
		return nil, fmt.Errorf("what the registry has is %s", have)
	}
	return got.body, nil
}

// Config reads the config of the image that a reference names for a platform,
// nil where it names one image alone. The digest is that of what is named.
func (r *Images) Config(ctx context.Context, ref string, p *ocispecs.Platform) (digest.Digest, []byte, error) {
	d, err := r.Describe(ctx, ref)
	if err != nil {
		return "", nil, err
	}
	if p == nil {
		if d.Index {
			return "", nil, fmt.Errorf("%s is for several platforms", ref)
		}
		p = &ocispecs.Platform{}
	}
	m, ok := d.For(*p)
	if !ok {
		return "", nil, fmt.Errorf("%s has no image for %s: %w", ref, platforms.FormatAll(*p), cerrdefs.ErrNotFound)
	}
	dt, err := r.descriptor(ctx, ref, m.Config)
	return d.Digest, dt, err
}

func parseManifest(ref string, desc ocispecs.Descriptor, dt []byte) (image.Manifest, error) {
	var m ocispecs.Manifest
	if err := json.Unmarshal(dt, &m); err != nil {
		return image.Manifest{}, fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	return image.Manifest{Digest: desc.Digest, Annotations: m.Annotations, Config: m.Config, Layers: m.Layers}, nil
}

// Layer reads a layer of an image as the registry has it. The end of it is an error
// where the content is not what its digest says.
func (r *Images) Layer(ctx context.Context, ref string, layer ocispecs.Descriptor) (io.ReadCloser, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, err
	}
	body, err := r.wire.open(ctx, ask{method: http.MethodGet, repo: reference.TrimNamed(named), path: "blobs/" + layer.Digest.String()})
	if err != nil {
		return nil, fmt.Errorf("reading the layer %s of %s: %w", layer.Digest, ref, err)
	}
	return &verified{body, layer.Digest.Verifier(), layer.Digest}, nil
}

// verified is a content that is held to its digest.
type verified struct {
	io.ReadCloser
	verifier digest.Verifier
	want     digest.Digest
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	if _, werr := v.verifier.Write(p[:n]); werr != nil {
		return n, werr
	}
	if errors.Is(err, io.EOF) && !v.verifier.Verified() {
		return n, fmt.Errorf("the content of %s is another", v.want)
	}
	return n, err
}
