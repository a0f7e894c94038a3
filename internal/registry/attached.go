package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/image"
)

// The annotation by which BuildKit marks the statements in attestation manifests.
const (
	predicateType        = "in-toto.io/predicate-type"
	provenancePredicates = "https://slsa.dev/provenance/"
)

// maxProvenance bounds what is read of one attestation.
const maxProvenance = 16 << 20

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
	repo, err := reference.ParseNormalizedNamed(repository)
	if err != nil {
		return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
	}
	repo = reference.TrimNamed(repo)
	var tags []string
	for path := "tags/list?n=1000"; path != ""; {
		got, err := r.wire.send(ctx, ask{method: http.MethodGet, repo: repo, path: path})
		if err != nil {
			return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
		}
		var list struct{ Tags []string }
		if err := json.Unmarshal(got.body, &list); err != nil {
			return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
		}
		tags = append(tags, list.Tags...)
		if path = nextPage(got.header.Get("Link")); len(list.Tags) == 0 {
			break
		}
	}
	return tags, nil
}

// nextPage is the path of the list's next part, "" when there is none.
func nextPage(link string) string {
	target, rel, _ := strings.Cut(link, ">")
	if !strings.Contains(rel, "next") {
		return ""
	}
	_, query, ok := strings.Cut(target, "?")
	if !ok {
		return ""
	}
	return "tags/list?" + query
}

// Referrers names the signatures and other artifacts that refer to a digest: by
// the registry's list of referrers, and by the tags that stand for one and that
// cosign uses. The attestations that BuildKit keeps in the index are not among
// them.
func (r *Images) Referrers(ctx context.Context, ref string, dgst digest.Digest) ([]string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, fmt.Errorf("looking for referrers of %s: %w", ref, err)
	}
	repo := reference.TrimNamed(named)
	tag := strings.Replace(dgst.String(), ":", "-", 1)
	var lists [2][]string
	var listErr error
	var cosign [len(cosignTags)]string
	var eg errgroup.Group
	for i, path := range []string{"referrers/" + dgst.String(), "manifests/" + tag} {
		eg.Go(func() error {
			names, err := r.referrerList(ctx, repo, path)
			if lists[i] = names; err != nil && !cerrdefs.IsNotFound(err) && i == 0 {
				listErr = fmt.Errorf("looking for referrers of %s: %w", ref, err)
			}
			return nil
		})
	}
	for i, kind := range cosignTags {
		eg.Go(func() error {
			head := ask{method: http.MethodHead, repo: repo, path: "manifests/" + tag + kind.suffix, header: map[string]string{"Accept": manifestTypes}}
			if _, err := r.wire.send(ctx, head); err == nil {
				cosign[i] = fmt.Sprintf("%s (tag %s)", kind.what, tag+kind.suffix)
			}
			return nil
		})
	}
	_ = eg.Wait() // None returns an error.
	if listErr != nil {
		return nil, listErr
	}
	names := slices.Concat(lists[0], cosign[:])
	for _, name := range lists[1] {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, func(s string) bool { return s == "" }), nil
}

func (r *Images) referrerList(ctx context.Context, repo reference.Named, path string) ([]string, error) {
	got, err := r.wire.send(ctx, ask{method: http.MethodGet, repo: repo, path: path, header: map[string]string{"Accept": ocispecs.MediaTypeImageIndex}})
	if err != nil {
		return nil, err
	}
	var idx ocispecs.Index
	if err := json.Unmarshal(got.body, &idx); err != nil {
		return nil, fmt.Errorf("reading the list of referrers: %w", err)
	}
	var names []string
	for _, desc := range idx.Manifests {
		if desc.ArtifactType != image.AttestationType {
			names = append(names, fmt.Sprintf("%s (%s)", artifactName(desc), desc.Digest))
		}
	}
	return names, nil
}

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
