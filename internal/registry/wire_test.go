package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/buildx/util/imagetools"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/opencontainers/go-digest"
)

// guarded is a registry that wants a token from a server of its own, as public
// ones do.
type guarded struct {
	*httptest.Server
	mu      sync.Mutex
	scopes  []string // of the tokens that were asked for
	user    string   // that asked for them
	pushed  map[string]string
	uploads int
	mounts  bool
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{pushed: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", g.token)
	mux.HandleFunc("/v2/", g.registry)
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

func (g *guarded) token(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = r.ParseForm()
	scopes := r.Form["scope"]
	if len(scopes) == 1 {
		scopes = strings.Fields(scopes[0])
	}
	g.scopes = append(g.scopes, scopes...)
	if g.user = r.Form.Get("username"); g.user == "" {
		g.user, _, _ = r.BasicAuth()
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": "good", "access_token": "good", "expires_in": 300})
}

func (g *guarded) registry(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer good" {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, g.URL))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.Method == http.MethodPost && g.mounts && r.FormValue("mount") != "":
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPost:
		g.uploads++
		w.Header().Set("Location", fmt.Sprintf("/v2/app/blobs/uploads/%d?state=x", g.uploads))
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		g.pushed[r.URL.Path+"?"+r.URL.Query().Get("digest")] = string(body)
		w.WriteHeader(http.StatusCreated)
	case strings.HasSuffix(r.URL.Path, "/tags/list") && r.URL.Query().Get("last") == "":
		w.Header().Set("Link", `</v2/app/tags/list?last=b&n=2>; rel="next"`)
		_, _ = io.WriteString(w, `{"tags":["a","b"]}`)
	case strings.HasSuffix(r.URL.Path, "/tags/list"):
		_, _ = io.WriteString(w, `{"tags":["c"]}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such manifest"}]}`)
	}
}

func (g *guarded) images() *Images {
	return NewImages(imagetools.Opt{Auth: func(context.Context, string, []string, authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
		return types.AuthConfig{Username: "me", Password: "secret"}, nil
	}})
}

func (g *guarded) named(t *testing.T, what string) reference.Named {
	t.Helper()
	named, err := reference.ParseNormalizedNamed(strings.TrimPrefix(g.URL, "http://") + "/" + what)
	if err != nil {
		t.Fatal(err)
	}
	return named
}

// TestTokenForAll fetches one token for all that is going to be done.
func TestTokenForAll(t *testing.T) {
	g := newGuarded(t)
	images := g.images()
	app, base := g.named(t, "app"), g.named(t, "base")
	ctx := WithAccess(t.Context(), []reference.Named{app, base}, []reference.Named{app})
	if err := images.PushBlob(ctx, app, []byte("blob")); err != nil {
		t.Fatal(err)
	}
	if err := images.PushManifest(ctx, app, "1", "type", []byte("manifest")); err != nil {
		t.Fatal(err)
	}
	if _, err := images.Tags(ctx, base.String()); err != nil {
		t.Fatal(err)
	}
	if g.user != "me" {
		t.Errorf("the token was fetched by %q", g.user)
	}
	for _, want := range []string{"repository:app:pull,push", "repository:base:pull"} {
		if n := strings.Count(strings.Join(g.scopes, " ")+" ", want+" "); n != 1 {
			t.Errorf("%s was asked for %d times: %q", want, n, g.scopes)
		}
	}
	blob := "/v2/app/blobs/uploads/1?" + digest.FromString("blob").String()
	if g.pushed[blob] != "blob" || g.pushed["/v2/app/manifests/1?"] != "manifest" {
		t.Errorf("pushed %q", g.pushed)
	}
}

func TestTagsOfAllPages(t *testing.T) {
	g := newGuarded(t)
	tags, err := g.images().Tags(t.Context(), g.named(t, "app").String())
	if err != nil || !slices.Equal(tags, []string{"a", "b", "c"}) {
		t.Errorf("%q, %v", tags, err)
	}
}

func TestMount(t *testing.T) {
	g := newGuarded(t)
	images, app, base := g.images(), g.named(t, "app"), g.named(t, "base")
	if err := images.Mount(t.Context(), app, base, digest.FromString("x")); !errors.Is(err, ErrNotMounted) {
		t.Errorf("a registry that does not mount: %v", err)
	}
	g.mounts = true
	if err := images.Mount(t.Context(), app, base, digest.FromString("x")); err != nil {
		t.Error(err)
	}
}

// TestNotFound has the registry's own words, and is told from other errors.
func TestNotFound(t *testing.T) {
	g := newGuarded(t)
	_, err := g.images().Describe(t.Context(), g.named(t, "app").String()+":1")
	if !cerrdefs.IsNotFound(err) || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN no such manifest") {
		t.Errorf("%v", err)
	}
}
