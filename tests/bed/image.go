package bed

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Image is an image as it was read from the registry, for one platform.
type Image struct {
	Ref, Digest string
	Platform    string
	Tree        Tree
	Anomalies   []string
	// LayerPaths has the paths of each layer's entries, directories left out.
	LayerPaths [][]string
	// Config is the config file, and RawConfig its text, which has what Config
	// has no field for.
	Config    *v1.ConfigFile
	RawConfig []byte
	Manifest  *v1.Manifest
	// ClockFrom is when the build of the image began. Times after it come from
	// the clock and are not compared. The zero time is no tolerance.
	ClockFrom time.Time
}

// userAgent tells the bed's own requests from those that tests account for.
const userAgent = "relink-bed"

// Layers gives the digests of the image's layers, the lowest first.
func (i Image) Layers() []string {
	var digests []string
	for _, layer := range i.Manifest.Layers {
		digests = append(digests, layer.Digest.String())
	}
	return digests
}

// Exists tells whether the registry has something under ref.
func (b *Bed) Exists(t testing.TB, ref string) bool {
	t.Helper()
	_, err := remote.Head(parse(t, ref), remote.WithUserAgent(userAgent))
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return false
	}
	if err != nil {
		t.Fatalf("looking for %s: %v", ref, err)
	}
	return true
}

// Image reads the image under ref. Of an index it takes the one for platform,
// or the first when platform is empty.
func (b *Bed) Image(t testing.TB, ref, platform string) Image {
	t.Helper()
	images := b.Images(t, ref)
	for _, image := range images {
		if platform == "" || image.Platform == platform {
			return image
		}
	}
	t.Fatalf("%s has no image for %q", ref, platform)
	return Image{}
}

// Images reads all the images under ref, attestations left out.
func (b *Bed) Images(t testing.TB, ref string) []Image {
	t.Helper()
	descriptor, err := remote.Get(parse(t, ref), remote.WithUserAgent(userAgent))
	if err != nil {
		t.Fatalf("reading %s: %v", ref, err)
	}
	if !descriptor.MediaType.IsIndex() {
		image, err := descriptor.Image()
		if err != nil {
			t.Fatalf("reading %s: %v", ref, err)
		}
		return []Image{read(t, ref, image)}
	}
	index, err := descriptor.ImageIndex()
	if err != nil {
		t.Fatalf("reading %s: %v", ref, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatalf("reading the index of %s: %v", ref, err)
	}
	var images []Image
	for _, entry := range manifest.Manifests {
		if entry.Platform != nil && entry.Platform.OS == "unknown" {
			continue
		}
		image, err := index.Image(entry.Digest)
		if err != nil {
			t.Fatalf("reading %s of %s: %v", entry.Digest, ref, err)
		}
		images = append(images, read(t, ref, image))
	}
	return images
}

func parse(t testing.TB, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatalf("parsing the reference: %v", err)
	}
	return parsed
}

func read(t testing.TB, ref string, image v1.Image) Image {
	t.Helper()
	out, err := readImage(image)
	if err != nil {
		t.Fatalf("reading %s: %v", ref, err)
	}
	out.Ref = ref
	return out
}

func readImage(image v1.Image) (out Image, err error) {
	digest, err := image.Digest()
	if err != nil {
		return Image{}, fmt.Errorf("reading the digest: %w", err)
	}
	out.Digest = digest.String()
	if out.Manifest, err = image.Manifest(); err != nil {
		return Image{}, fmt.Errorf("reading the manifest: %w", err)
	}
	if out.RawConfig, err = image.RawConfigFile(); err != nil {
		return Image{}, fmt.Errorf("reading the config: %w", err)
	}
	if err := json.Unmarshal(out.RawConfig, &out.Config); err != nil {
		return Image{}, fmt.Errorf("parsing the config: %w", err)
	}
	out.Platform = out.Config.Platform().String()
	layers, err := image.Layers()
	if err != nil {
		return Image{}, fmt.Errorf("reading the layers: %w", err)
	}
	var parsed [][]layerEntry
	for _, layer := range layers {
		entries, err := knownLayers.read(layer)
		if err != nil {
			return Image{}, fmt.Errorf("reading a layer: %w", err)
		}
		parsed = append(parsed, entries)
		out.LayerPaths = append(out.LayerPaths, leaves(entries))
	}
	if out.Tree, out.Anomalies, err = flatten(parsed...); err != nil {
		return Image{}, err
	}
	slices.Sort(out.Anomalies)
	return out, nil
}

func leaves(entries []layerEntry) []string {
	var paths []string
	for _, entry := range entries {
		if entry.header.Typeflag != tar.TypeDir {
			paths = append(paths, entry.path)
		}
	}
	slices.Sort(paths)
	return paths
}

// layerCache keeps what was read of layers: most images of a test run have the
// same few bases below them.
type layerCache struct {
	mu      sync.Mutex
	entries map[v1.Hash][]layerEntry
}

var knownLayers = layerCache{entries: map[v1.Hash][]layerEntry{}}

func (c *layerCache) read(layer v1.Layer) ([]layerEntry, error) {
	digest, err := layer.Digest()
	if err != nil {
		return nil, fmt.Errorf("reading the digest: %w", err)
	}
	c.mu.Lock()
	entries, ok := c.entries[digest]
	c.mu.Unlock()
	if ok {
		return entries, nil
	}
	reader, err := layer.Uncompressed()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", digest, err)
	}
	defer reader.Close()
	if entries, err = readLayer(reader); err != nil {
		return nil, fmt.Errorf("reading %s: %w", digest, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[digest] = entries
	return entries, nil
}
