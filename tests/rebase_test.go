package tests

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/docker-relink/relink/tests/bed"
)

// rebaseRepo is a repository with two bases, an application on the first, and
// what the application's Dockerfile makes of it on the second.
type rebaseRepo struct {
	bed  *bed.Bed
	name string
}

// rebasesBegan is before every build of these tests: they share a builder, and
// so what one of them has run is in the cache for the others.
var rebasesBegan = time.Now().Add(-time.Second)

// asBed keeps the requests of the tests themselves out of the account.
var asBed = remote.WithUserAgent("relink-bed")

const rebaseApp = `FROM %s
ENV APP=yes
RUN mkdir -p /app/bin && printf '#!/bin/sh\ncat /base.txt\n' > /app/bin/show && chmod 755 /app/bin/show \
 && ln /app/bin/show /app/bin/same && rm /etc/gone && rm -r /etc/kind && echo file > /etc/kind
COPY conf /etc/app.conf
LABEL app=yes
USER 1000
ENTRYPOINT ["/app/bin/show"]
`

func newRebaseRepo(t *testing.T, name string, args ...string) rebaseRepo {
	t.Helper()
	r := rebaseRepo{bed: bed.Shared(t), name: "rebase/" + name}
	for _, n := range []string{"1", "2"} {
		r.build(t, "base:"+n, fmt.Sprintf(`FROM %s
ENV PATH=/usr/bin:/bin:/base/%[2]s BASE=%[2]s
RUN echo base %[2]s > /base.txt && echo %[3]s > /name && mkdir -p /etc/kind/of && echo gone > /etc/gone
LABEL base=%[2]s
CMD ["base", "%[2]s"]
`, r.bed.Base(t, "busybox"), n, r.name))
	}
	r.build(t, "app:1", fmt.Sprintf(rebaseApp, r.ref("base:1")), args...)
	r.build(t, "rebuilt:1", fmt.Sprintf(rebaseApp, r.ref("base:2")))
	return r
}

func (r rebaseRepo) ref(what string) string { return r.bed.Registry.Ref(r.name + "/" + what) }

// build builds and pushes with stock buildx, without attestations unless args
// ask for them.
func (r rebaseRepo) build(t *testing.T, what, dockerfile string, args ...string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), slug(r.name+what))
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("conf", "conf\n"), bed.Text("Dockerfile", dockerfile))
	args = append([]string{"build", "--push", "-t", r.ref(what)}, args...)
	if !strings.Contains(strings.Join(args, " "), "--provenance") {
		args = append(args, "--provenance=false")
	}
	r.bed.Plugin(t, dir, nil, "buildx", append(args, ".")...).MustSucceed(t)
}

func (r rebaseRepo) rebase(t *testing.T, args ...string) bed.Result {
	t.Helper()
	return r.bed.Plugin(t, "", nil, "relink", append([]string{"rebase"}, args...)...)
}

// wantRebuilt wants the image to be what the Dockerfile makes on the new base,
// with the layers of the new base and the application's own.
func (r rebaseRepo) wantRebuilt(t *testing.T, what string) {
	t.Helper()
	stock, got := r.bed.Image(t, r.ref("rebuilt:1"), ""), r.bed.Image(t, r.ref(what), "")
	stock.ClockFrom, got.ClockFrom = rebasesBegan, rebasesBegan
	for _, diff := range bed.Compare(stock, got) {
		t.Error(diff)
	}
	app, old, onto := r.bed.Image(t, r.ref("app:1"), ""), r.bed.Image(t, r.ref("base:1"), ""), r.bed.Image(t, r.ref("base:2"), "")
	want := slices.Concat(onto.Layers(), app.Layers()[len(old.Layers()):])
	if !slices.Equal(got.Layers(), want) {
		t.Errorf("layers %q, want %q", got.Layers(), want)
	}
	wantValid(t, r.ref(what))
}

// wantValid wants all that the reference names to be there and to be what it
// says it is.
func wantValid(t *testing.T, ref string) {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(parsed, asBed)
	if err != nil {
		t.Fatal(err)
	}
	if index, err := desc.ImageIndex(); err == nil {
		err = validate.Index(index)
		if err != nil {
			t.Errorf("%s is not valid: %v", ref, err)
		}
		return
	}
	image, err := desc.Image()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Errorf("%s is not valid: %v", ref, err)
	}
}

// rebaseReport is the report of a rebase, as programs read it.
type rebaseReport struct {
	Platforms []struct {
		Platform  string
		Found     string
		UpToDate  bool
		Kept      []struct{ DiffID string }
		Conflicts []struct{ Field, Key string }
		Remarks   []string
	}
	Skipped  []string
	Moves    []struct{ Bytes int64 }
	Warnings []string
}

// plan is what a dry run says.
func (r rebaseRepo) plan(t *testing.T, args ...string) (report rebaseReport) {
	t.Helper()
	r.rebase(t, append([]string{"--dry-run", "--format", "json"}, args...)...).JSON(t, &report)
	return report
}

func (r rebaseRepo) wantFound(t *testing.T, want string, args ...string) {
	t.Helper()
	for _, p := range r.plan(t, args...).Platforms {
		if p.Found != want {
			t.Errorf("%s: found by %q, want %q; %q", p.Platform, p.Found, want, p.Remarks)
		}
	}
}

// TestRebase is the main job: another base under an image, on a builder that has
// nothing, and no layer is pulled.
func TestRebase(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "main", "--annotation", "manifest:mine=kept",
		"--annotation", "manifest:org.opencontainers.image.base.name="+bed.Shared(t).Registry.Ref("rebase/main/base:1"))
	app, onto := r.bed.Image(t, r.ref("app:1"), ""), r.bed.Image(t, r.ref("base:2"), "")
	builder := r.bed.NewBuilder(t)
	mark := r.bed.Registry.Mark(t)
	result := r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--builder", builder.Name, "--push", "--provenance=false",
		"-t", r.ref("out:1"), "-t", r.ref("out:also")).MustSucceed(t)
	r.wantNothingPulled(t, mark, app, onto)
	var pushed bed.Requests
	for _, request := range r.bed.Registry.Since(t, mark).BlobUploads() {
		if request.Repo == r.name+"/out" {
			pushed = append(pushed, request)
		}
	}
	if len(pushed) != 1 {
		t.Errorf("%d blobs were pushed, want the config alone: %+v", len(pushed), pushed)
	}
	for _, want := range []string{"found by annotations", "2 (", "config: Labels base", "PATH"} {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("the report does not say %q:\n%s", want, result.Stderr)
		}
	}
	for _, tag := range []string{"out:1", "out:also"} {
		r.checkRebased(t, tag, onto)
	}
	r.runs(t, "out:1", "base 2")
	r.runsUnpacked(t, "out:also", "base 2\n")
}

