package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// closedRegistry is the bed's registry behind TLS, with a certificate that
// nobody knows, for those who have the password.
func closedRegistry(t *testing.T, b *bed.Bed, user, password string) (host, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: b.Registry.Host})
		r.Out.Host = r.In.Host // The registry's redirects stay here.
		r.SetXForwarded()
	}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestEmbeddedRegistry has both forms of the builder pull from and push to a
// registry that wants a password and has a certificate of its own, which is
// known from buildx's settings for the builders that it makes.
func TestEmbeddedRegistry(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	m := station{bed: b, ordinary: true, subIDs: true, programs: allPrograms}.make(t)
	host, ca := closedRegistry(t, b, "someone", "secret")
	base, err := bed.NewImage(nil, []bed.File{bed.Text("base", "base")})
	if err != nil {
		t.Fatal(err)
	}
	newer, err := bed.NewImage(nil, []bed.File{bed.Text("base", "newer")})
	if err != nil {
		t.Fatal(err)
	}
	b.Push(t, b.Registry.Ref("closed/base:1"), base)
	b.Push(t, b.Registry.Ref("closed/base:2"), newer)
	dir := embeddedContext(t, "FROM "+host+"/closed/base:1\nCOPY page /\n")
	build := func() bed.Result {
		return m.relink(t, dir, nil, "--builder", "embedded", "build", "--push", "--provenance=false", "-t", host+"/closed/app:1", ".")
	}
	if result := build(); result.Code == 0 {
		t.Errorf("a registry whose certificate is unknown was used:\n%s", result.Stderr)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("someone:secret"))
	bed.WriteFiles(t, filepath.Join(m.dir, "docker"),
		bed.Text("config.json", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, auth)),
		bed.Text("ca.pem", ca),
		bed.Text("buildx/buildkitd.default.toml", fmt.Sprintf("[registry.%q]\n  http = false\n  ca = [%q]\n", host, filepath.Join(m.dir, "docker", "ca.pem"))),
	)
	build().MustSucceed(t)
	for tag, args := range map[string][]string{
		"straight": {"--builder=embedded"}, "process": {"--builder=embedded", byBuilder}, "fallback": {byBuilder},
	} {
		m.relink(t, "/", nil, slices.Concat([]string{"rebase"}, args, []string{host + "/closed/app:1", "--from", host + "/closed/base:1", "--onto", host + "/closed/base:2",
			"--push", "--provenance=false", "-t", host + "/closed/rebased:" + tag,
		})...).MustSucceed(t)
		got := b.Image(t, b.Registry.Ref("closed/rebased:"+tag), "")
		if len(got.Layers()) != 2 || got.Layers()[0] != b.Image(t, b.Registry.Ref("closed/base:2"), "").Layers()[0] {
			t.Errorf("layers %q", got.Layers())
		}
	}
}
