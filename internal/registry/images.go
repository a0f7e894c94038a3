package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/buildx/util/imagetools"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/image"
)

// Images reads what registries say of images, and none of their layers.
type Images struct {
	resolver *imagetools.Resolver
}

// NewImages makes one with buildx's way to registries.
func NewImages(opt imagetools.Opt) *Images {
	return &Images{resolver: imagetools.New(opt)}
}

// The annotations by which BuildKit marks attestation manifests in an index, and
// the statements in them.
const (
	referenceType   = "vnd.docker.reference.type"
	referenceDigest = "vnd.docker.reference.digest"
	attestationType = "attestation-manifest"
	predicateType   = "in-toto.io/predicate-type"

	provenancePredicates = "https://slsa.dev/provenance/"
)

// maxProvenance bounds what is read of one attestation.
const maxProvenance = 16 << 20

// Describe reads an image's index, if it has one, and its manifests.
func (r *Images) Describe(ctx context.Context, ref string) (*image.Description, error) {
	dt, desc, err := r.resolver.Get(quiet(ctx), ref)
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

// manifests reads the manifests of an index's images, and puts the attestations
// to the images that they are about.
func (r *Images) manifests(ctx context.Context, ref string, idx ocispecs.Index) ([]image.Manifest, error) {
	var imageDescs []ocispecs.Descriptor
	attestations := map[digest.Digest][]ocispecs.Descriptor{}
	for _, desc := range idx.Manifests {
		switch {
		case desc.Annotations[referenceType] == attestationType:
			subject := digest.Digest(desc.Annotations[referenceDigest])
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

func (r *Images) descriptor(ctx context.Context, ref string, desc ocispecs.Descriptor) ([]byte, error) {
	loc, err := imagetools.ParseLocation(ref)
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", desc.Digest, ref, err)
	}
	dt, err := r.resolver.GetDescriptor(quiet(ctx), loc, desc)
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", desc.Digest, ref, err)
	}
	return dt, nil
}

func parseManifest(ref string, desc ocispecs.Descriptor, dt []byte) (image.Manifest, error) {
	var m ocispecs.Manifest
	if err := json.Unmarshal(dt, &m); err != nil {
		return image.Manifest{}, fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	return image.Manifest{Digest: desc.Digest, Annotations: m.Annotations, Layers: m.Layers}, nil
}

// Provenance reads the provenance statements among a manifest's attestations.
func (r *Images) Provenance(ctx context.Context, ref string, m image.Manifest) ([][]byte, error) {
	var statements [][]byte
	for _, desc := range m.Attestations {
		dt, err := r.descriptor(ctx, ref, desc)
		if err != nil {
			return nil, err
		}
		var attestation ocispecs.Manifest
		if err := json.Unmarshal(dt, &attestation); err != nil {
			return nil, fmt.Errorf("reading the attestations of %s: %w", ref, err)
		}
		for _, layer := range attestation.Layers {
			if !strings.HasPrefix(layer.Annotations[predicateType], provenancePredicates) || layer.Size > maxProvenance {
				continue
			}
			statement, err := r.descriptor(ctx, ref, layer)
			if err != nil {
				return nil, err
			}
			statements = append(statements, statement)
		}
	}
	return statements, nil
}

// Tags lists the tags of a repository.
func (r *Images) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
	}
	tags, err := remote.List(repo, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
	}
	return tags, nil
}

// Referrers names the signatures and other artifacts that refer to a digest: by
// the registry's list of referrers, and by the tags that cosign uses. The
// attestations that BuildKit keeps in the index are not among them.
func (r *Images) Referrers(ctx context.Context, ref string, dgst digest.Digest) ([]string, error) {
	loc, err := imagetools.ParseLocation(ref)
	if err != nil {
		return nil, fmt.Errorf("looking for referrers of %s: %w", ref, err)
	}
	var names []string
	var cosign [len(cosignTags)]string
	eg, ctx := errgroup.WithContext(quiet(ctx))
	eg.Go(func() error {
		descs, err := r.resolver.FetchReferrers(ctx, loc, dgst)
		if err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("looking for referrers of %s: %w", ref, err)
		}
		for _, desc := range descs {
			if desc.ArtifactType != buildkitAttestation {
				names = append(names, fmt.Sprintf("%s (%s)", artifactName(desc), desc.Digest))
			}
		}
		return nil
	})
	for i, kind := range cosignTags {
		eg.Go(func() error {
			tag := strings.Replace(dgst.String(), ":", "-", 1) + kind.suffix
			tagged, err := loc.WithTag(tag)
			if err != nil {
				return err
			}
			if _, _, err := r.resolver.Resolve(ctx, tagged.String()); err == nil {
				cosign[i] = fmt.Sprintf("%s (tag %s)", kind.what, tag)
			}
			return nil
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(append(names, cosign[:]...), func(s string) bool { return s == "" }), nil
}

const buildkitAttestation = "application/vnd.docker.attestation.manifest.v1+json"

// cosignTags are the tags beside an image by which cosign finds what it made.
var cosignTags = [...]struct{ suffix, what string }{
	{".sig", "cosign signature"},
	{".att", "cosign attestation"},
	{".sbom", "cosign SBOM"},
}

func artifactName(desc ocispecs.Descriptor) string {
	if desc.ArtifactType != "" {
		return desc.ArtifactType
	}
	return desc.MediaType
}