// wantNothingPulled looks at the repositories of this test only: the images of the
// tests beside it have the same layers.
func (r rebaseRepo) wantNothingPulled(t *testing.T, mark bed.Mark, images ...bed.Image) {
	t.Helper()
	for _, request := range pulled(t, r.bed, mark, images) {
		if strings.HasPrefix(request.Repo, r.name+"/") {
			t.Errorf("a layer was pulled: %+v", request)
		}
	}
}

func (r rebaseRepo) checkRebased(t *testing.T, tag string, onto bed.Image) {
	t.Helper()
	parsed, err := name.ParseReference(r.ref(tag))
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(parsed, asBed)
	if err != nil {
		t.Fatal(err)
	}
	image, err := desc.Image()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"mine":                                 "kept",
		"org.opencontainers.image.base.name":   r.ref("base:2"),
		"org.opencontainers.image.base.digest": onto.Digest,
	}
	for key, value := range want {
		if got := manifest.Annotations[key]; got != value {
			t.Errorf("annotation %s is %q, want %q", key, got, value)
		}
	}
	wantValid(t, r.ref(tag))
	r.build(t, "rebuilt:1", fmt.Sprintf(rebaseApp, r.ref("base:2")), "--annotation", "manifest:mine=kept")
	r.wantRebuilt(t, tag)
}

// runs wants the program of the image to run and to say what it reads of the base.
func (r rebaseRepo) runs(t *testing.T, what, says string) {
	t.Helper()
	dir := t.TempDir()
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", "FROM "+r.ref(what)+"\nRUN [\"/app/bin/show\"]\n"))
	result := r.bed.Docker(t, dir, nil, "buildx", "build", "--progress=plain", "--no-cache", ".").MustSucceed(t)
	if !strings.Contains(result.Stderr, says+"\n") {
		t.Errorf("the program does not say %q:\n%s", says, result.Stderr)
	}
}

// runsUnpacked does so with no engine, after the image was unpacked, and has crane
// look at the image.
func (r rebaseRepo) runsUnpacked(t *testing.T, what, says string) {
	t.Helper()
	crane := filepath.Join(bed.Root(), ".cache", "bin", "crane")
	if out, err := exec.Command(crane, "validate", "--remote", r.ref(what)).CombinedOutput(); err != nil {
		t.Errorf("crane validate: %v\n%s", err, out)
	}
	dir := t.TempDir()
	unpack := exec.Command("sh", "-c", `"$0" export "$1" - | tar -xC "$2"`, crane, r.ref(what), dir)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpacking %s: %v\n%s", what, err, out)
	}
	if out, err := exec.Command("chroot", dir, "/app/bin/show").CombinedOutput(); err != nil || string(out) != says {
		t.Errorf("the program says %q, %v; want %q", out, err, says)
	}
}

// TestRebaseAgain uses the layers of an image that was rebased before, under
// another manifest: BuildKit may take a layer's difference for the whole image.
// So it does not run beside others, which use the same builder.
func TestRebaseAgain(t *testing.T) {
	r := newRebaseRepo(t, "again")
	parsed, err := name.ParseReference(r.ref("app:1"))
	if err != nil {
		t.Fatal(err)
	}
	app, err := remote.Image(parsed, asBed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		annotated, ok := mutate.Annotations(app, map[string]string{"round": fmt.Sprint(i)}).(v1.Image)
		if !ok {
			t.Fatal("annotations made something else of an image")
		}
		again := fmt.Sprint("app:again", i)
		r.bed.Push(t, r.ref(again), annotated)
		out := fmt.Sprint("out:", i)
		r.rebase(t, r.ref(again), "--onto", r.ref("base:2"), "--from", r.ref("base:1"), "--builder=bed", "--provenance=false", "--push", "-t", r.ref(out)).MustSucceed(t)
		want := r.bed.Image(t, r.ref("out:0"), "").Layers()
		if got := r.bed.Image(t, r.ref(out), "").Layers(); !slices.Equal(got, want) {
			t.Errorf("layers %q, want %q", got, want)
		}
		r.runs(t, out, "base 2")
		r.runs(t, again, "base 1")
	}
}

// TestRebaseFindsTheBase goes the ways to the old base one after another.
func TestRebaseFindsTheBase(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "finds")
	app, onto := r.ref("app:1"), []string{"--onto", r.ref("base:2")}
	r.wantFound(t, "--from", append(onto, app, "--from", r.ref("base:1"))...)
	r.wantFound(t, "the layers of the tags of the new base's repository", append(onto, app)...)
	elsewhere := r.bed.Base(t, "usrmerge")
	r.wantFound(t, "--candidate", app, "--onto", elsewhere, "--candidate", elsewhere, "--candidate", r.ref("base:1"))

	r.build(t, "attested:1", fmt.Sprintf(rebaseApp, r.ref("base:1")), "--provenance=mode=min")
	r.wantFound(t, "provenance", r.ref("attested:1"), "--onto", elsewhere)
	r.build(t, "maxattested:1", fmt.Sprintf(rebaseApp, r.ref("base:1")), "--provenance=mode=max")
	r.wantFound(t, "provenance", r.ref("maxattested:1"), "--onto", elsewhere)
	r.wantFound(t, "the layers of the new base", r.ref("app:1"), "--onto", r.ref("base:1"))

	t.Run("not at all", func(t *testing.T) {
		result := r.rebase(t, app, "--onto", elsewhere, "--push", "-t", r.ref("none:1"))
		wantRefused(t, result, "is not known", "--force-layers N")
		if r.bed.Exists(t, r.ref("none:1")) {
			t.Error("an image was pushed")
		}
	})
	t.Run("a base that it is not", func(t *testing.T) {
		mark := r.bed.Registry.Mark(t)
		defer func() {
			for _, request := range r.bed.Registry.Since(t, mark) {
				if request.Repo == r.name+"/none" && request.Method != http.MethodGet && request.Method != http.MethodHead {
					t.Errorf("the registry was written to: %+v", request)
				}
			}
		}()
		result := r.rebase(t, app, "--onto", r.ref("base:2"), "--from", r.ref("rebuilt:1"), "--push", "-t", r.ref("none:1"))
		wantRefused(t, result, "they part at layer 2", "--from")
		if r.bed.Exists(t, r.ref("none:1")) {
			t.Error("an image was pushed")
		}
	})
}

func wantRefused(t *testing.T, result bed.Result, says ...string) {
	t.Helper()
	if result.Code != 1 {
		t.Errorf("exit code %d, want 1", result.Code)
	}
	for _, want := range says {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("the error does not say %q:\n%s", want, result.Stderr)
		}
	}
}

