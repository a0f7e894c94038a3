package image

import (
	"maps"
	"strings"
	"testing"

	"github.com/moby/buildkit/util/purl"
	"github.com/opencontainers/go-digest"
)

const (
	nameKey   = "org.opencontainers.image.base.name"
	digestKey = "org.opencontainers.image.base.digest"
)

var digestX, digestY = digest.FromString("x"), digest.FromString("y")

func TestBaseFromAnnotations(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []map[string]string
		ref  string // of the base; "@" and a digest when only that is known; "" when there is none
		err  string
	}{
		{name: "none", in: []map[string]string{nil, {"a": "b"}}},
		{name: "empty is none", in: []map[string]string{{nameKey: "", digestKey: ""}}},
		{name: "short name", in: []map[string]string{{nameKey: "debian:12"}}, ref: "docker.io/library/debian:12"},
		{name: "no tag", in: []map[string]string{{nameKey: "debian"}}, ref: "docker.io/library/debian:latest"},
		{name: "name and digest", in: []map[string]string{{nameKey: "r.example:5000/a/b:1", digestKey: digestX.String()}},
			ref: "r.example:5000/a/b:1@" + digestX.String()},
		{name: "digest in the name", in: []map[string]string{{nameKey: "debian@" + digestX.String()}},
			ref: "docker.io/library/debian@" + digestX.String()},
		{name: "digest alone", in: []map[string]string{{digestKey: digestX.String()}}, ref: "@" + digestX.String()},
		{name: "manifest before index", in: []map[string]string{{nameKey: "a:1", digestKey: digestX.String()}, {nameKey: "b:1", digestKey: digestY.String()}},
			ref: "docker.io/library/a:1@" + digestX.String()},
		{name: "digest lent by the index", in: []map[string]string{{nameKey: "a:1"}, {nameKey: "docker.io/library/a:1", digestKey: digestY.String()}},
			ref: "docker.io/library/a:1@" + digestY.String()},
		{name: "never another base's digest", in: []map[string]string{{nameKey: "a:1"}, {nameKey: "b:1", digestKey: digestY.String()}},
			ref: "docker.io/library/a:1"},
		{name: "name from the index", in: []map[string]string{{digestKey: digestX.String()}, {nameKey: "a:1", digestKey: digestY.String()}},
			ref: "docker.io/library/a:1@" + digestX.String()},
		{name: "bad name", in: []map[string]string{{nameKey: "Not A Name"}}, err: nameKey},
		{name: "bad digest", in: []map[string]string{{nameKey: "a", digestKey: "sha256:1"}}, err: digestKey},
		{name: "two digests", in: []map[string]string{{nameKey: "a@" + digestX.String(), digestKey: digestY.String()}}, err: digestY.String()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, ok, err := BaseFromAnnotations(tc.in...)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			got := b.Reference()
			if b.Name == "" && b.Digest != "" {
				got = "@" + b.Digest.String()
			}
			if err != nil || got != tc.ref || ok != (tc.ref != "") {
				t.Errorf("got %q, %v, %v; want %q", got, ok, err, tc.ref)
			}
		})
	}
}

