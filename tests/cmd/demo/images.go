package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func (d *demo) pull(ref string) v1.Image {
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		d.t.Fatalf("reading the name of an image: %v", err)
	}
	image, err := remote.Image(parsed)
	if err != nil {
		d.t.Fatalf("reading %s: %v", ref, err)
	}
	return image
}

// copyImage gives an image another name.
func (d *demo) copyImage(from, to string) { d.bed.Push(d.t, to, d.pull(from)) }

// newer makes what a distribution makes when it has a security update: an image
// of one new layer, in which little is another than before.
func (d *demo) newer(ref string) v1.Image {
	image, err := updated(d.pull(ref), filepath.Join(d.t.TempDir(), "layer.tar.gz"))
	if err != nil {
		d.t.Fatalf("making the newer base: %v", err)
	}
	return image
}

func updated(old v1.Image, file string) (v1.Image, error) {
	layer, err := updatedLayer(old, file)
	if err != nil {
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
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "debootstrap, updated"}})
}

func updatedLayer(old v1.Image, file string) (v1.Layer, error) {
	layers, err := old.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, fmt.Errorf("the base has %d layers, not the one that debootstrap makes", len(layers))
	}
	in, err := layers[0].Uncompressed()
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

// updates are the files that the newer base has another content of.
var updates = map[string]string{
	"./etc/debian_version":              "12.99\n",
	"./usr/share/doc/libc6/NEWS.Debian": "A security update, made up for the demo.\n",
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
		if _, ok := updates[header.Name]; ok {
			continue
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
	for file, content := range updates {
		if err := out.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := io.WriteString(out, content); err != nil {
			return err
		}
	}
	return out.Close()
}

// sizes are the sizes of the layers of images in the registry, by digest.
func (d *demo) sizes(refs ...string) map[string]int64 {
	sizes := map[string]int64{}
	for _, ref := range refs {
		if !d.bed.Exists(d.t, ref) {
			continue
		}
		for _, l := range d.bed.Image(d.t, ref, "").Manifest.Layers {
			sizes[l.Digest.String()] = l.Size
		}
	}
	return sizes
}

// amount is an amount of layers.
type amount struct {
	layers int
	bytes  int64
}

// add counts the layers that are among the digests; configs are not.
func (a *amount) add(digests []string, sizes map[string]int64) {
	for _, digest := range digests {
		if size, ok := sizes[digest]; ok {
			a.layers++
			a.bytes += size
		}
	}
}