// TestRebaseWithoutOldBase rebases where the old base is compressed anew, and
// where it is gone.
func TestRebaseWithoutOldBase(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "gone")
	app, onto := r.bed.Image(t, r.ref("app:1"), ""), r.bed.Image(t, r.ref("base:2"), "")
	old := r.bed.Image(t, r.ref("base:1"), "")
	rebase := func(what string, args ...string) bed.Result {
		builder := r.bed.NewBuilder(t)
		mark := r.bed.Registry.Mark(t)
		args = append(args, r.ref("app:1"), "--onto", r.ref("base:2"), "--builder", builder.Name, "--push", "--provenance=false", "-t", r.ref(what))
		result := r.rebase(t, args...).MustSucceed(t)
		r.wantNothingPulled(t, mark, app, onto)
		return result
	}
	t.Run("compressed anew", func(t *testing.T) {
		r.bed.Push(t, r.ref("base:squeezed"), recompressed(t, r.ref("base:1")))
		if slices.Equal(r.bed.Image(t, r.ref("base:squeezed"), "").Layers(), old.Layers()) {
			t.Fatal("the base was not compressed anew")
		}
		rebase("squeezed:1", "--from", r.ref("base:squeezed"))
		r.wantRebuilt(t, "squeezed:1")
	})
	t.Run("gone", func(t *testing.T) {
		r.build(t, "recorded:1", fmt.Sprintf(rebaseApp, r.ref("base:1")), "--provenance=mode=max")
		r.build(t, "named:1", fmt.Sprintf(rebaseApp, r.ref("base:1")), "--annotation", "manifest:org.opencontainers.image.base.name="+r.ref("base:1"))
		r.remove(t, "base:1")
		r.remove(t, "base:squeezed")
		result := r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--from", r.ref("base:1"), "--push", "-t", r.ref("none:1"))
		wantRefused(t, result, "reading the old base", "--force-layers")
		rebase("forced:1", "--force-layers", fmt.Sprint(len(old.Layers())))
		got := r.bed.Image(t, r.ref("forced:1"), "")
		if want := slices.Concat(onto.Layers(), app.Layers()[len(old.Layers()):]); !slices.Equal(got.Layers(), want) {
			t.Errorf("layers %q, want %q", got.Layers(), want)
		}
		builder := "--builder=" + r.bed.NewBuilder(t).Name
		for image, found := range map[string]string{
			"recorded:1": "the layers that the provenance records", "named:1": "the history, which begins as the new base's",
		} {
			for _, road := range []string{builder, "--progress=plain"} {
				mark := r.bed.Registry.Mark(t)
				to := "found:" + slug(image+road)
				result := r.rebase(t, r.ref(image), "--onto", r.ref("base:2"), road, "--provenance=false", "--push", "-t", r.ref(to)).MustSucceed(t)
				if !strings.Contains(result.Stderr, "old base gone ("+found+")") {
					t.Errorf("%s: it is not said that it was found by %q:\n%s", image, found, result.Stderr)
				}
				r.wantNothingPulled(t, mark, app, onto)
				want := slices.Concat(onto.Layers(), r.bed.Image(t, r.ref(image), "").Layers()[len(old.Layers()):])
				if found := r.bed.Image(t, r.ref(to), ""); !slices.Equal(found.Layers(), want) {
					t.Errorf("%s: layers %q, want %q", image, found.Layers(), want)
				}
			}
		}
		if got.Config.Config.Labels["base"] == "" || got.Config.Config.Entrypoint[0] != "/app/bin/show" {
			t.Errorf("config %+v", got.Config.Config)
		}
	})
}

// remove deletes an image, and all tags of it, from the registry.
func (r rebaseRepo) remove(t *testing.T, what string) {
	t.Helper()
	tagged, err := name.ParseReference(r.ref(what))
	if err != nil {
		t.Fatal(err)
	}
	digest := tagged.Context().Digest(r.bed.Image(t, r.ref(what), "").Digest)
	if err := remote.Delete(digest, asBed); err != nil {
		t.Fatal(err)
	}
}

// recompressed is the image with other compressed layers.
func recompressed(t *testing.T, ref string) v1.Image {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	from, err := remote.Image(parsed, asBed)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := from.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := from.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	history := config.History
	config.History, config.RootFS.DiffIDs = nil, nil
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		anew, err := tarball.LayerFromOpener(layer.Uncompressed, tarball.WithCompressionLevel(1))
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, anew); err != nil {
			t.Fatal(err)
		}
	}
	if config, err = image.ConfigFile(); err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.History = history
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// rebaseIndex pushes two bases and an application for platforms, each with a
// program of its own in its layers.
func rebaseIndex(t *testing.T, r rebaseRepo, bases, app []string) {
	t.Helper()
	made := map[string]v1.Image{}
	for _, base := range []string{"1", "2"} {
		var images []v1.Image
		for _, p := range bases {
			made[base+p] = platformImage(t, p, bed.Text("base", base+" for "+p+" of "+r.name))
			images = append(images, made[base+p])
		}
		r.bed.PushIndex(t, r.ref("base:"+base), images...)
	}
	var images []v1.Image
	for _, p := range app {
		base := made["1"+p]
		if base == nil {
			base = platformImage(t, p, bed.Text("base", "1 for "+p+" of "+r.name))
		}
		layer, err := platformImage(t, p, bed.Text("app", "app for "+p+" of "+r.name)).Layers()
		if err != nil {
			t.Fatal(err)
		}
		image, err := mutate.Append(base, mutate.Addendum{Layer: layer[0], History: v1.History{CreatedBy: "COPY app /app"}})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image)
	}
	r.bed.PushIndex(t, r.ref("app:1"), images...)
}