func TestBaseFromProvenance(t *testing.T) {
	material := func(uri string, d digest.Digest) string {
		return `{"uri":"` + uri + `","digest":{"sha256":"` + d.Encoded() + `"}}`
	}
	debian := material("pkg:docker/debian@12?platform=linux%2Farm64", digestX)
	for _, tc := range []struct {
		name, in string
		want     []string
		err      string
	}{
		{name: "v0.2", in: `{"materials":[` + debian + `]}`,
			want: []string{"docker.io/library/debian:12@" + digestX.String() + " linux/arm64"}},
		{name: "v1", in: `{"buildDefinition":{"resolvedDependencies":[` + debian + `]}}`,
			want: []string{"docker.io/library/debian:12@" + digestX.String() + " linux/arm64"}},
		{name: "statement", in: `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2","subject":[],"predicate":{"materials":[` + debian + `]}}`,
			want: []string{"docker.io/library/debian:12@" + digestX.String() + " linux/arm64"}},
		{name: "all of several, each once, in order",
			in: `{"materials":[` + strings.Join([]string{
				material("pkg:docker/docker/dockerfile@1", digestY), debian, debian,
				material("https://github.com/moby/buildkit.git#refs/heads/master", digestY),
				material("pkg:docker/r.example%3A5000/a/b@1?platform=linux%2Famd64", digestX)}, ",") + `]}`,
			want: []string{
				"docker.io/docker/dockerfile:1@" + digestY.String(),
				"docker.io/library/debian:12@" + digestX.String() + " linux/arm64",
				"r.example:5000/a/b:1@" + digestX.String() + " linux/amd64"}},
		{name: "pinned by digest", in: `{"materials":[` + material("pkg:docker/debian?digest="+digestX.String(), digestX) + `]}`,
			want: []string{"docker.io/library/debian@" + digestX.String()}},
		{name: "without digest", in: `{"materials":[{"uri":"pkg:docker/debian@12"}]}`, want: []string{"docker.io/library/debian:12"}},
		{name: "blobs, bundles and local layouts are no bases",
			in: `{"materials":[` + strings.Join([]string{
				material("pkg:docker/a@1?ref_type=blob", digestX), material("pkg:docker/a@1?digest=x&ref_type=bundle", digestX),
				material("pkg:oci/a@1", digestX)}, ",") + `]}`},
		{name: "digest as version, registry as qualifier", in: `{"materials":[` + material("pkg:docker/a/b@sha256%3A"+digestX.Encoded()+"?repository_url=r.example", digestX) + `]}`,
			want: []string{"r.example/a/b@" + digestX.String()}},
		{name: "tag and digest, subpath", in: `{"materials":[` + material("pkg:docker/a@1?digest="+digestX.String()+"#x", digestX) + `]}`,
			want: []string{"docker.io/library/a:1@" + digestX.String()}},
		{name: "a qualifier without value, a platform without architecture", in: `{"materials":[{"uri":"pkg:docker/a?A&platform=linux"}]}`,
			want: []string{"docker.io/library/a:latest"}},
		{name: "damaged platform", in: `{"materials":[{"uri":"pkg:docker/a?platform=a/b/c/d/e"}]}`, err: "platform"},
		{name: "damaged escape", in: `{"materials":[{"uri":"pkg:docker/a@%zz"}]}`, err: "%zz"},
		{name: "damaged escape in a qualifier", in: `{"materials":[{"uri":"pkg:docker/a?platform=%zz"}]}`, err: "qualifier platform"},
		{name: "none", in: `{}`},
		{name: "no JSON", in: `{`, err: "reading provenance"},
		{name: "damaged predicate", in: `{"predicate":[1]}`, err: "predicate"},
		{name: "damaged package URL", in: `{"materials":[{"uri":"pkg:docker/A%20B@1"}]}`, err: "pkg:docker/A%20B@1"},
		{name: "digests disagree", in: `{"materials":[` + material("pkg:docker/debian?digest="+digestX.String(), digestY) + `]}`, err: "recorded with " + digestY.String()},
		{name: "damaged digest", in: `{"materials":[{"uri":"pkg:docker/debian@12","digest":{"sha256":"zz"}}]}`, err: `"zz"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bases, err := BaseFromProvenance([]byte(tc.in))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			var got []string
			for _, b := range bases {
				s := b.Reference()
				if b.Platform != nil {
					s += " " + formatPlatform(*b.Platform)
				}
				got = append(got, s)
			}
			if err != nil || strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestRebaseAnnotations(t *testing.T) {
	existing := map[string]string{"a": "b", nameKey: "old:1", digestKey: digestX.String()}
	before := maps.Clone(existing)
	for _, tc := range []struct {
		name, base string
		digest     digest.Digest
		want       map[string]string
		err        string
	}{
		{name: "refreshed", base: "debian:13", digest: digestY, want: map[string]string{"a": "b", nameKey: "docker.io/library/debian:13", digestKey: digestY.String()}},
		{name: "digest leaves the name", base: "debian:13@" + digestY.String(), digest: digestY, want: map[string]string{"a": "b", nameKey: "docker.io/library/debian:13", digestKey: digestY.String()}},
		{name: "stale ones go", want: map[string]string{"a": "b"}},
		{name: "bad name", base: "Not A Name", err: "Not A Name"},
		{name: "bad digest", base: "debian", digest: "sha256:1", err: "sha256:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := RebaseAnnotations(existing, tc.base, tc.digest)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, tc.want) {
				t.Errorf("got %v, %v; want %v", got, err, tc.want)
			}
			if !maps.Equal(existing, before) {
				t.Errorf("the argument was changed: %v", existing)
			}
		})
	}
	if got, err := RebaseAnnotations(nil, "debian", ""); err != nil || got[nameKey] != "docker.io/library/debian:latest" {
		t.Errorf("without annotations: got %v, %v", got, err)
	}
}

// What BuildKit writes is read back as what it was given.
func TestPackageURLsOfBuildKit(t *testing.T) {
	for ref, want := range map[string]string{
		"debian":                            "docker.io/library/debian:latest",
		"debian:12":                         "docker.io/library/debian:12",
		"user/app:1":                        "docker.io/user/app:1",
		"r.example:5000/a/b/c:1.2-x_y":      "r.example:5000/a/b/c:1.2-x_y",
		"localhost/a@" + digestX.String():   "localhost/a@" + digestX.String(),
		"debian:12@" + digestX.String():     "docker.io/library/debian:12@" + digestX.String(),
		"r.example/a:1@" + digestX.String(): "r.example/a:1@" + digestX.String(),
	} {
		arm := platform("linux/arm/v7")
		uri, err := purl.RefToPURL("docker", ref, &arm)
		if err != nil {
			t.Fatal(err)
		}
		b, ok, err := material{URI: uri}.base()
		if err != nil || !ok || b.Reference() != want || b.Platform == nil || formatPlatform(*b.Platform) != "linux/arm/v7" {
			t.Errorf("%s: got %q, %v, %v, %v; want %q for linux/arm/v7", uri, b.Reference(), b.Platform, ok, err, want)
		}
	}
}

// FuzzProvenance feeds damaged provenance: an error or candidates, never a panic,
// and a candidate always has a name.
func FuzzProvenance(f *testing.F) {
	f.Add([]byte(`{"predicate":{"materials":[{"uri":"pkg:docker/debian@12?platform=linux%2Farm64","digest":{"sha256":"` + digestX.Encoded() + `"}}]}}`))
	f.Add([]byte(`{"buildDefinition":{"resolvedDependencies":[{"uri":"pkg:docker/a/b@1?digest=sha256:1"}]}}`))
	f.Fuzz(func(t *testing.T, dt []byte) {
		bases, err := BaseFromProvenance(dt)
		for _, b := range bases {
			if err != nil || b.Name == "" || b.Reference() == "" {
				t.Errorf("got %+v, %v", b, err)
			}
		}
	})
}
