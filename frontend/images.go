package frontend

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/image"
)

// Images tells what registries know of images and builders do not say. A
// frontend that runs where it has none does with what the builder says.
type Images interface {
	// Describe reads an image's manifests.
	Describe(ctx context.Context, ref string) (*image.Description, error)
	// Provenance reads the provenance in the attestations of one of an image's
	// manifests.
	Provenance(ctx context.Context, ref string, m image.Manifest) ([][]byte, error)
	// Tags lists the tags of a repository.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Referrers names what was attached to a manifest or an index and is no part
	// of the image: signatures, attestations and the like.
	Referrers(ctx context.Context, ref string, dgst digest.Digest) ([]string, error)
	// Layer reads a layer of an image, compressed as it is there.
	Layer(ctx context.Context, ref string, layer ocispecs.Descriptor) (io.ReadCloser, error)
}