func platformImage(t *testing.T, platform string, files ...bed.File) v1.Image {
	t.Helper()
	parts := strings.Split(platform, "/")
	image, err := bed.NewImage(func(c *v1.ConfigFile) {
		c.OS, c.Architecture = parts[0], parts[1]
		if len(parts) > 2 {
			c.Variant = parts[2]
		}
	}, files)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestRebasePlatforms rebases all platforms of an index in one command.
func TestRebasePlatforms(t *testing.T) {
	t.Parallel()
	r := rebaseRepo{bed: bed.Shared(t), name: "rebase/platforms"}
	all := []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}
	rebaseIndex(t, r, all, all)
	builder := r.bed.NewBuilder(t)
	want := func(t *testing.T, what string, platforms ...string) {
		t.Helper()
		images := r.bed.Images(t, r.ref(what))
		var got []string
		for _, image := range images {
			got = append(got, image.Platform)
			onto := r.bed.Image(t, r.ref("base:2"), image.Platform)
			app := r.bed.Image(t, r.ref("app:1"), image.Platform)
			if want := slices.Concat(onto.Layers(), app.Layers()[1:]); !slices.Equal(image.Layers(), want) {
				t.Errorf("%s: layers %q, want %q", image.Platform, image.Layers(), want)
			}
		}
		if !slices.Equal(got, platforms) {
			t.Errorf("platforms %q, want %q", got, platforms)
		}
		wantValid(t, r.ref(what))
	}
	t.Run("all", func(t *testing.T) {
		mark := r.bed.Registry.Mark(t)
		r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--builder", builder.Name, "--push", "-t", r.ref("all:1")).MustSucceed(t)
		r.wantNothingPulled(t, mark, append(r.bed.Images(t, r.ref("app:1")), r.bed.Images(t, r.ref("base:2"))...)...)
		want(t, "all:1", all...)
	})
	t.Run("with and without a builder", func(t *testing.T) {
		digests := map[string]string{}
		for road, option := range bothRoads {
			tag := r.ref("road:" + slug(road))
			r.bed.Docker(t, "", []string{"SOURCE_DATE_EPOCH=1700000000"}, "relink", "rebase", r.ref("app:1"), "--onto", r.ref("base:2"),
				option, "--provenance=false", "--push", "-t", tag, "--annotation", "index,manifest,manifest-descriptor:also=mine").MustSucceed(t)
			out := rawIndex(t, tag)
			digests[road] = out.digest
			for _, m := range out.manifest.Manifests {
				if m.Annotations["also"] != "mine" || !strings.HasPrefix(string(m.MediaType), "application/vnd.oci.") {
					t.Errorf("%s: an entry of the index is %+v", road, m)
				}
			}
			for _, image := range r.bed.Images(t, tag) {
				for _, d := range append(image.Manifest.Layers, image.Manifest.Config) {
					if !strings.HasPrefix(string(d.MediaType), "application/vnd.oci.") {
						t.Errorf("%s: something of type %s in a manifest of OCI", road, d.MediaType)
					}
				}
			}
		}
		if digests["builder"] != digests["no builder"] {
			t.Errorf("the index is %q", digests)
		}
	})
	t.Run("chosen", func(t *testing.T) {
		r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--platform=linux/arm64,linux/arm/v7", "--push", "-t", r.ref("two:1")).MustSucceed(t)
		want(t, "two:1", "linux/arm64", "linux/arm/v7")
		r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--platform=linux/arm64", "--push", "-t", r.ref("one:1")).MustSucceed(t)
		want(t, "one:1", "linux/arm64")
	})
	t.Run("not there", func(t *testing.T) {
		result := r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--platform=linux/s390x", "--push", "-t", r.ref("none:1"))
		wantRefused(t, result, "no image for linux/s390x", "It has linux/amd64")
	})
}

func TestRebaseMissingPlatforms(t *testing.T) {
	t.Parallel()
	r := rebaseRepo{bed: bed.Shared(t), name: "rebase/missing"}
	rebaseIndex(t, r, []string{"linux/amd64", "linux/arm64"}, []string{"linux/amd64", "linux/arm64", "linux/riscv64"})
	args := []string{r.ref("app:1"), "--onto", r.ref("base:2"), "--push", "-t", r.ref("out:1")}
	wantRefused(t, r.rebase(t, args...), "has no image for linux/riscv64", "--skip-missing-platforms")
	if r.bed.Exists(t, r.ref("out:1")) {
		t.Error("an image was pushed")
	}
	result := r.rebase(t, append(args, "--skip-missing-platforms")...).MustSucceed(t)
	if !strings.Contains(result.Stderr, "linux/riscv64 left out") {
		t.Errorf("the report does not name the platform that was left out:\n%s", result.Stderr)
	}
	if got := len(r.bed.Images(t, r.ref("out:1"))); got != 2 {
		t.Errorf("%d platforms, want 2", got)
	}
}

// TestRebasePlan holds the dry run and the check to doing nothing.
func TestRebasePlan(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "plan")
	app := r.ref("app:1")
	mark := r.bed.Registry.Mark(t)
	text := r.rebase(t, app, "--onto", r.ref("base:2"), "--dry-run", "--push", "--load", "-o", "type=registry", "-t", app, "-t", "other.test/app:1").MustSucceed(t)
	for _, want := range []string{"layers: 2 (", "to " + app + ": 0 bytes", "config: Labels base: \"1\" -> \"2\""} {
		if !strings.Contains(text.Stdout, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text.Stdout)
		}
	}
	plan := r.plan(t, app, "--onto", r.ref("base:2"), "-t", app, "-t", "other.test/app:1")
	if len(plan.Moves) != 2 || plan.Moves[0].Bytes != 0 || plan.Moves[1].Bytes == 0 {
		t.Errorf("moves %+v, want none to the registry and some to the other", plan.Moves)
	}
	for _, request := range r.bed.Registry.Since(t, mark) {
		if strings.HasPrefix(request.Repo, r.name) && request.Method != http.MethodGet && request.Method != http.MethodHead {
			t.Errorf("the registry was written to: %+v", request)
		}
	}
	for _, check := range []struct {
		args []string
		code int
	}{
		{[]string{app, "--onto", r.ref("base:2")}, 2},
		{[]string{app, "--onto", r.ref("base:1")}, 0},
		{[]string{app, "--from", r.ref("base:1")}, 0},
		{[]string{r.ref("rebuilt:1"), "--onto", r.ref("base:2")}, 0},
		{[]string{r.ref("nothing:1"), "--onto", r.ref("base:2")}, 1},
	} {
		if result := r.rebase(t, append(check.args, "--check")...); result.Code != check.code {
			t.Errorf("check %q: exit code %d, want %d:\n%s", check.args, result.Code, check.code, result.Stderr)
		}
	}
	t.Run("the tag of the base has moved", func(t *testing.T) {
		r.rebase(t, app, "--onto", r.ref("base:1"), "--from", r.ref("base:1"), "--push", "-t", r.ref("named:1")).MustSucceed(t)
		if result := r.rebase(t, r.ref("named:1"), "--check"); result.Code != 0 {
			t.Errorf("exit code %d, want 0:\n%s", result.Code, result.Stderr)
		}
		r.build(t, "base:1", "FROM "+r.ref("base:2"))
		if result := r.rebase(t, r.ref("named:1"), "--check"); result.Code != 2 {
			t.Errorf("exit code %d, want 2:\n%s", result.Code, result.Stderr)
		}
	})
}

