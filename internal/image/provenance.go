package image

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// material is a build's input in SLSA provenance: an entry of "materials" in
// v0.1 and v0.2, of "resolvedDependencies" in v1.
type material struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// provenance is what the predicate versions have in common for us. A whole
// in-toto statement is read, too: it carries the predicate in a field.
type provenance struct {
	Predicate       json.RawMessage `json:"predicate"`
	Materials       []material      `json:"materials"`
	BuildDefinition struct {
		ResolvedDependencies []material `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
}

// BaseFromProvenance reads the images that a build started from out of SLSA
// provenance, a predicate or the in-toto statement around it: materials
// (https://slsa.dev/spec/v0.2/provenance) or resolvedDependencies
// (https://slsa.dev/spec/v1.0/provenance) whose URI is a package URL of type
// docker, as BuildKit writes them.
//
// They are candidates, in the order of the provenance and each once: a build
// names the images of all its stages, its Dockerfile frontend and its scanners,
// and provenance does not say which of them the target stage was based on. Let
// MatchPrefix choose. Images of a local OCI layout, blobs and bundles are left
// out: nothing can be resolved from their names. No candidates is no error; a
// predicate or a package URL that can not be read is.
func BaseFromProvenance(predicate []byte) ([]Base, error) {
	p, err := parseProvenance(predicate)
	if err != nil {
		return nil, fmt.Errorf("reading provenance: %w", err)
	}
	var bases []Base
	for _, m := range slices.Concat(p.Materials, p.BuildDefinition.ResolvedDependencies) {
		b, ok, err := m.base()
		if err != nil {
			return nil, fmt.Errorf("reading provenance: material %q: %w", m.URI, err)
		}
		if ok && !slices.ContainsFunc(bases, b.equal) {
			bases = append(bases, b)
		}
	}
	return bases, nil
}

func parseProvenance(dt []byte) (*provenance, error) {
	var p provenance
	if err := json.Unmarshal(dt, &p); err != nil {
		return nil, err
	}
	if len(p.Predicate) == 0 || string(p.Predicate) == "null" {
		return &p, nil
	}
	var inner provenance
	if err := json.Unmarshal(p.Predicate, &inner); err != nil {
		return nil, fmt.Errorf("predicate: %w", err)
	}
	return &inner, nil
}

// base is the image that a material names; ok is false for what is no image.
func (m material) base() (b Base, ok bool, err error) {
	if !strings.HasPrefix(m.URI, dockerPURL) {
		return Base{}, false, nil
	}
	p, err := parsePackageURL(m.URI)
	if err != nil || !p.namesImage() {
		return Base{}, false, err
	}
	if b, err = p.base(); err != nil {
		return Base{}, false, err
	}
	if b.Digest, err = m.digest(b.Digest); err != nil {
		return Base{}, false, err
	}
	return b, true, nil
}

// digest is the one that was recorded with the material, or else the one that
// its URI names. They must not disagree.
func (m material) digest(named digest.Digest) (digest.Digest, error) {
	hex := m.Digest[digest.SHA256.String()]
	if hex == "" {
		return named, nil
	}
	recorded, err := digest.Parse("sha256:" + hex)
	if err != nil {
		return "", fmt.Errorf("digest sha256 %q: %w", hex, err)
	}
	if named != "" && named != recorded {
		return "", fmt.Errorf("it names digest %s, but was recorded with %s", named, recorded)
	}
	return recorded, nil
}

func (b Base) equal(other Base) bool {
	if b.Name != other.Name || b.Digest != other.Digest {
		return false
	}
	if b.Platform == nil || other.Platform == nil {
		return b.Platform == other.Platform
	}
	return formatPlatform(*b.Platform) == formatPlatform(*other.Platform)
}
