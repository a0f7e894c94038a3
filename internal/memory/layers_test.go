package memory

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/docker-relink/relink/internal/changes"
)

func TestLayers(t *testing.T) {
	layers := Layers{Dir: filepath.Join(t.TempDir(), "layers")}
	id := digest.FromString("layer")
	if layers.Has(id) || layers.Has("../etc/passwd") {
		t.Error("a layer that was never kept is known")
	}
	layer, err := changes.ReadLayer(bytes.NewReader(make([]byte, 1024)))
	if err != nil {
		t.Fatal(err)
	}
	if err := layers.Keep(id, layer); err != nil {
		t.Fatal(err)
	}
	got, err := layers.Load(id)
	if err != nil || !layers.Has(id) || len(changes.Compare(changes.NewTree(layer), changes.NewTree(got))) > 0 {
		t.Errorf("it is %v (%v), want %v", got, err, layer)
	}

	if err := os.WriteFile(layers.file(id), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := layers.Load(id); err == nil || layers.Has(id) {
		t.Errorf("a damaged file is still there (%v)", err)
	}
}

func TestLayersAreForgotten(t *testing.T) {
	layers := Layers{Dir: t.TempDir()}
	old, used := layers.file(digest.FromString("old")), layers.file(digest.FromString("used"))
	for name, age := range map[string]time.Duration{old: time.Hour, used: 0} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, maxLayers/2+1); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := layers.prune(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("what was not used for long is still there")
	}
	if _, err := os.Stat(used); err != nil {
		t.Error("what was used last is gone")
	}
}
