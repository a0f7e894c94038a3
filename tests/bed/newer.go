package bed

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Pull reads an image of the registry to be pushed again, as it is or changed.
func (b *Bed) Pull(t testing.TB, ref string) v1.Image {
	t.Helper()
	image, err := remote.Image(parse(t, ref), remote.WithUserAgent(userAgent))
	if err != nil {
		t.Fatalf("reading %s: %v", ref, err)
	}
	return image
}

// Newer makes what a distribution makes when it has a security update: an image
// that is made anew from its first layer on, in which little is another than
// before.
func (b *Bed) Newer(t testing.TB, old v1.Image) v1.Image {
	t.Helper()
	image, err := newer(old, filepath.Join(t.TempDir(), "layer.tar.gz"))
	if err != nil {
		t.Fatalf("making the newer base: %v", err)
	}
	return image
}

// updates are the files that the newer image has another content of.
var updates = map[string]string{
	"/etc/debian_version":              "12.99\n",
	"/usr/share/doc/libc6/NEWS.Debian": "A security update, made up for the tests.\n",
}

func newer(old v1.Image, file string) (v1.Image, error) {
	layers, err := old.Layers()
	if err != nil {
		return nil, err
	}
	if layers[0], err = updated(layers[0], file); err != nil {
		return nil, err
	}
	config, err := old.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.RootFS.DiffIDs, config.History = nil, nil
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		return nil, err
	}
	for i, layer := range layers {
		addendum := mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: fmt.Sprintf("newer base layer %d", i)}}
		if image, err = mutate.Append(image, addendum); err != nil {
			return nil, err
		}
	}
	return image, nil
}

func updated(old v1.Layer, file string) (v1.Layer, error) {
	in, err := old.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	zip, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(update(zip, in), zip.Close(), out.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(file)
}

// update copies a tar with the updates in it.
func update(to io.Writer, from io.Reader) error {
	out := tar.NewWriter(to)
	for in := tar.NewReader(from); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, ok := updates[path.Clean("/"+header.Name)]; ok {
			continue
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(updates)) {
		content := updates[name]
		header := &tar.Header{Name: "." + name, Mode: 0o644, Size: int64(len(content)), ModTime: oldTime}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.WriteString(out, content); err != nil {
			return err
		}
	}
	return out.Close()
}

// PushWith pushes an image with further layers on it, and gives its reference.
func (b *Bed) PushWith(t testing.TB, name string, image v1.Image, layers ...v1.Layer) string {
	t.Helper()
	whole, err := mutate.AppendLayers(image, layers...)
	if err != nil {
		t.Fatalf("putting layers on an image: %v", err)
	}
	ref := b.Registry.Ref(name)
	b.Push(t, ref, whole)
	return ref
}
