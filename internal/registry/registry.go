// Package registry reads image manifests from registries, and writes them, with
// the credentials that the Docker CLI has. Layers stay where they are.
package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/docker/buildx/util/imagetools"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Reader reads manifests, each once.
type Reader struct {
	resolver *imagetools.Resolver

	mu   sync.Mutex
	read map[string]*manifest
}

type manifest struct {
	once sync.Once
	ocispecs.Manifest
	err error
}

// NewReader makes a reader with buildx's way to registries.
func NewReader(opt imagetools.Opt) *Reader {
	return &Reader{resolver: imagetools.New(opt), read: map[string]*manifest{}}
}

// Manifest returns the manifest of an image for a platform ("os/arch[/variant]").
func (r *Reader) Manifest(ctx context.Context, ref, platform string) (ocispecs.Manifest, error) {
	r.mu.Lock()
	m := r.read[ref+" "+platform]
	if m == nil {
		m = &manifest{}
		r.read[ref+" "+platform] = m
	}
	r.mu.Unlock()
	m.once.Do(func() { m.Manifest, m.err = r.manifest(quiet(ctx), ref, platform) })
	return m.Manifest, m.err
}

// Size returns the size of the layers of an image for a platform, as they are
// stored, in bytes.
func (r *Reader) Size(ctx context.Context, ref, platform string) (int64, error) {
	m, err := r.Manifest(ctx, ref, platform)
	var size int64
	for _, l := range m.Layers {
		size += l.Size
	}
	return size, err
}

func (r *Reader) manifest(ctx context.Context, ref, platform string) (m ocispecs.Manifest, err error) {
	dt, desc, err := r.resolver.Get(ctx, ref)
	if err != nil {
		return m, fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	if images.IsIndexType(desc.MediaType) {
		if dt, err = r.forPlatform(ctx, ref, dt, platform); err != nil {
			return m, err
		}
	}
	if err := json.Unmarshal(dt, &m); err != nil {
		return m, fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	return m, nil
}

func (r *Reader) forPlatform(ctx context.Context, ref string, index []byte, platform string) ([]byte, error) {
	p, err := platforms.Parse(platform)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	var idx ocispecs.Index
	if err := json.Unmarshal(index, &idx); err != nil {
		return nil, fmt.Errorf("reading the index of %s: %w", ref, err)
	}
	for _, desc := range idx.Manifests {
		if desc.Platform == nil || !platforms.NewMatcher(p).Match(*desc.Platform) {
			continue
		}
		loc, err := imagetools.ParseLocation(ref)
		if err != nil {
			return nil, fmt.Errorf("reading the manifest of %s: %w", ref, err)
		}
		dt, err := r.resolver.GetDescriptor(ctx, loc, desc)
		if err != nil {
			return nil, fmt.Errorf("reading the manifest of %s for %s: %w", ref, platform, err)
		}
		return dt, nil
	}
	return nil, fmt.Errorf("reading the index of %s: it has no image for %s", ref, platform)
}
