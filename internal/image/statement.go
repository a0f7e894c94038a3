package image

import (
	"fmt"
	"slices"
	"time"

	"github.com/moby/buildkit/util/purl"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Statement is an in-toto statement with SLSA provenance
// (https://slsa.dev/spec/v1.0/provenance).
type Statement struct {
	Type          string     `json:"_type"`
	PredicateType string     `json:"predicateType"`
	Subject       []resource `json:"subject"`
	Predicate     predicate  `json:"predicate"`
}

type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	BuildDefinition definition `json:"buildDefinition"`
	RunDetails      runDetails `json:"runDetails"`
}

type definition struct {
	BuildType          string     `json:"buildType"`
	ExternalParameters parameters `json:"externalParameters"`
	Dependencies       []resource `json:"resolvedDependencies"`
}

type parameters struct {
	Request request `json:"request"`
}

type request struct {
	Args map[string]string `json:"args"`
}

type runDetails struct {
	Builder  builder  `json:"builder"`
	Metadata metadata `json:"metadata"`
}

type builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

type metadata struct {
	StartedOn  time.Time `json:"startedOn"`
	FinishedOn time.Time `json:"finishedOn"`
}

// The names in a statement. docs/rebase.md describes the build type.
const (
	statementType   = "https://in-toto.io/Statement/v1"
	slsaProvenance1 = "https://slsa.dev/provenance/v1"
	rebaseBuilder   = "https://github.com/docker-relink/relink"
	rebaseBuildType = rebaseBuilder + "/blob/main/docs/rebase.md"
)

// Run is a rebase that provenance tells about.
type Run struct {
	// Tags are the names of the result.
	Tags []string
	// Platform is the one of the image that the statement is about.
	Platform ocispecs.Platform
	// Materials are the images that it was made of.
	Materials []Base
	// Args are the request's.
	Args              map[string]string
	Version           string // of this program
	Started, Finished time.Time
}

// Attest is the provenance of the image with the manifest. The error is about a
// name that is no reference.
func (r Run) Attest(manifest digest.Digest) (*Statement, error) {
	s := &Statement{Type: statementType, PredicateType: slsaProvenance1}
	for _, tag := range r.Tags {
		name, err := purl.RefToPURL("docker", tag, &r.Platform)
		if err != nil {
			return nil, fmt.Errorf("writing provenance: %w", err)
		}
		s.Subject = append(s.Subject, resource{Name: name, Digest: digests(manifest)})
	}
	d := &s.Predicate.BuildDefinition
	d.BuildType, d.ExternalParameters.Request.Args = rebaseBuildType, r.Args
	for _, m := range r.Materials {
		uri, err := purl.RefToPURL("docker", m.Reference(), &r.Platform)
		if err != nil {
			return nil, fmt.Errorf("writing provenance: %w", err)
		}
		material := resource{URI: uri, Digest: digests(m.Digest)}
		if !slices.ContainsFunc(d.Dependencies, func(o resource) bool { return o.URI == uri }) {
			d.Dependencies = append(d.Dependencies, material)
		}
	}
	s.Predicate.RunDetails = runDetails{
		Builder:  builder{ID: rebaseBuilder, Version: map[string]string{"relink": r.Version}},
		Metadata: metadata{StartedOn: r.Started.UTC(), FinishedOn: r.Finished.UTC()},
	}
	return s, nil
}

func digests(d digest.Digest) map[string]string {
	return map[string]string{d.Algorithm().String(): d.Encoded()}
}
