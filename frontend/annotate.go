package frontend

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/skeleton"
)

// FactsAnnotation is the annotation of an image's manifest that carries what is
// known of its base, for the next build on a machine that knows nothing.
const FactsAnnotation = "com.github.docker-relink.facts"

// maxAnnotation bounds the annotation: registries bound whole manifests.
const maxAnnotation = 16 << 10

// factsDocument is the annotation's value.
type factsDocument struct {
	Version    int            `json:"v"`
	Repository string         `json:"repository,omitempty"`
	Digest     string         `json:"digest"`
	Platform   string         `json:"platform"`
	Facts      skeleton.Facts `json:"facts"`
}

const factsVersion = 1

// EncodeFacts writes facts about a base, "" when they are too many to be
// written.
func EncodeFacts(base Base, facts skeleton.Facts) (string, error) {
	dt, err := json.Marshal(factsDocument{factsVersion, base.Repository, base.Digest, base.Platform, facts})
	if err != nil {
		return "", fmt.Errorf("writing facts: %w", err)
	}
	if len(dt) > maxAnnotation {
		return "", nil
	}
	return string(dt), nil
}

// DecodeFacts reads facts that anybody may have written: all of it is checked,
// and what is damaged, too large or of another version is an error.
func DecodeFacts(value string) (Base, skeleton.Facts, error) {
	if len(value) > maxAnnotation {
		return Base{}, skeleton.Facts{}, fmt.Errorf("reading facts: %d bytes are too many", len(value))
	}
	var doc factsDocument
	if err := json.Unmarshal([]byte(value), &doc); err != nil {
		return Base{}, skeleton.Facts{}, fmt.Errorf("reading facts: %w", err)
	}
	if doc.Version != factsVersion {
		return Base{}, skeleton.Facts{}, fmt.Errorf("reading facts: version %d is not known", doc.Version)
	}
	return Base{Repository: doc.Repository, Digest: doc.Digest, Platform: doc.Platform}, doc.Facts, nil
}

// annotate puts the base's name and the facts into the annotations of the
// platform's manifest, but for those that the user set.
func (f *Frontend) annotate(res *gateway.Result, l *linking) error {
	if f.Reserved == nil {
		return nil
	}
	values := map[string]string{}
	if name, dgst, ok := strings.Cut(baseImage(l.stock, l.stock.Root()), "@"); ok {
		values[ocispecs.AnnotationBaseImageName] = name
		values[ocispecs.AnnotationBaseImageDigest] = dgst
	}
	if l.def != nil && l.report.Mode != LinkAlways {
		value, err := l.plan.encodeFacts()
		if err != nil {
			return err
		}
		values[FactsAnnotation] = value
	}
	platform, err := parsePlatform(l.id)
	if err != nil {
		return err
	}
	for key, value := range values {
		if value != "" && !f.Reserved(key) {
			res.AddMeta(exptypes.AnnotationManifestKey(platform, key), []byte(value))
		}
	}
	return nil
}

// encodeFacts writes what the plan rests upon. What was inherited is handed on
// as what it is: facts about another base.
func (p *plan) encodeFacts() (string, error) {
	if p.inherited != nil {
		return EncodeFacts(p.inherited.Base, p.inherited.Facts)
	}
	return EncodeFacts(p.base, p.facts)
}

func parsePlatform(id string) (*ocispecs.Platform, error) {
	if id == "" {
		return nil, nil
	}
	p, err := platforms.Parse(id)
	if err != nil {
		return nil, fmt.Errorf("reading the platforms of the result: %w", err)
	}
	return &p, nil
}