// TestRebaseAttestations holds the statements about an image to be about that
// image.
func TestRebaseAttestations(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "attested", "--provenance=mode=max", "--annotation", "index:mine=kept",
		"--annotation", "index:org.opencontainers.image.base.name="+bed.Shared(t).Registry.Ref("rebase/attested/base:1"))
	r.wantFound(t, "annotations", r.ref("app:1"), "--onto", r.ref("base:2"))
	app := r.bed.Image(t, r.ref("app:1"), "")
	index := rawIndex(t, r.ref("app:1"))
	sign(t, r.ref("app"), index.digest)
	for road, option := range bothRoads {
		t.Run(road, func(t *testing.T) { r.attested(t, option, "out:"+slug(road), index.digest, app) })
	}
	t.Run("SBOM", func(t *testing.T) {
		r.build(t, "scanner:1", fmt.Sprintf(`FROM %s
ENTRYPOINT ["/bin/sh", "-c", "mkdir -p $BUILDKIT_SCAN_DESTINATION && { echo '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{\"name\":\"'$(cat $BUILDKIT_SCAN_SOURCE/base.txt $BUILDKIT_SCAN_SOURCE/etc/app.conf)'\"}}'; } > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"]
`, r.bed.Base(t, "busybox")))
		r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--builder", r.bed.NewBuilder(t).Name, "--provenance=false", "--sbom=generator="+r.ref("scanner:1"), "--push", "-t", r.ref("sbom:1")).MustSucceed(t)
		out := rawIndex(t, r.ref("sbom:1"))
		if len(out.manifest.Manifests) != 2 {
			t.Fatalf("%d manifests, want an image and its SBOM", len(out.manifest.Manifests))
		}
		if sbom := attestation(t, r.ref("sbom"), out.manifest.Manifests[1].Digest); !strings.Contains(sbom, "base 2 conf") {
			t.Errorf("the SBOM is not of the rebased image:\n%s", sbom)
		}
	})
}

// attested rebases, and wants the attestations and annotations to be about the
// result.
func (r rebaseRepo) attested(t *testing.T, option, tag, appIndex string, app bed.Image) {
	t.Helper()
	result := r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), option, "--provenance=mode=max", "--push", "-t", r.ref(tag)).MustSucceed(t)
	for _, want := range []string{"cosign signature", "example/signature", appIndex} {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("the warning does not name %q:\n%s", want, result.Stderr)
		}
	}
	wantValid(t, r.ref(tag))
	r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), option, "--push", "-t", r.ref(tag+"-default")).MustSucceed(t)
	if got := rawIndex(t, r.ref(tag+"-default")).manifest.Annotations["mine"]; got != "kept" {
		t.Errorf("with the default attestations the index's own annotation is %q", got)
	}
	out := rawIndex(t, r.ref(tag))
	if len(out.manifest.Manifests) != 2 {
		t.Fatalf("%d manifests, want an image and its attestations", len(out.manifest.Manifests))
	}
	subject := out.manifest.Manifests[1].Annotations["vnd.docker.reference.digest"]
	if subject != out.manifest.Manifests[0].Digest.String() || subject == app.Digest {
		t.Errorf("the attestations are about %s", subject)
	}
	statement := attestation(t, r.ref("out"), out.manifest.Manifests[1].Digest)
	for _, want := range []string{appIndex, r.bed.Image(t, r.ref("base:1"), "").Digest, r.bed.Image(t, r.ref("base:2"), "").Digest} {
		if !strings.Contains(statement, strings.TrimPrefix(want, "sha256:")) {
			t.Errorf("the provenance does not name %s:\n%s", want, statement)
		}
	}
	if want := `"build-arg:RELINK_OP":"rebase"`; !strings.Contains(statement, want) {
		t.Errorf("the provenance does not say %s", want)
	}
	for key, want := range map[string]string{
		"mine": "kept", "org.opencontainers.image.base.name": r.ref("base:2"), "org.opencontainers.image.base.digest": r.bed.Image(t, r.ref("base:2"), "").Digest,
	} {
		if got := out.manifest.Annotations[key]; got != want {
			t.Errorf("annotation %s of the index is %q, want %q", key, got, want)
		}
	}
}

type index struct {
	digest   string
	manifest *v1.IndexManifest
}

func rawIndex(t *testing.T, ref string) index {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(parsed, asBed)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return index{digest.String(), manifest}
}

// attestation is the text of the first statement of an attestation manifest.
func attestation(t *testing.T, repo string, manifest v1.Hash) string {
	t.Helper()
	parsed, err := name.NewDigest(repo + "@" + manifest.String())
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(parsed, asBed)
	if err != nil {
		t.Fatal(err)
	}
	var m v1.Manifest
	if err := json.Unmarshal(desc.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	layer, err := remote.Layer(parsed.Context().Digest(m.Layers[0].Digest.String()), asBed)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var statement json.RawMessage
	if err := json.NewDecoder(reader).Decode(&statement); err != nil {
		t.Fatal(err)
	}
	return string(statement)
}

// sign puts beside a digest what cosign would, by its tag and as a referrer.
func sign(t *testing.T, repo, digest string) {
	t.Helper()
	signature, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := name.NewRepository(repo)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(parsed.Tag(strings.Replace(digest, ":", "-", 1)+".sig"), signature, asBed); err != nil {
		t.Fatal(err)
	}
	subject, err := remote.Head(parsed.Digest(digest), asBed)
	if err != nil {
		t.Fatal(err)
	}
	referrer := mutate.Subject(mutate.ConfigMediaType(signature, "example/signature"), *subject)
	image, ok := referrer.(v1.Image)
	if !ok {
		t.Fatal("a subject made something else of an image")
	}
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(parsed.Digest(d.String()), image, asBed); err != nil {
		t.Fatal(err)
	}
}

// writeLayout puts an image of the registry into an OCI layout of its own in a directory,
// and gives the reference to it.
func writeLayout(t *testing.T, dir, ref string) string {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(parsed, asBed)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	path, err := layout.Write(filepath.Join(dir, slug(ref)), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	return "oci-layout://" + filepath.Join(dir, slug(ref)) + "@" + digest.String()
}

// TestRebaseLayouts takes an image, and a base, from an OCI layout on the disk.
func TestRebaseLayouts(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "layouts")
	digests := map[string]string{}
	dir := t.TempDir()
	for _, what := range []string{"app:1", "base:2"} {
		digests[what] = writeLayout(t, dir, r.ref(what))
	}
	from := []string{"--from", r.ref("base:1"), "--provenance=false", "--push", "-t"}
	r.rebase(t, append(from, r.ref("image:1"), digests["app:1"], "--onto", r.ref("base:2"))...).MustSucceed(t)
	r.wantRebuilt(t, "image:1")
	r.rebase(t, append(from, r.ref("onto:1"), r.ref("app:1"), "--onto", digests["base:2"])...).MustSucceed(t)
	r.wantRebuilt(t, "onto:1")

	t.Run("below a target", func(t *testing.T) {
		r.bakeFile(t, "layouts", `
target "app" {
  contexts = { base = "`+digests["app:1"]+`" }
  dockerfile-inline = "FROM base\nCOPY conf /more\n"
}
target "rebased" {
  dockerfile-inline = "FROM scratch"
  args = { RELINK_OP = "rebase" }
  contexts = { image = "target:app", onto = "docker-image://@ref@base:2" }
  tags = ["@ref@below:1"]
}
`)("--allow=fs.read="+dir, "rebased").MustSucceed(t)
		onto, got := r.bed.Image(t, r.ref("base:2"), ""), r.bed.Image(t, r.ref("below:1"), "")
		if n := len(onto.Layers()); len(got.Layers()) != n+1 || !slices.Equal(got.Layers()[:n], onto.Layers()) || got.Tree["/more"].Type != "file" {
			t.Errorf("layers %q, want %q and one more", got.Layers(), onto.Layers())
		}
	})
	t.Run("output of Docker's media types", func(t *testing.T) {
		r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--from", r.ref("base:1"), "--platform="+"linux/"+runtime.GOARCH, "--provenance=false",
			"-o", "type=image,push=true,oci-mediatypes=false,name="+r.ref("docker:1")).MustSucceed(t)
		if got := string(r.bed.Image(t, r.ref("docker:1"), "").Manifest.MediaType); !strings.HasPrefix(got, "application/vnd.docker.") {
			t.Errorf("the manifest is of type %s", got)
		}
	})
	t.Run("output", func(t *testing.T) {
		tar := filepath.Join(dir, "out.tar")
		r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--from", r.ref("base:1"), "-o", "type=oci,dest="+tar).MustSucceed(t)
		if info, err := os.Stat(tar); err != nil || info.Size() < 1000 {
			t.Errorf("the output is %v, %v", info, err)
		}
	})
}

