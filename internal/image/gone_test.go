package image

import (
	"testing"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestLayersFromProvenance(t *testing.T) {
	const steps = `"llbDefinition":[
		{"id":"step0","op":{"Op":{"source":{"identifier":"docker-image://base"}}}},
		{"id":"step1","op":{"Op":{"source":{"identifier":"docker-image://other"}}}},
		{"id":"step2","op":{"Op":{"source":{"identifier":"docker-image://cut","attrs":{"image.layerlimit":"3"}}}}},
		{"id":"step3","op":{"Op":{"file":{}}}}]`
	const layers = `"layers":{"step0:0":[[{"digest":"sha256:a"},{"digest":"sha256:b"}]],"step1:0":[[{"digest":"sha256:a"},{"digest":"sha256:x"}]],
		"step2:0":[[{"digest":"sha256:a"},{"digest":"sha256:b"},{"digest":"sha256:c"}]],"step3:0":[[{"digest":"sha256:a"},{"digest":"sha256:b"},{"digest":"sha256:c"}]]}`
	v1 := `{"buildDefinition":{"internalParameters":{"buildConfig":{` + steps + `}}},"runDetails":{"metadata":{"buildkit_metadata":{` + layers + `}}}}`
	v02 := `{"buildConfig":{` + steps + `},"metadata":{"https://mobyproject.org/buildkit@v1#metadata":{` + layers + `}}}`
	image := []digest.Digest{"sha256:a", "sha256:b", "sha256:c", "sha256:d"}
	for name, tc := range map[string]struct {
		predicate string
		image     []digest.Digest
		want      int
	}{
		"v1":            {v1, image, 2},
		"v0.2":          {v02, image, 2},
		"a statement":   {`{"predicate":` + v1 + `}`, image, 2},
		"another image": {v1, []digest.Digest{"sha256:z"}, 0},
		"mode min":      {`{"buildDefinition":{}}`, image, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := LayersFromProvenance([]byte(tc.predicate), tc.image)
			if err != nil || got != tc.want {
				t.Errorf("%d, %v; want %d", got, err, tc.want)
			}
		})
	}
	if _, err := LayersFromProvenance([]byte("{"), image); err == nil {
		t.Error("no error for what is no JSON")
	}
}

func imageOf(layers int, instructions ...string) *Config {
	c := &Config{}
	for i, s := range instructions {
		c.History = append(c.History, ocispecs.History{CreatedBy: s, EmptyLayer: i >= layers && s[0] != 'C'})
	}
	c.RootFS.DiffIDs = make([]digest.Digest, CountLayers(c.History))
	return c
}

func TestLayersFromHistory(t *testing.T) {
	base := imageOf(1, "ADD file:0123456789abcdef in /", "ENV VERSION=12.1")
	for name, tc := range map[string]struct {
		image *Config
		want  int
	}{
		"made anew":             {imageOf(1, "ADD file:fedcba9876543210 in /", "ENV VERSION=12.0", "COPY a b"), 1},
		"another instruction":   {imageOf(1, "ADD file:fedcba9876543210 in /", "ENV NAME=x", "COPY a b"), 0},
		"nothing of its own":    {imageOf(1, "ADD file:fedcba9876543210 in /", "ENV VERSION=12.0"), 0},
		"a layer not in it":     {&Config{}, 0},
		"a layer where is none": {imageOf(2, "ADD file:fedcba9876543210 in /", "ENV VERSION=12.0", "COPY a b"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			n, first := LayersFromHistory(tc.image, base)
			if n != tc.want || (n > 0) != (first == "COPY a b") {
				t.Errorf("%d layers before %q, want %d", n, first, tc.want)
			}
		})
	}
}
