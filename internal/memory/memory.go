package memory

import (
	"context"
	"fmt"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/skeleton"
)

// Manifests reads manifests of images.
type Manifests interface {
	Manifest(ctx context.Context, ref, platform string) (ocispecs.Manifest, error)
}

// Memory is a frontend.Memory: this machine's store first, then the images that
// the user named.
type Memory struct {
	Store       *Store
	Dockerfiles Dockerfiles
	Manifests   Manifests
	// Images are the images whose annotations are believed, as far as their
	// build cache would be: those of --cache-from, and the tags being replaced.
	Images []string
}

var _ frontend.Memory = (*Memory)(nil)

// lookTime bounds how long an image is asked for: facts can be read elsewhere.
const lookTime = 10 * time.Second

// Recall implements frontend.Memory. Images are not asked when this machine
// knows the very base.
func (m *Memory) Recall(ctx context.Context, base frontend.Base) (out []frontend.Remembered, remarks []string) {
	out = m.Store.Recall(base)
	if len(out) > 0 && out[0].Base == base {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	for _, ref := range m.Images {
		r, remark := m.carried(ctx, ref, base)
		if remark != "" {
			remarks = append(remarks, remark)
		}
		if r != nil {
			out = append(out, *r)
		}
	}
	return sortByDigest(out, base), remarks
}

// Keep implements frontend.Memory.
func (m *Memory) Keep(base frontend.Base, facts skeleton.Facts) { m.Store.Keep(base, facts) }

// HadNoRanges implements frontend.Memory.
func (m *Memory) HadNoRanges(dockerfile string) bool { return m.Dockerfiles.HadNoRanges(dockerfile) }

// KeepRanges implements frontend.Memory.
func (m *Memory) KeepRanges(dockerfile string, has bool) { m.Dockerfiles.Keep(dockerfile, has) }

// carried reads the facts that an image carries. An image that is not there, or
// has none, is nothing to speak of.
func (m *Memory) carried(ctx context.Context, ref string, base frontend.Base) (*frontend.Remembered, string) {
	mfst, err := m.Manifests.Manifest(ctx, ref, base.Platform)
	if err != nil {
		return nil, ""
	}
	value, ok := mfst.Annotations[frontend.FactsAnnotation]
	if !ok {
		return nil, ""
	}
	of, facts, err := frontend.DecodeFacts(value)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("the facts that %s carries are ignored: %v", ref, err)
	case of.Platform != base.Platform:
		return nil, fmt.Sprintf("the facts that %s carries are ignored: they are about %s", ref, of.Platform)
	}
	return &frontend.Remembered{Base: of, Facts: facts, From: "carried by " + ref}, ""
}

// sortByDigest puts what is about the very base first, and keeps the order
// otherwise.
func sortByDigest(all []frontend.Remembered, base frontend.Base) []frontend.Remembered {
	var same, others []frontend.Remembered
	for _, r := range all {
		if r.Base == base {
			same = append(same, r)
		} else {
			others = append(others, r)
		}
	}
	return append(same, others...)
}