// TestRebaseEngines rebases with the BuildKit of a Docker Engine, into its images
// and out of them, and by files on an Engine that can not put layers on others.
func TestRebaseEngines(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "engines")
	rebase := func(t *testing.T, engine *bed.Engine, image, onto, from, tag string) bed.Result {
		t.Helper()
		return engine.Docker(t, "", nil, "relink", "rebase", image, "--onto", r.ref(onto), "--from", r.ref(from), "--load", "-t", tag)
	}
	t.Run("containerd store", func(t *testing.T) {
		engine := r.bed.NewEngine(t, bed.CurrentEngine)
		shows := func(tag, want string) {
			result := engine.Docker(t, "", nil, "run", "--rm", "--network=none", tag).MustSucceed(t)
			if !strings.Contains(result.Stdout, want) {
				t.Errorf("%s says %q, want %q", tag, result.Stdout, want)
			}
		}
		rebase(t, engine, r.ref("app:1"), "base:2", "base:1", "rebased:1").MustSucceed(t)
		shows("rebased:1", "base 2")
		rebase(t, engine, "rebased:1", "base:1", "base:2", "back:1").MustSucceed(t)
		shows("back:1", "base 1")
	})
	for _, kind := range []bed.EngineKind{bed.GraphEngine, bed.DebianEngine} {
		t.Run(string(kind), func(t *testing.T) { r.byFiles(t, kind) })
	}
}

// byFiles rebases where the builder has no MergeOp: the files are the rebuilt
// image's, and the image's own layers are one.
func (r rebaseRepo) byFiles(t *testing.T, kind bed.EngineKind) {
	engine := r.bed.NewEngine(t, kind)
	tag := "files:" + slug(string(kind))
	result := engine.Docker(t, "", nil, "relink", "rebase", r.ref("app:1"), "--onto", r.ref("base:2"), "--from", r.ref("base:1"), "--push", "-t", r.ref(tag)).MustSucceed(t)
	for _, want := range []string{"which is slower: this builder has no MergeOp", "made one new layer"} {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("it is not said that %q:\n%s", want, result.Stderr)
		}
	}
	got, want := r.bed.Image(t, r.ref(tag), ""), r.bed.Image(t, r.ref("rebuilt:1"), "")
	if onto := r.bed.Image(t, r.ref("base:2"), ""); len(got.Layers()) != len(onto.Layers())+1 {
		t.Errorf("%d layers on a base of %d", len(got.Layers()), len(onto.Layers()))
	}
	checkHistory(t, got.Config)
	got.ClockFrom, want.ClockFrom = rebasesBegan, rebasesBegan
	for _, diff := range bed.Compare(want, got) {
		if !strings.Contains(diff, "history") {
			t.Error(diff)
		}
	}
	r.runs(t, tag, "base 2")
	if kind == bed.GraphEngine { // A builder before v0.10 has no linked targets.
		t.Run("target", func(t *testing.T) { r.targetByFiles(t, engine) })
	}
	for seed := range uint64(4) {
		if kind == bed.DebianEngine {
			break // It can not put a file where the new base has a directory.
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { r.randomByFiles(t, engine, seed) })
	}
	result = engine.Docker(t, "", nil, "relink", "rebase", r.ref("app:1"), "--onto", r.ref("base:2"), "--force-layers", "3", "--push", "-t", r.ref("none:1"))
	wantRefused(t, result, "the old base is gone, and the builder can not take its layers out of the image")
}

// targetByFiles rebases and squashes another target.
func (r rebaseRepo) targetByFiles(t *testing.T, engine *bed.Engine) {
	dir := r.bakeDir(t, "byfiles", fmt.Sprintf(`
target "app" {
  dockerfile-inline = %q
  network = "none"
}
target "rebased" {
  dockerfile-inline = "FROM scratch"
  args = { RELINK_OP = "rebase" }
  contexts = { image = "target:app", onto = "docker-image://@ref@base:2" }
  tags = ["@ref@files:target"]
}
target "squashed" {
  dockerfile-inline = "FROM scratch"
  args = { RELINK_OP = "squash" }
  contexts = { image = "target:app" }
  tags = ["@ref@files:squashed"]
}
`, fmt.Sprintf(rebaseApp, r.ref("base:1"))))
	engine.Docker(t, dir, nil, "relink", "bake", "--push", "rebased", "squashed").MustSucceed(t)
	for tag, like := range map[string]string{"files:target": "rebuilt:1", "files:squashed": "app:1"} {
		got, want := r.bed.Image(t, r.ref(tag), ""), r.bed.Image(t, r.ref(like), "")
		base := r.bed.Image(t, r.ref("base:1"), "")
		if len(got.Layers()) != len(base.Layers())+1 {
			t.Errorf("%s has %d layers on a base of %d", tag, len(got.Layers()), len(base.Layers()))
		}
		checkHistory(t, got.Config)
		got.ClockFrom, want.ClockFrom = rebasesBegan, rebasesBegan
		for _, diff := range bed.Compare(want, got) {
			if !strings.Contains(diff, "history") {
				t.Error(diff)
			}
		}
	}
}

