package image

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

func part(layer string) Part {
	return Part{
		Platform:    ocispecs.Platform{OS: "linux", Architecture: "amd64"},
		Config:      []byte(`{"config":"of ` + layer + `"}`),
		Layers:      []ocispecs.Descriptor{{MediaType: images.MediaTypeDockerSchema2LayerGzip, Digest: digest.FromString(layer), Size: 7}},
		Annotations: map[string]string{"a": "b"},
	}
}

// TestAssembleOne makes a manifest of OCI's types alone, and no index.
func TestAssembleOne(t *testing.T) {
	a, err := Assemble([]Part{part("x")}, false, map[string]string{"not": "there"})
	if err != nil {
		t.Fatal(err)
	}
	var m ocispecs.Manifest
	if err := json.Unmarshal(a.Root.Content, &m); err != nil {
		t.Fatal(err)
	}
	if a.Index || len(a.Manifests) != 0 || a.Root.MediaType != ocispecs.MediaTypeImageManifest || m.MediaType != ocispecs.MediaTypeImageManifest {
		t.Errorf("index %v, %d manifests besides, %s, %s", a.Index, len(a.Manifests), a.Root.MediaType, m.MediaType)
	}
	if m.Layers[0].MediaType != ocispecs.MediaTypeImageLayerGzip || m.Config.Digest != digest.FromBytes(a.Blobs[0]) || m.Annotations["a"] != "b" || len(m.Annotations) != 1 {
		t.Errorf("the manifest is %s", a.Root.Content)
	}
}

// TestAssembleIndex has an index where there are attestations, with each beside
// the image that it is about.
func TestAssembleIndex(t *testing.T) {
	run := Run{Tags: []string{"r.example/app:1"}, Materials: []Base{{Name: "r.example/base:1", Digest: digest.FromString("base")}}, Finished: time.Unix(1, 0)}
	attested := part("x")
	attested.Attest = run.Attest
	a, err := Assemble([]Part{attested, part("y")}, false, map[string]string{"of": "the index"})
	if err != nil {
		t.Fatal(err)
	}
	var idx ocispecs.Index
	if err := json.Unmarshal(a.Root.Content, &idx); err != nil {
		t.Fatal(err)
	}
	if !a.Index || len(idx.Manifests) != 3 || len(a.Manifests) != 3 || idx.Annotations["of"] != "the index" {
		t.Fatalf("the index is %s", a.Root.Content)
	}
	about := idx.Manifests[2]
	if about.Annotations["vnd.docker.reference.digest"] != idx.Manifests[0].Digest.String() || about.Platform.OS != "unknown" {
		t.Errorf("the attestation is %+v", about)
	}
	bases, err := BaseFromProvenance(a.Blobs[1])
	if err != nil || len(bases) != 1 || bases[0].Digest != digest.FromString("base") || bases[0].Name != "r.example/base:1" {
		t.Errorf("the provenance names %+v, %v", bases, err)
	}
	known := map[digest.Digest]bool{}
	for _, m := range a.Manifests {
		known[digest.FromBytes(m.Content)] = true
	}
	for _, desc := range idx.Manifests {
		if !known[desc.Digest] {
			t.Errorf("the index names %s, which is not to be written", desc.Digest)
		}
	}
}
