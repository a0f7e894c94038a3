package image

import (
	"testing"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestSquashHistory holds a squashed config to the kept layers' history and one
// entry.
func TestSquashHistory(t *testing.T) {
	layer := func(by string) ocispecs.History { return ocispecs.History{CreatedBy: by} }
	empty := func(by string) ocispecs.History { return ocispecs.History{CreatedBy: by, EmptyLayer: true} }
	base := []ocispecs.History{layer("ADD"), empty("CMD")}
	history := []ocispecs.History{layer("ADD"), empty("CMD"), empty("ENV"), layer("RUN"), layer("COPY"), empty("USER")}
	for _, test := range []struct {
		name    string
		history []ocispecs.History
		base    []ocispecs.History
		kept    int
		above   []SquashPart
		want    []string
	}{
		{"the base is known", history, base, 1, nil, []string{"ADD", "CMD", "squash"}},
		{"the base is not known", history, nil, 1, nil, []string{"ADD", "squash"}},
		{"part of the layers", history, nil, 2, nil, []string{"ADD", "CMD", "ENV", "RUN", "squash"}},
		{"all", history, nil, 0, nil, []string{"squash"}},
		{"no history", nil, nil, 2, nil, []string{"", "", "squash"}},
		{"a base of another history", history, []ocispecs.History{layer("FROM")}, 1, nil, []string{"ADD", "squash"}},
		{"a layer that stays", history, base, 1, []SquashPart{{Entry: layer("squash")}, {Layer: 3}}, []string{"ADD", "CMD", "squash", "COPY"}},
		{"a layer that stays, of an unknown base", history, nil, 1, []SquashPart{{Layer: 2}, {Entry: layer("squash")}}, []string{"ADD", "RUN", "squash"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := &Config{}
			cfg.History = test.history
			for range 3 {
				cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, digest.FromString("layer"))
			}
			if test.above == nil {
				test.above = []SquashPart{{Entry: layer("squash")}}
			}
			got, err := Squash(SquashInput{Image: cfg, Layers: 3, Kept: test.kept, Base: test.base, Above: test.above})
			if err != nil {
				t.Fatal(err)
			}
			var by []string
			for _, h := range got.History {
				by = append(by, h.CreatedBy)
			}
			if len(by) != len(test.want) {
				t.Fatalf("history %q, want %q", by, test.want)
			}
			for i := range by {
				if by[i] != test.want[i] {
					t.Errorf("history %q, want %q", by, test.want)
				}
			}
			if n := CountLayers(got.History); n != test.kept+len(test.above) || len(got.RootFS.DiffIDs) != test.kept {
				t.Errorf("%d entries with a layer and %d DiffIDs, of %d layers that stay", n, len(got.RootFS.DiffIDs), test.kept)
			}
		})
	}
	if _, err := Squash(SquashInput{Image: &Config{}, Layers: 1, Kept: 2}); err == nil {
		t.Error("more layers stay than there are, and there is no error")
	}
}
