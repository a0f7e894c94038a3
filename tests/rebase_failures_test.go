package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// bothRoads are options by which a rebase is a builder's, and by which it is not
// as long as it need not be.
var bothRoads = map[string]string{"builder": "--builder=bed", "no builder": "--progress=plain"}

// TestRebaseFailingPush wants a tag to stay what it was when the registry refuses
// the new one, or something that it names.
func TestRebaseFailingPush(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "refused")
	for what, refused := range map[string]string{"tag": "/manifests/1", "blobs": "/blobs/uploads/", "mounts": "mount="} {
		host := startProxy(t, r.bed.Registry.Host, func(w http.ResponseWriter, req *http.Request) bool {
			refuse := (req.Method == http.MethodPut || req.Method == http.MethodPost) && strings.Contains(req.URL.String(), refused)
			if refuse {
				http.Error(w, `{"errors":[{"code":"DENIED","message":"not today"}]}`, http.StatusForbidden)
			}
			return refuse
		})
		behind := func(what string) string { return strings.Replace(r.ref(what), r.bed.Registry.Host, host, 1) }
		for road, option := range bothRoads {
			t.Run(what+", "+road, func(t *testing.T) {
				out := "out" + slug(what+road) + ":1"
				r.bed.Push(t, r.ref(out), r.bed.Pull(t, r.ref("base:1")))
				before := r.bed.Image(t, r.ref(out), "").Digest
				result := r.rebase(t, behind("app:1"), "--onto", behind("base:2"), option, "--push", "-t", behind(out))
				if what == "mounts" && result.Code == 0 {
					r.wantLayersOfRebased(t, out) // What is not mounted is copied by the builder.
					return
				}
				wantRefused(t, result, "not today")
				if after := r.bed.Image(t, r.ref(out), "").Digest; after != before {
					t.Errorf("the tag is %s, and was %s", after, before)
				}
			})
		}
	}
}

func (r rebaseRepo) wantLayersOfRebased(t *testing.T, what string) {
	t.Helper()
	app, onto := r.bed.Image(t, r.ref("app:1"), ""), r.bed.Image(t, r.ref("base:2"), "")
	own := app.Layers()[len(r.bed.Image(t, r.ref("base:1"), "").Layers()):]
	if got, want := strings.Join(r.bed.Image(t, r.ref(what), "").Layers(), " "), strings.Join(append(onto.Layers(), own...), " "); got != want {
		t.Errorf("layers %s, want %s", got, want)
	}
}

// rawImage is a manifest as it is.
type rawImage string

func (i rawImage) RawManifest() ([]byte, error)        { return []byte(i), nil }
func (i rawImage) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// pushRaw pushes an image of no layers with a config that says what it says.
func (r rebaseRepo) pushRaw(t *testing.T, what, config string) {
	t.Helper()
	ref, err := name.ParseReference(r.ref(what))
	if err != nil {
		t.Fatal(err)
	}
	blob := static.NewLayer([]byte(config), types.OCIConfigJSON)
	if err := remote.WriteLayer(ref.Context(), blob, asBed); err != nil {
		t.Fatal(err)
	}
	digest, err := blob.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := blob.Size()
	if err != nil {
		t.Fatal(err)
	}
	manifest := rawImage(fmt.Sprint(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`,
		digest, `","size":`, size, `},"layers":[]}`))
	if err := remote.Put(ref, manifest, asBed); err != nil {
		t.Fatal(err)
	}
}

// TestRebaseDamaged wants a clear word about an image whose config can not be
// right, as the image and as either base.
func TestRebaseDamaged(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "damaged")
	for what, damage := range map[string]struct{ config, says string }{
		"not-json":    {`{"architecture":"amd64","os":"linux"`, "reading the config of "},
		"no-rootfs":   {`{"architecture":"amd64","os":"linux"}`, "it has no rootfs"},
		"no-digest":   {`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0"]}}`, "reading the config of "},
		"other-type":  {`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Env":"PATH"}}`, "reading the config of "},
		"no-platform": {`{"rootfs":{"type":"layers","diff_ids":[]}}`, "names no platform"},
	} {
		r.pushRaw(t, "damaged:"+what, damage.config)
		damaged := r.ref("damaged:" + what)
		for role, args := range map[string][]string{
			"image": {damaged, "--onto", r.ref("base:2")},
			"base":  {r.ref("app:1"), "--onto", damaged},
			"old":   {r.ref("app:1"), "--onto", r.ref("base:2"), "--from", damaged},
		} {
			if role != "image" && what != "not-json" {
				continue // They are read in one place.
			}
			t.Run(what+" as "+role, func(t *testing.T) {
				result := r.rebase(t, append(args, "--push", "-t", r.ref("out:1"))...)
				says := []string{damaged}
				if role == "image" {
					says = append(says, damage.says)
				}
				wantRefused(t, result, says...)
				if r.bed.Exists(t, r.ref("out:1")) {
					t.Error("an image was pushed")
				}
			})
		}
	}
}