// randomByFiles rebases a stack of random layers without what can not be seen in
// files: opaque directories, and what a layer makes of what was the same before.
func (r rebaseRepo) randomByFiles(t *testing.T, engine *bed.Engine, seed uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, seed))
	layers := func() [][]bed.File {
		all := randomLayers(rnd)
		for i, layer := range all {
			all[i] = slices.DeleteFunc(slices.Clone(layer), func(f bed.File) bool {
				dir, name := path.Split(f.Path)
				name, whiteout := strings.CutPrefix(name, ".wh.")
				// The Engine's own unpacking has no removal beside what takes its place.
				return whiteout && (name == ".wh..opq" || slices.ContainsFunc(layer, func(o bed.File) bool { return o.Path == dir+name }))
			})
		}
		return all
	}
	old, onto, own := layers(), layers(), layers()
	at := func(what string) string { return r.ref(fmt.Sprintf("random:%s-%d", what, seed)) }
	for what, layers := range map[string][][]bed.File{
		"old": old, "onto": onto, "app": slices.Concat(old, own),
	} {
		image, err := bed.NewImage(nil, layers...)
		if err != nil {
			t.Fatal(err)
		}
		r.bed.Push(t, at(what), image)
	}
	engine.Docker(t, "", nil, "relink", "rebase", at("app"), "--onto", at("onto"), "--from", at("old"), "--push", "-t", at("out")).MustSucceed(t)
	tree := func(what string) bed.Tree { return withoutGroups(r.bed.Image(t, at(what), "")).Tree }
	sameTree(t, withoutGroups(r.bed.Image(t, at("out"), "")), ontoByFiles(tree("old"), tree("app"), tree("onto")))
}

// ontoByFiles is the new base without what the image does not have of the old one,
// and with what the image has other than the old one.
func ontoByFiles(old, app, onto bed.Tree) bed.Tree {
	tree := maps.Clone(onto)
	remove := func(gone string) {
		maps.DeleteFunc(tree, func(name string, _ bed.Entry) bool { return name == gone || strings.HasPrefix(name, gone+"/") })
	}
	for name, entry := range old {
		if now, ok := app[name]; !ok || now.Type != entry.Type {
			remove(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(app)) {
		entry := app[name]
		before, had := old[name]
		changed := !had || !reflect.DeepEqual(comparable(before), comparable(entry))
		if !changed {
			continue
		}
		if there, ok := tree[name]; ok && there.Type != entry.Type {
			remove(name)
		}
		tree[name] = entry
		for dir := path.Dir(name); dir != "/" && dir != "."; dir = path.Dir(dir) {
			tree[dir] = app[dir] // what is copied brings its directory
		}
	}
	return tree
}

// TestRebaseAuthentication rebases in a registry that wants a password.
func TestRebaseAuthentication(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "auth")
	host := startProxy(t, r.bed.Registry.Host, func(w http.ResponseWriter, req *http.Request) bool {
		if user, password, _ := req.BasicAuth(); user == "user" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	behind := func(what string) string { return strings.Replace(r.ref(what), r.bed.Registry.Host, host, 1) }
	// The base is found by tags, so that all that asks the registry is used.
	args := []string{behind("app:1"), "--onto", behind("base:2"), "--provenance=false", "--push", "-t", behind("out:1")}
	wantRefused(t, r.rebase(t, args...), "reading the ", "401", "docker login")
	if r.bed.Exists(t, r.ref("out:1")) {
		t.Error("an image was pushed")
	}
	env := []string{"DOCKER_CONFIG=" + loggedIn(t, r.bed, host, "user:secret")}
	r.bed.Docker(t, "", env, append([]string{"relink", "rebase"}, args...)...).MustSucceed(t)
	r.wantRebuilt(t, "out:1")
}

// loggedIn is a copy of the bed's configuration with a log-in to a registry: the
// Docker CLI's own log-in wants TLS.
func loggedIn(t *testing.T, b *bed.Bed, host, login string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, setting := range b.Env() {
		if from, ok := strings.CutPrefix(setting, "DOCKER_CONFIG="); ok {
			if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(dir, "config.json")
	config := map[string]any{}
	if dt, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(dt, &config); err != nil {
			t.Fatal(err)
		}
	}
	auth := base64.StdEncoding.EncodeToString([]byte(login))
	config["auths"] = map[string]any{host: map[string]string{"auth": auth}}
	dt, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, dt, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRebaseByArguments asks for a rebase as a bake file or stock buildx with the
// frontend's image does: by build contexts and arguments.
func TestRebaseByArguments(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "arguments")
	dir := t.TempDir()
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", "FROM scratch\n"))
	r.bed.Docker(t, dir, nil, "relink", "build", "--provenance=false", "--push", "-t", r.ref("out:1"), "--build-arg", "RELINK_OP=rebase",
		"--build-context", "image=docker-image://"+r.ref("app:1"), "--build-context", "onto=docker-image://"+r.ref("base:2"), ".").MustSucceed(t)
	r.wantRebuilt(t, "out:1")
	result := r.bed.Docker(t, dir, nil, "relink", "build", "--build-arg", "RELINK_OP=squeeze", ".")
	wantRefused(t, result, `invalid value "squeeze" of RELINK_OP`)
}

// TestRebaseBadInput wants a clear error for each, and nothing pushed.
func TestRebaseBadInput(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "bad")
	app, base, out := r.ref("app:1"), r.ref("base:2"), r.ref("out:1")
	artifact, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	artifact = mutate.ConfigMediaType(mutate.MediaType(artifact, "application/vnd.oci.image.manifest.v1+json"), "application/vnd.example+json")
	r.bed.Push(t, r.ref("artifact:1"), artifact)
	r.bed.Push(t, r.ref("windows:1"), platformImage(t, "windows/amd64", bed.Text("Files/a", "a")))
	r.bed.Push(t, r.ref("s390x:1"), platformImage(t, "linux/s390x", bed.Text("a", "a")))
	for _, test := range []struct {
		name string
		args []string
		says []string
	}{
		{"no base", []string{app, "--push", "-t", out}, []string{"there is no new base", "--onto"}},
		{"no image", []string{"--onto", base}, []string{"requires 1 argument"}},
		{"image that is not there", []string{r.ref("nothing:1"), "--onto", base, "--push", "-t", out}, []string{"reading the image", "nothing:1: not found", "docker login"}},
		{"base that is not there", []string{app, "--onto", r.ref("nothing:2"), "--push", "-t", out}, []string{"reading the new base", "nothing:2: not found"}},
		{"registry that is not there", []string{app, "--onto", "127.0.0.1:1/base:1", "--push", "-t", out}, []string{"reading the new base 127.0.0.1:1/base:1"}},
		{"not a reference", []string{"UPPER", "--onto", base, "--push", "-t", out}, []string{`reading the reference "UPPER"`}},
		{"not a tag", []string{app, "--onto", base, "--push", "-t", "UPPER"}, []string{`reading the tag "UPPER"`}},
		{"not an image", []string{r.ref("artifact:1"), "--onto", base, "--push", "-t", out}, []string{"reading the "}},
		{"base of another OS", []string{app, "--onto", r.ref("windows:1"), "--push", "-t", out}, []string{"the new base for windows/amd64"}},
		{"base of another architecture", []string{app, "--onto", r.ref("s390x:1"), "--push", "-t", out}, []string{"the new base for linux/s390x", "--onto"}},
		{"the image's own tag and no push", []string{app, "--onto", base, "-t", app}, []string{"is the image itself", "--push"}},
		{"push without a tag", []string{app, "--onto", base, "--push"}, []string{"no tag to push", "-t"}},
		{"too many layers", []string{app, "--onto", base, "--force-layers", "77", "--push", "-t", out}, []string{"has only"}},
		{"format", []string{app, "--onto", base, "--dry-run", "--format", "yaml"}, []string{"invalid format", "text or json"}},
		{"plan and check", []string{app, "--onto", base, "--dry-run", "--check"}, []string{"can not be used together"}},
		{"place that takes no push", []string{app, "--onto", base, "--from", r.ref("base:1"), "--push", "-t", "127.0.0.1:1/out:1"}, []string{"127.0.0.1:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantRefused(t, r.rebase(t, test.args...), test.says...)
			if r.bed.Exists(t, out) {
				t.Error("an image was pushed")
			}
		})
	}
}

// TestRebaseRandomLayers rebases stacks of random layers: files, deletions,
// opaque directories, changes of type and hard links.
func TestRebaseRandomLayers(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	for i := range 12 {
		seed := uint64(i) + 1
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, seed))
			r := rebaseRepo{bed: b, name: fmt.Sprint("rebase/random", seed)}
			old, onto, own := randomLayers(rnd), randomLayers(rnd), randomLayers(rnd)
			for what, layers := range map[string][][]bed.File{
				"base:1": old, "base:2": onto, "app:1": slices.Concat(old, own), "rebuilt:1": slices.Concat(onto, own),
			} {
				image, err := bed.NewImage(nil, layers...)
				if err != nil {
					t.Fatal(err)
				}
				b.Push(t, r.ref(what), image)
			}
			road := []string{"--builder=bed", "--progress=plain"}[i%2]
			r.rebase(t, r.ref("app:1"), "--onto", r.ref("base:2"), "--from", r.ref("base:1"), road, "--push", "--provenance=false", "-t", r.ref("out:1")).MustSucceed(t)
			got, want := b.Image(t, r.ref("out:1"), ""), b.Image(t, r.ref("rebuilt:1"), "")
			if !slices.Equal(got.Layers(), want.Layers()) {
				t.Errorf("layers %q, want %q", got.Layers(), want.Layers())
			}
			for _, diff := range bed.Compare(want, got) {
				if !strings.HasPrefix(diff, "config: created") && !strings.Contains(diff, "history") {
					t.Error(diff)
				}
			}
		})
	}
}

