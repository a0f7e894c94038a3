package frontend

import (
	"context"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-relink/relink/internal/image"
)

// claim keeps that the image names a base, whether there is one or not.
func (b *standing) claim(name string) {
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		b.claimed = append(b.claimed, named.Name())
	}
}

// record keeps what provenance says of the number of the base's layers.
func (b *standing) record(predicate []byte, m image.Manifest) error {
	var digests []digest.Digest
	for _, l := range m.Layers {
		digests = append(digests, l.Digest)
	}
	n, err := image.LayersFromProvenance(predicate, digests)
	if n <= len(b.image.config.RootFS.DiffIDs) {
		b.recorded = max(b.recorded, n)
	}
	return err
}

// mayHave says whether the base may have so many layers: where their number is
// recorded, a base of the base is not taken for it.
func (b *standing) mayHave(layers int) bool { return b.recorded == 0 || layers == b.recorded }

// recordedLayers takes the number of layers that the provenance records: the base
// itself is gone.
func (r *imageJob) recordedLayers(_ context.Context, b *standing) error {
	if b.recorded == 0 {
		return errNotFound
	}
	b.oldLayers = b.recorded
	return nil
}

// baseByLabels takes the base that the image's labels name, if it is of the new
// base's repository: labels are inherited, so they may be about a base of the
// base.
func (r *rebasing) baseByLabels(ctx context.Context, b *standing) error {
	base, ok, err := image.BaseFromAnnotations(b.image.config.Config.Labels)
	if err != nil || !ok || base.Name == "" {
		return errNotFound
	}
	named, err := reference.ParseNormalizedNamed(base.Name)
	if err != nil || named.Name() != r.ontoRepository() {
		return errNotFound
	}
	b.claim(base.Name)
	return r.baseAmong(ctx, b, "the image's labels name", exactThenName(base))
}

// layersByHistory takes the layers whose instructions are those of the new base,
// where the image names a base of the same repository. It is the last resort, and
// says so: histories of bases that have nothing to do with one another may begin
// alike.
func (r *rebasing) layersByHistory(b *rebased) error {
	if b.recorded > 0 || !slices.Contains(b.claimed, r.ontoRepository()) {
		return errNotFound
	}
	n, first := image.LayersFromHistory(b.image.config, b.onto.config)
	if n == 0 {
		b.tried = append(b.tried, "the image's history does not begin as the new base's")
		return errNotFound
	}
	b.oldLayers = n
	b.remarkf("the old base is gone; what it was is told by the history alone, after which the image's own part begins with: %s", first)
	return nil
}

// ontoRepository is the new base's repository, "" where it has none.
func (r *rebasing) ontoRepository() string {
	named, err := reference.ParseNormalizedNamed(r.onto.origin.ref())
	if err != nil {
		return ""
	}
	return named.Name()
}
