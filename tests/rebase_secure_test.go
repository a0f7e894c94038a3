package tests

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/docker-relink/relink/tests/bed"
)

// secured is a registry with a password and a CA of its own, as this test reads
// and writes it.
type secured struct {
	*bed.SecureRegistry
	options []remote.Option
}

func startSecured(t *testing.T, b *bed.Bed) secured {
	t.Helper()
	r := b.NewSecureRegistry(t)
	ca, err := os.ReadFile(r.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	user, password, _ := strings.Cut(r.Login, ":")
	return secured{r, []remote.Option{
		remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}),
		remote.WithAuth(&authn.Basic{Username: user, Password: password}),
	}}
}

func (s secured) parse(t *testing.T, what string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s.Host + "/" + what)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (s secured) push(t *testing.T, what string, layers ...[]bed.File) {
	t.Helper()
	image, err := bed.NewImage(nil, layers...)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(s.parse(t, what), image, s.options...); err != nil {
		t.Fatal(err)
	}
}

// layers are the digests of an image's layers, none where there is no image.
func (s secured) layers(t *testing.T, what string) (digests []v1.Hash) {
	t.Helper()
	image, err := remote.Image(s.parse(t, what), s.options...)
	if err != nil {
		return nil
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range manifest.Layers {
		digests = append(digests, l.Digest)
	}
	return digests
}

// TestRebaseToAnotherRegistry moves the layers to a registry that has none of
// them.
func TestRebaseToAnotherRegistry(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "elsewhere")
	s := startSecured(t, r.bed)
	plan := r.plan(t, r.ref("app:1"), "--onto", r.ref("base:2"), "-t", s.Host+"/out:1")
	if len(plan.Moves) != 1 || plan.Moves[0].Bytes < 1<<20 {
		t.Errorf("the plan does not say that all layers move: %+v", plan.Moves)
	}
	env := []string{"DOCKER_CONFIG=" + loggedIn(t, r.bed, s.Host, s.Login), "SSL_CERT_FILE=" + s.CA}
	r.bed.Docker(t, "", env, "relink", "rebase", r.ref("app:1"), "--onto", r.ref("base:2"), "--provenance=false",
		"--builder", r.bed.NewBuilderWith(t, s.Builder()).Name, "--push", "-t", s.Host+"/out:1").MustSucceed(t)
	image, err := remote.Image(s.parse(t, "out:1"), s.options...)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
	r.bed.Push(t, r.ref("out:1"), image)
	r.wantRebuilt(t, "out:1")
}

// TestRebaseSecure rebases in a registry with a password and a certificate that
// only those trust who were told to, with and without a builder.
func TestRebaseSecure(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	s := startSecured(t, b)
	old, onto := []bed.File{bed.Text("base", "1")}, []bed.File{bed.Text("base", "2")}
	s.push(t, "base:1", old)
	s.push(t, "base:2", onto)
	s.push(t, "app:1", old, []bed.File{bed.Text("app", "1")})
	want := slices.Concat(s.layers(t, "base:2"), s.layers(t, "app:1")[1:])
	knows := b.NewBuilderWith(t, s.Builder()).Name
	trusts := []string{"SSL_CERT_FILE=" + s.CA}
	wrong, right := loggedIn(t, b, s.Host, "user:guess"), loggedIn(t, b, s.Host, s.Login)
	// The base is found by tags, so that all that asks the registry is used.
	rebase := func(t *testing.T, env []string, tag string, more ...string) bed.Result {
		args := []string{"relink", "rebase", s.Host + "/app:1", "--onto", s.Host + "/base:2", "--provenance=false", "--push", "-t", s.Host + "/" + tag}
		if len(more) > 0 && more[0] == "--config" {
			args, more = append(more[:2:2], args...), more[2:]
		}
		return b.Docker(t, "", env, append(args, more...)...)
	}
	for _, tc := range []struct {
		name string
		env  []string
		args []string
		says string // of an error
		road string
	}{
		{name: "without a builder", env: append(trusts, "DOCKER_CONFIG="+right), road: "from registry to registry"},
		{name: "the log-in in --config", env: trusts, args: []string{"--config", right}, road: "from registry to registry"},
		{name: "by a builder that trusts it", env: trusts, args: []string{"--config", right, "--builder", knows}, road: "exporting to image"},
		{name: "by a builder that alone trusts it", args: []string{"--config", right, "--builder", knows, "--from", s.Host + "/base:1"}, road: "was not verified"},
		{name: "no log-in", env: trusts, args: []string{"--builder", knows}, says: "401"},
		{name: "a wrong password", env: append(trusts, "DOCKER_CONFIG="+wrong), args: []string{"--builder", knows}, says: "401"},
		{name: "nobody trusts it", env: []string{"DOCKER_CONFIG=" + right}, says: "certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tag := "out:" + slug(tc.name)
			result := rebase(t, tc.env, tag, tc.args...)
			if tc.says != "" {
				wantRefused(t, result, tc.says)
				if s.layers(t, tag) != nil {
					t.Error("an image was pushed")
				}
				return
			}
			result.MustSucceed(t)
			if !strings.Contains(result.Stderr, tc.road) {
				t.Errorf("the output does not say %q:\n%s", tc.road, result.Stderr)
			}
			if got := s.layers(t, tag); !slices.Equal(got, want) {
				t.Errorf("layers %v, want %v", got, want)
			}
		})
	}
}
