package memory

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"
	"github.com/opencontainers/go-digest"

	"github.com/docker-relink/relink/internal/changes"
)

// maxLayers is how much the lists of layers' paths may take on disk; those that
// were used last stay.
const maxLayers = 64 << 20

// layerFormat is in the names of the files, so that another version does not read
// what it does not know.
const layerFormat = ".1.gz"

// Layers keeps the lists of the paths in layers in a folder, one file a layer, by
// its DiffID. What is in a layer never changes, so neither do they.
type Layers struct {
	// Dir is the folder; it is made when something is kept.
	Dir string
}

func (l Layers) file(diffID digest.Digest) string {
	return filepath.Join(l.Dir, strings.Replace(diffID.String(), ":", "-", 1)+layerFormat)
}

// Has says whether a layer's paths are known.
func (l Layers) Has(diffID digest.Digest) bool {
	if diffID.Validate() != nil {
		return false
	}
	_, err := os.Stat(l.file(diffID))
	return err == nil
}

// Load gives the paths of a layer.
func (l Layers) Load(diffID digest.Digest) (changes.Layer, error) {
	data, err := os.ReadFile(l.file(diffID))
	if err != nil {
		return nil, fmt.Errorf("remembering a layer: %w", err)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, l.forget(diffID, err)
	}
	layer, err := changes.DecodeLayer(unzip)
	if err != nil {
		return nil, l.forget(diffID, err)
	}
	now := time.Now()
	_ = os.Chtimes(l.file(diffID), now, now) // it is in use: only its pruning depends on that
	return layer, nil
}

// forget removes a file that is damaged, so that the next run does without.
func (l Layers) forget(diffID digest.Digest, cause error) error {
	return errors.Join(fmt.Errorf("remembering a layer: %w", cause), os.Remove(l.file(diffID)))
}

// Keep writes the paths of a layer down. What was not used for the longest time
// goes when it is too much.
func (l Layers) Keep(diffID digest.Digest, layer changes.Layer) error {
	if l.Has(diffID) || diffID.Validate() != nil {
		return nil
	}
	var data bytes.Buffer
	zip := gzip.NewWriter(&data)
	if err := errors.Join(layer.Encode(zip), zip.Close()); err != nil {
		return err
	}
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return fmt.Errorf("keeping the paths of a layer: %w", err)
	}
	if err := atomicwriter.WriteFile(l.file(diffID), data.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keeping the paths of a layer: %w", err)
	}
	return l.prune()
}

func (l Layers) prune() error {
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return fmt.Errorf("looking for layers to forget: %w", err)
	}
	var files []os.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var size int64
	var errs []error
	for _, f := range files {
		if size += f.Size(); size > maxLayers {
			errs = append(errs, os.Remove(filepath.Join(l.Dir, f.Name())))
		}
	}
	return errors.Join(errs...)
}
