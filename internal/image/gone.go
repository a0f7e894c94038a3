package image

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxProvenance is what BuildKit's provenance of mode max has besides, in the
// places of SLSA v1 and v0.2.
type maxProvenance struct {
	Predicate       *maxProvenance `json:"predicate"`
	BuildDefinition struct {
		InternalParameters struct {
			BuildConfig buildConfig `json:"buildConfig"`
		} `json:"internalParameters"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Metadata struct {
			BuildKit buildKitMetadata `json:"buildkit_metadata"`
		} `json:"metadata"`
	} `json:"runDetails"`

	BuildConfig buildConfig `json:"buildConfig"`
	Metadata    struct {
		BuildKit buildKitMetadata `json:"https://mobyproject.org/buildkit@v1#metadata"`
	} `json:"metadata"`
}

type buildConfig struct {
	Definition []buildStep `json:"llbDefinition"`
}

type buildStep struct {
	ID string `json:"id"`
	Op struct {
		Op struct {
			Source struct {
				Identifier string            `json:"identifier"`
				Attrs      map[string]string `json:"attrs"`
			} `json:"source"`
		} `json:"Op"`
	} `json:"op"`
}

type buildKitMetadata struct {
	Layers map[string][][]ocispecs.Descriptor `json:"layers"`
}

// LayersFromProvenance tells which of an image's layers, given by the digests
// that its manifest has, it got from the image that it was built on: BuildKit's
// provenance of mode max records the layers of each step. So the cut is known
// even when the base is gone. n is 0 where nothing is recorded. The error is
// about provenance that can not be read.
func LayersFromProvenance(predicate []byte, layers []digest.Digest) (n int, err error) {
	p := &maxProvenance{}
	if err := json.Unmarshal(predicate, p); err != nil {
		return 0, fmt.Errorf("reading provenance: %w", err)
	}
	if p.Predicate != nil {
		p = p.Predicate
	}
	steps := slices.Concat(p.BuildDefinition.InternalParameters.BuildConfig.Definition, p.BuildConfig.Definition)
	recorded := p.RunDetails.Metadata.BuildKit.Layers
	if len(recorded) == 0 {
		recorded = p.Metadata.BuildKit.Layers
	}
	for _, step := range steps {
		source := step.Op.Op.Source
		if !strings.HasPrefix(source.Identifier, "docker-image://") || source.Attrs["image.layerlimit"] != "" {
			continue
		}
		for _, chain := range recorded[step.ID+":0"] {
			var digests []digest.Digest
			for _, desc := range chain {
				digests = append(digests, desc.Digest)
			}
			if CheckPrefix(layers, digests) == nil {
				n = max(n, len(digests))
			}
		}
	}
	return n, nil
}

// What differs between a base and its successor where nothing but versions did.
var (
	hashes  = regexp.MustCompile(`[0-9a-f]{12,}`)
	numbers = regexp.MustCompile(`[0-9]+`)
)

// LayersFromHistory tells how many layers an image got from its base by the
// instructions in its history: those of the new base, but for numbers and
// hashes, stand at its beginning. That is so where the new base is the old one
// made anew from the same Dockerfile; it is a guess, which the caller should say.
// first is the image's own first instruction. n is 0 where the histories tell
// nothing.
func LayersFromHistory(image, newBase *Config) (n int, first string) {
	base, whole := newBase.History, image.History
	if len(base) == 0 || len(base) >= len(whole) || CountLayers(base) != len(newBase.RootFS.DiffIDs) || CountLayers(whole) != len(image.RootFS.DiffIDs) {
		return 0, ""
	}
	for i, h := range base {
		if h.EmptyLayer != whole[i].EmptyLayer || skeletonOf(h.CreatedBy) != skeletonOf(whole[i].CreatedBy) {
			return 0, ""
		}
	}
	return CountLayers(whole[:len(base)]), whole[len(base)].CreatedBy
}

func skeletonOf(instruction string) string {
	return numbers.ReplaceAllString(hashes.ReplaceAllString(instruction, "#"), "0")
}