func randomLayers(rnd *rand.Rand) [][]bed.File {
	names := []string{"a", "b", "c", "d"}
	pick := func() string { return names[rnd.IntN(len(names))] }
	layers := make([][]bed.File, 1+rnd.IntN(4))
	for i := range layers {
		taken := map[string]bool{}
		add := func(f bed.File) {
			if !taken[f.Path] {
				layers[i] = append(layers[i], f)
			}
			taken[f.Path] = true
		}
		add(bed.Text("layer", fmt.Sprint(rnd.Int())))
		for range 1 + rnd.IntN(6) {
			dir := "dir" + pick()
			add(bed.Dir(dir, 0o755))
			path := dir + "/" + pick()
			switch rnd.IntN(6) {
			case 0:
				add(bed.Text(dir+"/.wh."+pick(), ""))
			case 1:
				add(bed.Text(dir+"/.wh..wh..opq", ""))
			case 2:
				add(bed.Dir(path, 0o700))
			case 3:
				add(bed.Link(path, "../layer"))
			case 4:
				add(bed.File{Path: path, Hardlink: "layer"})
			default:
				add(bed.Text(path, fmt.Sprint(rnd.Int())))
			}
		}
	}
	return layers
}

// TestRebaseRelease warns where the bases say that they are of two releases.
func TestRebaseRelease(t *testing.T) {
	t.Parallel()
	r := rebaseRepo{bed: bed.Shared(t), name: "rebase/release"}
	for n, version := range map[string]string{"1": "22.04", "2": "24.04"} {
		r.build(t, "base:"+n, fmt.Sprintf("FROM %s\nLABEL org.opencontainers.image.ref.name=ubuntu org.opencontainers.image.version=%s\nRUN echo %s %s > /release\n",
			r.bed.Base(t, "busybox"), version, r.name, version))
	}
	r.build(t, "app:1", "FROM "+r.ref("base:1")+"\nCOPY conf /\n")
	plan := r.plan(t, r.ref("app:1"), "--onto", r.ref("base:2"))
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "ubuntu 22.04, the new one ubuntu 24.04") {
		t.Errorf("warnings %q", plan.Warnings)
	}
}

// TestRebaseTime takes the time of the result from SOURCE_DATE_EPOCH. Then a
// rebase makes the same each time, and with a builder the same as without.
func TestRebaseTime(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "time", "--provenance=mode=max", "--annotation", "index,manifest:mine=kept")
	for _, kind := range []string{"--provenance=false", "--provenance=true"} {
		t.Run(kind, func(t *testing.T) {
			var images []bed.Image
			for _, road := range []string{"--builder=bed", "--progress=plain", "--progress=auto"} {
				tag := r.ref("out:" + slug(kind+road))
				result := r.bed.Docker(t, "", []string{"SOURCE_DATE_EPOCH=1700000000"}, "relink", "rebase", r.ref("app:1"), "--onto", r.ref("base:2"),
					road, kind, "--push", "-t", tag, "--label", "more=yes", "--annotation", "manifest:also=mine").MustSucceed(t)
				if straight := strings.Contains(result.Stderr, "from registry to registry"); straight != (road != "--builder=bed") {
					t.Errorf("%s: without a builder: %v\n%s", road, straight, result.Stderr)
				}
				images = append(images, r.bed.Image(t, tag, ""))
			}
			for _, image := range images {
				if got := image.Config.Created.Unix(); got != 1700000000 {
					t.Errorf("created %v", image.Config.Created)
				}
				if image.Config.Config.Labels["more"] != "yes" || image.Manifest.Annotations["also"] != "mine" || image.Manifest.Annotations["mine"] != "kept" {
					t.Errorf("labels %v, annotations %v", image.Config.Config.Labels, image.Manifest.Annotations)
				}
				if string(image.RawConfig) != string(images[0].RawConfig) {
					t.Errorf("the same rebase makes another config:\n%s\n%s", images[0].RawConfig, image.RawConfig)
				} else if image.Digest != images[0].Digest {
					t.Errorf("the same rebase makes another manifest:\n%+v\n%+v", images[0].Manifest, image.Manifest)
				}
			}
		})
	}
}
