package image

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

const dockerPURL = "pkg:docker/"

// packageURL is a package URL of type docker:
// pkg:docker/namespace/name@version?qualifiers
// (https://github.com/package-url/purl-spec). It is read here, and not by
// BuildKit's util/purl, because the parser below that panics on a qualifier
// without a value, and provenance comes from strangers.
type packageURL struct {
	name       string // namespace and name, the registry's host among them if it is named there
	version    string // tag or digest
	qualifiers map[string]string
}

func parsePackageURL(s string) (packageURL, error) {
	rest, ok := strings.CutPrefix(s, dockerPURL)
	if !ok {
		return packageURL{}, fmt.Errorf("want a package URL that begins with %s", dockerPURL)
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	name, version := rest, ""
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		name, version = rest[:i], rest[i+1:]
	}
	p := packageURL{}
	var errName, errVersion, errQuery error
	p.name, errName = url.PathUnescape(strings.Trim(name, "/"))
	p.version, errVersion = url.PathUnescape(version)
	p.qualifiers, errQuery = parseQualifiers(query)
	if err := errors.Join(errName, errVersion, errQuery); err != nil {
		return packageURL{}, err
	}
	return p, nil
}

func parseQualifiers(query string) (map[string]string, error) {
	qualifiers := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(v)
		if err != nil {
			return nil, fmt.Errorf("qualifier %s: %w", k, err)
		}
		qualifiers[strings.ToLower(k)] = value
	}
	return qualifiers, nil
}

// namesImage says whether the package is an image. BuildKit marks blobs and
// bundles, which share the type, with the qualifier ref_type
// (solver/llbsolver/provenance/predicate.go).
func (p packageURL) namesImage() bool {
	return p.qualifiers["ref_type"] == ""
}

// base is the image that the package URL names. The qualifiers are those that
// BuildKit writes (util/purl/image.go), and the standard repository_url.
func (p packageURL) base() (Base, error) {
	ref := p.name
	if host := p.qualifiers["repository_url"]; host != "" {
		ref = strings.TrimSuffix(strings.TrimPrefix(host, "https://"), "/") + "/" + ref
	}
	recorded := p.qualifiers["digest"]
	if _, err := digest.Parse(p.version); err == nil {
		recorded = p.version
	} else if p.version != "" {
		ref += ":" + p.version
	}
	if recorded != "" {
		ref += "@" + recorded
	}
	name, dgst, err := parseName(ref)
	if err != nil {
		return Base{}, err
	}
	platform, err := p.platform()
	if err != nil {
		return Base{}, err
	}
	return Base{Name: name, Digest: dgst, Platform: platform}, nil
}

func (p packageURL) platform() (*ocispecs.Platform, error) {
	s := p.qualifiers["platform"]
	// A platform without architecture would be completed by the host's.
	if !strings.Contains(s, "/") {
		return nil, nil
	}
	platform, err := platforms.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("qualifier platform: %w", err)
	}
	platform.OSVersion, platform.OSFeatures = "", nil
	return &platform, nil
}
