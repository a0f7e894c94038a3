package tests

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/docker-relink/relink/tests/bed"
)

// squashRepo has images to squash, below a name of their own.
type squashRepo struct {
	bed  *bed.Bed
	name string
}

func newSquashRepo(t *testing.T, name string) squashRepo {
	t.Helper()
	return squashRepo{bed: bed.Shared(t), name: "squash/" + name}
}

func (r squashRepo) ref(what string) string { return r.bed.Registry.Ref(r.name + "/" + what) }

// push puts an image of layers in the registry.
func (r squashRepo) push(t *testing.T, what string, change func(*v1.ConfigFile), layers ...[]bed.File) {
	t.Helper()
	image, err := bed.NewImage(change, layers...)
	if err != nil {
		t.Fatal(err)
	}
	r.bed.Push(t, r.ref(what), image)
}

// build builds and pushes with a plugin, without attestations unless args ask for
// them.
func (r squashRepo) build(t *testing.T, plugin, what, dockerfile string, args ...string) bed.Result {
	t.Helper()
	dir := filepath.Join(t.TempDir(), slug(r.name+what))
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("file", r.name+"\n"), bed.Text("Dockerfile", dockerfile))
	args = append([]string{"build", "--push", "-t", r.ref(what)}, args...)
	if !strings.Contains(strings.Join(args, " "), "--provenance") {
		args = append(args, "--provenance=false")
	}
	return r.bed.Plugin(t, dir, nil, plugin, append(args, ".")...)
}

func (r squashRepo) squash(t *testing.T, args ...string) bed.Result {
	t.Helper()
	return r.bed.Plugin(t, "", nil, "relink", append([]string{"squash"}, args...)...)
}

// wantSquashed wants an image to be another with its layers above the first kept
// made one.
func (r squashRepo) wantSquashed(t *testing.T, before, after string, kept int) {
	t.Helper()
	for _, was := range r.bed.Images(t, r.ref(before)) {
		is := r.bed.Image(t, r.ref(after), was.Platform)
		wantSameTree(t, was, is)
		if len(is.Layers()) != kept+1 || !slices.Equal(is.Layers()[:kept], was.Layers()[:kept]) {
			t.Errorf("layers %q, want the first %d of %q and one more", is.Layers(), kept, was.Layers())
		}
	}
	wantValid(t, r.ref(after))
}

// wantSameTree wants equal trees and configs; the history is another.
func wantSameTree(t *testing.T, was, is bed.Image) {
	t.Helper()
	for _, diff := range bed.Compare(was, is) {
		if !strings.HasPrefix(diff, "config.history") {
			t.Error(diff)
		}
	}
}

// hazards are stacks of layers on a base, each with what goes wrong easily when
// layers become one. A layer with a new name of a file has the file as well, as
// all engines write it; BuildKit does not pull one that has not.
var hazards = []struct {
	name string
	base []bed.File
	own  [][]bed.File
}{
	{"hard links in a layer", nil, [][]bed.File{{bed.Text("a", "1"), {Path: "b", Hardlink: "a"}}, {bed.Text("c", "2")}}},
	{"hard links across layers", nil, [][]bed.File{{bed.Text("a", "1"), bed.Dir("d", 0o755)}, {bed.Text("a", "1"), bed.Dir("d", 0o755), {Path: "d/b", Hardlink: "a"}}}},
	{"hard link to the base", []bed.File{bed.Text("base", "1")}, [][]bed.File{{bed.Text("base", "1"), {Path: "link", Hardlink: "base"}}, {bed.Text("c", "2")}}},
	{"hard link to the base elsewhere", []bed.File{bed.Dir("d", 0o755), bed.Text("d/base", "1"), bed.Text("d/other", "2")}, [][]bed.File{
		{bed.Dir("d", 0o755), bed.Text("d/base", "1"), bed.Dir("e", 0o755), {Path: "e/link", Hardlink: "d/base"}, bed.Dir("e/f", 0o755), {Path: "e/f/link", Hardlink: "d/base"}, bed.Text("e/no link", "3"), bed.Text("e/copy", "1")},
		{bed.Text("c", "2")},
	}},
	{"files of the base made one elsewhere", []bed.File{bed.Dir("d", 0o755), bed.Text("d/one", "1"), bed.Dir("e", 0o755), bed.Text("e/two", "1"), bed.Text("e/other", "2")}, [][]bed.File{
		{bed.Dir("d", 0o755), bed.Text("d/one", "1"), bed.Dir("e", 0o755), {Path: "e/two", Hardlink: "d/one"}, bed.Text("e/other", "2")}, {bed.Text("c", "2")},
	}},
	{"one of two links removed", nil, [][]bed.File{{bed.Text("a", "1"), {Path: "b", Hardlink: "a"}}, {bed.Text(".wh.a", "")}}},
	{"two links removed", nil, [][]bed.File{{bed.Text("a", "1"), {Path: "b", Hardlink: "a"}}, {bed.Text(".wh.a", ""), bed.Text(".wh.b", ""), bed.Text("c", "")}}},
	{"deletions", []bed.File{bed.Text("a", "1"), bed.Dir("d", 0o755), bed.Text("d/f", "2"), bed.Text("d/g", "3")}, [][]bed.File{{bed.Text(".wh.a", "")}, {bed.Dir("d", 0o755), bed.Text("d/.wh.f", "")}}},
	{"many deletions", many("", "gone%d", "%d.gone", "[%d]", "stay%d", "%d.stay"), [][]bed.File{many(".wh.", "gone%d", "%d.gone"), append(many(".wh.", "[%d]"), bed.Text("new", "2"))}},
	{"many deletions and a change of type", many("", "gone%d"), [][]bed.File{many(".wh.", "gone%d"), {bed.Text("gone7", "2"), bed.Dir("gone8", 0o700)}}},
	{"deleted and made again", []bed.File{bed.Text("a", "1"), bed.Dir("d", 0o755), bed.Text("d/f", "2")}, [][]bed.File{{bed.Text(".wh.a", ""), bed.Text(".wh.d", "")}, {bed.Text("a", "2"), bed.Dir("d", 0o700), bed.Text("d/g", "3")}}},
	{"opaque directory", []bed.File{bed.Dir("d", 0o755), bed.Text("d/f", "2"), bed.Dir("d/e", 0o755), bed.Text("d/e/f", "2")}, [][]bed.File{{bed.Dir("d", 0o755), bed.Text("d/.wh..wh..opq", ""), bed.Text("d/g", "3")}, {bed.Dir("d", 0o755), bed.Text("d/h", "4")}}},
	{"emptied by an opaque directory", []bed.File{bed.Dir("d", 0o755), bed.Text("d/f", "2"), bed.Dir("d/e", 0o755)}, [][]bed.File{{bed.Dir("d", 0o755), bed.Text("d/g", "3")}, {bed.Dir("d", 0o755), bed.Text("d/.wh..wh..opq", "")}}},
	{"changes of type", []bed.File{bed.Text("a", "1"), bed.Dir("b", 0o755), bed.Text("b/f", "2"), bed.Link("c", "b"), bed.Dir("e", 0o755)}, [][]bed.File{{bed.Text(".wh.a", ""), bed.Text(".wh.b", ""), bed.Text(".wh.c", "")}, {bed.Dir("a", 0o755), bed.Text("a/f", "3"), bed.Text("b", "4"), bed.Dir("c", 0o755), bed.Text("c/f", "5"), bed.Link("e", "a")}}},
	{"symbolic links", []bed.File{bed.Dir("d", 0o755), bed.Text("d/f", "1")}, [][]bed.File{{bed.Link("broken", "nothing/here"), bed.Link("dir", "d"), bed.Link("absolute", "/d/f")}, {bed.Link("chain", "dir"), bed.Link("broken", "still/nothing")}}},
	{"modes and owners", []bed.File{bed.Dir("d", 0o755), bed.Text("f", "1")}, [][]bed.File{{bed.Text("setuid", "1").WithMode(0o4755).OwnedBy(7, 8), bed.Text("setgid", "1").WithMode(0o2755), bed.Dir("sticky", 0o1777), bed.Dir("shared", 0o2775).OwnedBy(5, 6)}, {bed.Dir("d", 0o700).OwnedBy(9, 9), bed.Text("f", "1").OwnedBy(65534, 65534), bed.Link("l", "f").OwnedBy(3, 4)}}},
	{"capabilities", []bed.File{bed.Text("f", "1"), bed.Text("c", "1").WithMode(0o755)}, [][]bed.File{{{Path: "c", Content: "1", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}}}, {{Path: "new", Content: "1", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}}, {Path: "link", Hardlink: "new", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}}}}},
	{"times", []bed.File{bed.Text("f", "1")}, [][]bed.File{{{Path: "f", Content: "1", ModTime: early}}, {{Path: "g", Content: "2", ModTime: early}, {Path: "l", Symlink: "g", ModTime: early}}}},
	{"names", []bed.File{bed.Text("a\xff", "1"), bed.Text("b\xfe", "2"), bed.Dir("d\xff", 0o755), bed.Text("d\xff/gone", "3"), bed.Text("d\xff/stays", "4"), bed.Text("[x]*?", "5")}, [][]bed.File{{bed.Text(".wh.a\xff", ""), bed.Text("c\xff", "6"), bed.Text("\u00e4", "7"), bed.Text(".wh.[x]*?", "")}, {bed.Dir("d\xff", 0o755), bed.Text("d\xff/.wh.gone", ""), bed.Text("d\xff/new\xfe", "8"), bed.Text(" blank ", "9"), bed.Text("!x", "10")}}},
	{"unchanged beside changed", []bed.File{bed.Dir("d", 0o755), bed.Text("d/small", "1"), bed.Text("d/big", strings.Repeat("2", 100<<10)), bed.Link("d/link", "small"), bed.Text("d/one", "3"), {Path: "d/other", Hardlink: "d/one"}}, [][]bed.File{{bed.Dir("d", 0o755), bed.Text("d/new", "4")}, {bed.Dir("d", 0o755), bed.Text("d/newer", "5")}}},
	{"whiteouts of nothing", nil, [][]bed.File{{bed.Text(".wh.none", ""), bed.Text("a", "1")}, {bed.Text(".wh.none", ""), bed.Text("b", "1")}}},
	{"a layer without data", nil, [][]bed.File{{bed.Text("a", "1")}, {}, {bed.Text("b", "1")}}},
}

// many are files with such names, 40 of each.
func many(prefix string, names ...string) (files []bed.File) {
	for _, name := range names {
		for i := range 40 {
			files = append(files, bed.Text(prefix+fmt.Sprintf(name, i), "1"))
		}
	}
	return files
}

// below puts files below a directory.
func below(dir string, files []bed.File) []bed.File {
	out := []bed.File{bed.Dir(dir, 0o755)}
	for _, f := range files {
		f.Path = dir + "/" + f.Path
		if f.Hardlink != "" {
			f.Hardlink = dir + "/" + f.Hardlink
		}
		out = append(out, f)
	}
	return out
}

// hazardLayers are the hazards in directories of their own: a base, and three
// layers on it.
func hazardLayers() (base []bed.File, own [][]bed.File) {
	base, own = []bed.File{bed.Text("base", "")}, make([][]bed.File, 3)
	for _, h := range hazards {
		dir := slug(h.name)
		base = append(base, below(dir, h.base)...)
		for i, files := range h.own {
			own[i] = append(own[i], below(dir, files)...)
		}
	}
	return base, own
}

// TestSquash makes one layer of layers with all that goes wrong easily, with what
// describes an image.
func TestSquash(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "main")
	base, own := hazardLayers()
	config := func(c *v1.ConfigFile) {
		c.Config = v1.Config{
			Env: []string{"PATH=/bin", "A=b c"}, Cmd: []string{"a", "b"}, Entrypoint: []string{"/e"}, User: "1:2", WorkingDir: "/d",
			Labels: map[string]string{"l": "m"}, Volumes: map[string]struct{}{"/v": {}}, ExposedPorts: map[string]struct{}{"1/tcp": {}},
			StopSignal: "SIGINT", OnBuild: []string{"RUN x"}, Shell: []string{"/s"}, Healthcheck: &v1.HealthConfig{Test: []string{"NONE"}},
		}
		c.Author = "somebody"
	}
	r.push(t, "base:1", nil, base)
	r.push(t, "app:1", config, append([][]bed.File{base}, own...)...)
	result := r.squash(t, r.ref("app:1"), "--keep-base", "--base", r.ref("base:1"), "--provenance=false", "--push", "-t", r.ref("out:1")).MustSucceed(t)
	r.wantSquashed(t, "app:1", "out:1", 1)
	for _, path := range r.bed.Image(t, r.ref("out:1"), "").LayerPaths[1] {
		if dir := "/unchanged-beside-changed/"; strings.HasPrefix(path, dir) && !strings.HasPrefix(path, dir+"d/new") {
			t.Errorf("the layer has %s, which is as in the base", path)
		}
	}
	for _, want := range []string{"layers before: 4 (", "layers after: 2 (", "pushed with 2 layers", "warning: ", "who has the layers of the image already"} {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("the report does not say %q:\n%s", want, result.Stderr)
		}
	}
	t.Run("history", func(t *testing.T) {
		was, is := r.bed.Image(t, r.ref("base:1"), ""), r.bed.Image(t, r.ref("out:1"), "")
		n := len(was.Config.History)
		if len(is.Config.History) != n+1 || is.Config.History[0].CreatedBy != was.Config.History[0].CreatedBy {
			t.Fatalf("history %+v, want the base's and one entry", is.Config.History)
		}
		if want := "squash layers 2 to 4 on " + r.ref("base:1"); is.Config.History[n].CreatedBy != want || is.Config.History[n].EmptyLayer {
			t.Errorf("the entry is %+v, want %q", is.Config.History[n], want)
		}
	})
	t.Run("all", func(t *testing.T) {
		r.squash(t, r.ref("app:1"), "--all", "--provenance=false", "--push", "-t", r.ref("all:1")).MustSucceed(t)
		r.wantSquashed(t, "app:1", "all:1", 0)
	})
	t.Run("from a layer", func(t *testing.T) {
		r.squash(t, r.ref("app:1"), "--from-layer", "2", "--provenance=false", "--push", "-t", r.ref("part:1")).MustSucceed(t)
		r.wantSquashed(t, "app:1", "part:1", 1)
	})
	t.Run("time and labels", func(t *testing.T) {
		r.bed.Docker(t, "", []string{"SOURCE_DATE_EPOCH=1700000000"}, "relink", "squash", r.ref("app:1"), "--base", r.ref("base:1"),
			"--provenance=false", "--push", "-t", r.ref("epoch:1"), "--label", "more=yes", "--annotation", "manifest:also=mine").MustSucceed(t)
		image := r.bed.Image(t, r.ref("epoch:1"), "")
		if last := image.Config.History[len(image.Config.History)-1]; image.Config.Created.Unix() != 1700000000 || last.Created.Unix() != 1700000000 {
			t.Errorf("created %v, the entry %v", image.Config.Created, last.Created)
		}
		if image.Config.Config.Labels["more"] != "yes" || image.Config.Config.Labels["l"] != "m" || image.Manifest.Annotations["also"] != "mine" {
			t.Errorf("labels %v, annotations %v", image.Config.Config.Labels, image.Manifest.Annotations)
		}
	})
	t.Run("again", func(t *testing.T) {
		builder := r.bed.NewBuilder(t)
		r.squash(t, r.ref("app:1"), "--builder", builder.Name, "--base", r.ref("base:1"), "--provenance=false", "--push", "-t", r.ref("again:1")).MustSucceed(t)
		if a, b := r.bed.Image(t, r.ref("out:1"), ""), r.bed.Image(t, r.ref("again:1"), ""); a.Digest != b.Digest {
			t.Errorf("the same squash on another builder is %s, want %s", b.Digest, a.Digest)
		}
	})
}

// squashDockerfile has what a build does to its base, device nodes included.
const squashDockerfile = `FROM %s AS base
ENV A=b
RUN rm /etc/group && mkdir -p /d/e && echo 1 > /d/e/f && ln /d/e/f /d/e/g && ln -s nothing /d/broken
FROM base AS middle
COPY file /bin/file
RUN busybox mkfifo /d/q && busybox mknod /d/c c 5 1 && busybox mknod /d/e/b b 7 3 && busybox mknod /d/b b 7 4 && chmod 4755 /d/e/f && echo gone > /gone
FROM middle
RUN rm /gone && chmod 1777 /d && echo 2 > /d/x && touch -d '2001-02-03 04:05:06' /d/x && busybox dd if=/dev/zero of=/d/sparse bs=1 count=1 seek=9999999
WORKDIR /d/work
COPY file file
USER 1000
CMD ["a"]
`

// TestSquashBuild squashes what a build makes, and holds it to the same build
// without.
func TestSquashBuild(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "build")
	dockerfile := fmt.Sprintf(squashDockerfile, r.bed.Base(t, "busybox"))
	r.build(t, "buildx", "stock:1", dockerfile).MustSucceed(t)
	stock := r.bed.Image(t, r.ref("stock:1"), "")
	for name, tc := range map[string]struct {
		args []string
		kept int
		says string
	}{
		"base":     {[]string{"--squash"}, 1, "layers before: 7"},
		"true":     {[]string{"--squash=true"}, 1, "layers after: 2"},
		"all":      {[]string{"--squash=all"}, 0, "layers after: 1"},
		"stage":    {[]string{"--squash=middle"}, 4, "layers after: 5"},
		"unlinked": {[]string{"--squash=middle", "--link=never"}, 4, ""},
		"argument": {[]string{"--build-arg", "RELINK_SQUASH=base", "--provenance=mode=max"}, 1, ""},
		"none":     {[]string{"--squash=false"}, 6, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := r.build(t, "relink", name+":1", dockerfile, tc.args...).MustSucceed(t)
			is := r.bed.Image(t, r.ref(name+":1"), "")
			wantSameTree(t, stock, is)
			if len(is.Layers()) != tc.kept+1 || !slices.Equal(is.Layers()[:min(tc.kept, 2)], stock.Layers()[:min(tc.kept, 2)]) {
				t.Errorf("layers %q, want the first %d of %q and one more", is.Layers(), tc.kept, stock.Layers())
			}
			if !strings.Contains(result.Stderr, tc.says) {
				t.Errorf("the report does not say %q:\n%s", tc.says, result.Stderr)
			}
			wantValid(t, r.ref(name+":1"))
		})
	}
}

// early is another time than that of the bed's files.
var early = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// capability is what setcap writes for cap_net_raw+ep.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// TestSquashPlatforms squashes all images of an index, and keeps the annotations.
func TestSquashPlatforms(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "platforms")
	all := []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}
	var bases, apps []v1.Image
	for _, p := range all {
		base, app := platformImage(t, p, bed.Text("base", p)), []v1.Layer{}
		for _, name := range []string{"one", "two"} {
			layers, err := platformImage(t, p, bed.Text(name, p+name)).Layers()
			if err != nil {
				t.Fatal(err)
			}
			app = append(app, layers...)
		}
		image, err := mutate.AppendLayers(base, app...)
		if err != nil {
			t.Fatal(err)
		}
		annotated, ok := mutate.Annotations(mutate.MediaType(image, "application/vnd.oci.image.manifest.v1+json"), map[string]string{
			"of": p, "org.opencontainers.image.base.name": r.ref("base:1"),
		}).(v1.Image)
		if !ok {
			t.Fatal("annotations made something else of an image")
		}
		bases, apps = append(bases, base), append(apps, annotated)
	}
	r.bed.PushIndex(t, r.ref("base:1"), bases...)
	r.bed.PushIndex(t, r.ref("app:1"), apps...)
	result := r.squash(t, r.ref("app:1"), "--push", "-t", r.ref("out:1")).MustSucceed(t)
	r.wantSquashed(t, "app:1", "out:1", 1)
	if got := len(r.bed.Images(t, r.ref("out:1"))); got != len(all) {
		t.Errorf("%d platforms, want %d", got, len(all))
	}
	for _, want := range []string{"linux/arm64: layers before: 3 (", "found by annotations"} {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("the report does not say %q:\n%s", want, result.Stderr)
		}
	}
	r.squash(t, r.ref("app:1"), "--platform=linux/arm64", "--push", "--provenance=false", "-t", r.ref("one:1")).MustSucceed(t)
	if images := r.bed.Images(t, r.ref("one:1")); len(images) != 1 || images[0].Platform != "linux/arm64" {
		t.Errorf("%d images", len(images))
	}
	wantRefused(t, r.squash(t, r.ref("app:1"), "--platform=linux/s390x", "--push", "-t", r.ref("none:1")), "no image for linux/s390x")
}

// squashReport is the report of a squash, as programs read it.
type squashReport struct {
	Platforms []struct {
		Platform, Found, Nothing string
		Kept, Squashed           []struct {
			DiffID string
			Size   int64
		}
	}
	Warnings []string
}

// stack pushes a base and an image of layers on it that nothing is known of.
func (r squashRepo) stack(t *testing.T, layers int) {
	t.Helper()
	all := [][]bed.File{{bed.Text("base", r.name)}}
	r.push(t, "base:1", nil, all...)
	for i := range layers {
		all = append(all, []bed.File{bed.Text(fmt.Sprint("own", i), fmt.Sprint(i)), bed.Text("same", fmt.Sprint(i))})
	}
	r.push(t, "app:1", nil, all...)
}

// TestSquashPlan holds a dry run to doing nothing, and to the layers and sizes.
func TestSquashPlan(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "plan")
	r.stack(t, 3)
	mark := r.bed.Registry.Mark(t)
	var report squashReport
	r.squash(t, r.ref("app:1"), "--base", r.ref("base:1"), "--dry-run", "--format=json", "--push", "-t", r.ref("out:1")).JSON(t, &report)
	if p := report.Platforms[0]; len(p.Kept) != 1 || len(p.Squashed) != 3 || p.Squashed[2].Size == 0 || p.Found != "--base" || len(report.Warnings) != 1 {
		t.Errorf("the plan is %+v", report)
	}
	text := r.squash(t, r.ref("app:1"), "--base", r.ref("base:1"), "--dry-run").MustSucceed(t)
	for _, want := range []string{"layers before: 4 (", "layers after: 2 (", "bytes at most"} {
		if !strings.Contains(text.Stdout, want) {
			t.Errorf("the plan does not say %q:\n%s", want, text.Stdout)
		}
	}
	for _, request := range r.bed.Registry.Since(t, mark) {
		if strings.HasPrefix(request.Repo, r.name) && request.Method != http.MethodGet && request.Method != http.MethodHead {
			t.Errorf("the registry was written to: %+v", request)
		}
	}
	dir := t.TempDir()
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", "FROM "+r.ref("app:1")+"\nRUN no such thing\nRUN nor this\n"))
	build := r.bed.Docker(t, dir, nil, "relink", "squash", ".", "--dry-run").MustSucceed(t)
	for _, want := range []string{"layers before: 6", "kept: 4 (", "layers after: 5"} {
		if !strings.Contains(build.Stdout, want) {
			t.Errorf("the plan of a build does not say %q:\n%s", want, build.Stdout)
		}
	}
}

// TestSquashNothing leaves images as they are that have one layer of their own or
// none, and says so.
func TestSquashNothing(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "nothing")
	r.stack(t, 1)
	for what, args := range map[string][]string{
		"one own layer":  {r.ref("app:1"), "--base", r.ref("base:1")},
		"no own layer":   {r.ref("app:1"), "--base", r.ref("app:1")},
		"the last layer": {r.ref("app:1"), "--from-layer", "2"},
	} {
		t.Run(what, func(t *testing.T) {
			tag := slug(what) + ":1"
			result := r.squash(t, append(args, "--push", "--provenance=false", "-t", r.ref(tag))...).MustSucceed(t)
			if !strings.Contains(result.Stderr, "nothing to squash: ") {
				t.Errorf("the report does not say so:\n%s", result.Stderr)
			}
			was, is := r.bed.Image(t, r.ref("app:1"), ""), r.bed.Image(t, r.ref(tag), "")
			for _, diff := range bed.Compare(was, is) {
				t.Error(diff)
			}
			if !slices.Equal(was.Layers(), is.Layers()) {
				t.Errorf("layers %q, want %q", is.Layers(), was.Layers())
			}
		})
	}
	t.Run("an image of one layer", func(t *testing.T) {
		result := r.squash(t, r.ref("base:1"), "--all", "--push", "-t", r.ref("all:1")).MustSucceed(t)
		if !strings.Contains(result.Stderr, "nothing to squash: it is one layer already") {
			t.Errorf("the report does not say so:\n%s", result.Stderr)
		}
	})
	t.Run("a build", func(t *testing.T) {
		result := r.build(t, "relink", "build:1", "FROM "+r.ref("base:1")+"\nCOPY file /\n", "--squash").MustSucceed(t)
		if !strings.Contains(result.Stderr, "nothing to squash: the build adds one layer") {
			t.Errorf("the report does not say so:\n%s", result.Stderr)
		}
	})
}

// TestSquashLeavesNothing has layers that take back what others did.
func TestSquashLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "leaves")
	base := []bed.File{bed.Text("f", "1"), bed.Dir("d", 0o755), bed.Text("d/f", "2"), bed.Text("big", strings.Repeat("3", 1<<20))}
	r.push(t, "base:1", nil, base)
	r.push(t, "app:1", nil, base, []bed.File{bed.Text("f", "other"), bed.Text("new", "4"), bed.Dir("d", 0o755), bed.Text("d/.wh.f", "")},
		[]bed.File{bed.Text("f", "1"), bed.Text(".wh.new", ""), bed.Dir("d", 0o755), bed.Text("d/f", "2"), bed.Text("stays", "5")})
	r.squash(t, r.ref("app:1"), "--base", r.ref("base:1"), "--provenance=false", "--push", "-t", r.ref("out:1")).MustSucceed(t)
	r.wantSquashed(t, "app:1", "out:1", 1)
	if got := r.bed.Image(t, r.ref("out:1"), "").LayerPaths[1]; !slices.Equal(got, []string{"/stays"}) {
		t.Errorf("the layer has %q, want /stays alone", got)
	}
	t.Run("at all", func(t *testing.T) {
		r.push(t, "back:1", nil, base, []bed.File{bed.Text("new", "4")}, []bed.File{bed.Text(".wh.new", "")})
		result := r.squash(t, r.ref("back:1"), "--base", r.ref("base:1"), "--provenance=false", "--push", "-t", r.ref("back:2")).MustSucceed(t)
		was, is := r.bed.Image(t, r.ref("back:1"), ""), r.bed.Image(t, r.ref("back:2"), "")
		wantSameTree(t, was, is)
		if !slices.Equal(is.Layers(), was.Layers()[:1]) || !strings.Contains(result.Stderr, "leaves nothing behind") {
			t.Errorf("layers %q, want the base's alone:\n%s", is.Layers(), result.Stderr)
		}
	})
}

// TestSquashRandom squashes stacks of random layers, and compares entry by entry.
func TestSquashRandom(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "random")
	for i := range 6 {
		seed := uint64(i) + 100
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, seed))
			base := unambiguous(randomLayers(rnd))
			app := slices.Concat(base, unambiguous(randomLayers(rnd)), unambiguous(randomLayers(rnd)))
			what := fmt.Sprint(":", seed)
			r.push(t, "app"+what, nil, app...)
			r.squash(t, r.ref("app"+what), "--from-layer", fmt.Sprint(len(base)+1), "--provenance=false", "--push", "-t", r.ref("out"+what)).MustSucceed(t)
			r.wantSquashed(t, "app"+what, "out"+what, len(base))
		})
	}
}

// TestSquashRandomlyKept does so with what BuildKit writes into no layer here and there.
func TestSquashRandomlyKept(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "randomly-kept")
	for i := range 6 {
		seed := uint64(i) + 200
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, seed))
			base := unambiguous(randomLayers(rnd))
			app := slices.Clone(base)
			for range 3 {
				app = append(app, sprinkled(rnd, unambiguous(randomLayers(rnd)))...)
			}
			what := fmt.Sprint(":", seed)
			r.push(t, "app"+what, nil, app...)
			for tag, args := range map[string][]string{"out": {"--from-layer", fmt.Sprint(len(base) + 1)}, "all": {"--all"}} {
				r.squash(t, append(args, r.ref("app"+what), "--provenance=false", "--push", "-t", r.ref(tag+what))...).MustSucceed(t)
				was, is := r.bed.Image(t, r.ref("app"+what), ""), r.bed.Image(t, r.ref(tag+what), "")
				wantSameTree(t, was, is)
				t.Logf("%s: the layers are %v of %d", tag, origins(was.Layers(), is.Layers()), len(was.Layers()))
			}
		})
	}
}

// sprinkled are layers of which some have extended attributes, odd times and an entry
// of the root directory.
func sprinkled(rnd *rand.Rand, layers [][]bed.File) [][]bed.File {
	for i, files := range layers {
		if rnd.IntN(2) == 0 {
			continue
		}
		for j, f := range files {
			whiteout := strings.HasPrefix(path.Base(f.Path), ".wh.")
			switch {
			case whiteout || f.Symlink != "" || f.Hardlink != "":
			case rnd.IntN(8) == 0:
				files[j].Xattrs = map[string]string{"user." + string(rune('a'+rnd.IntN(2))): "1"}
			case rnd.IntN(16) == 0:
				files[j].ModTime = early.Add(1)
			}
		}
		if rnd.IntN(4) == 0 {
			layers[i] = append(files, bed.Dir(".", []int64{0o755, 0o700, 0o1755}[rnd.IntN(3)]))
		}
	}
	return layers
}

// unambiguous are layers that delete nothing which they have, or have deleted with
// all of its directory: BuildKit does not pull others, or cannot read what it
// pulled.
func unambiguous(layers [][]bed.File) [][]bed.File {
	for i, files := range layers {
		has := map[string]bool{}
		for _, f := range files {
			has[f.Path] = true
		}
		layers[i] = slices.DeleteFunc(files, func(f bed.File) bool {
			dir, name := path.Split(f.Path)
			gone, whiteout := strings.CutPrefix(name, ".wh.")
			return whiteout && gone != ".wh..opq" && (has[dir+gone] || has[dir+".wh..wh..opq"])
		})
	}
	return layers
}

// TestSquashTooManyLayers builds an image with more layers than engines run, which
// is said, and squashes it.
func TestSquashTooManyLayers(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "many")
	dockerfile := "FROM scratch\n"
	for i := range 130 {
		dockerfile += fmt.Sprintf("COPY file /%d\n", i)
	}
	result := r.build(t, "relink", "app:1", dockerfile).MustSucceed(t)
	const warning = "has 130 layers, and many engines run none with more than 127"
	if !strings.Contains(result.Stderr, warning) {
		t.Errorf("the report does not say %q:\n%s", warning, result.Stderr)
	}
	result = r.squash(t, r.ref("app:1"), "--from-layer", "100", "--provenance=false", "--push", "-t", r.ref("out:1")).MustSucceed(t)
	r.wantSquashed(t, "app:1", "out:1", 99)
	if strings.Contains(result.Stderr, "engines run none") {
		t.Errorf("the report warns of too many layers:\n%s", result.Stderr)
	}
	result = r.squash(t, r.ref("app:1"), "--from-layer", "129", "--dry-run").MustSucceed(t)
	if want := "has 129 layers"; !strings.Contains(result.Stdout, want) {
		t.Errorf("the plan does not say %q:\n%s", want, result.Stdout)
	}
}

// TestSquashFindsTheBase goes the ways to the base.
func TestSquashFindsTheBase(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "finds")
	r.build(t, "buildx", "base:1", "FROM "+r.bed.Base(t, "busybox")+"\nRUN echo base > /base.txt\n").MustSucceed(t)
	app := "FROM " + r.ref("base:1") + "\nRUN printf '#!/bin/sh\\ncat /base.txt\\n' > /show && chmod 755 /show && echo 1 > /one\nRUN rm /one && mkdir /two\nENTRYPOINT [\"/show\"]\n"
	r.build(t, "buildx", "attested:1", app, "--provenance=mode=max").MustSucceed(t)
	r.build(t, "relink", "app:1", app).MustSucceed(t)
	for _, tc := range []struct{ what, found string }{{"attested:1", "provenance"}, {"app:1", "annotations"}} {
		result := r.squash(t, r.ref(tc.what), "--provenance=false", "--push", "-t", r.ref("out:1")).MustSucceed(t)
		r.wantSquashed(t, tc.what, "out:1", 2)
		if want := "(found by " + tc.found + ")"; !strings.Contains(result.Stderr, want) {
			t.Errorf("the report does not say %q:\n%s", want, result.Stderr)
		}
	}
	dir := t.TempDir()
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", "FROM "+r.ref("out:1")+"\nRUN [\"/show\"]\n"))
	if result := r.bed.Docker(t, dir, nil, "buildx", "build", "--no-cache", ".").MustSucceed(t); !strings.Contains(result.Stderr, " base\n") {
		t.Errorf("the program in the squashed image does not run:\n%s", result.Stderr)
	}
	t.Run("candidate", func(t *testing.T) {
		r.stack(t, 2)
		result := r.squash(t, r.ref("app:1"), "--candidate", r.ref("attested:1"), "--candidate", r.ref("base:1"), "--dry-run").MustSucceed(t)
		if !strings.Contains(result.Stdout, "(found by --candidate)") {
			t.Errorf("the plan is\n%s", result.Stdout)
		}
	})
}

// TestSquashBadInput wants a clear error for each, and nothing pushed.
func TestSquashBadInput(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "bad")
	r.stack(t, 2)
	r.push(t, "other:1", nil, []bed.File{bed.Text("other", "")})
	r.bed.Push(t, r.ref("windows:1"), platformImage(t, "windows/amd64", bed.Text("Files/a", "a")))
	app, out := r.ref("app:1"), r.ref("out:1")
	dir := t.TempDir()
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", "FROM "+r.ref("base:1")+" AS base\nCOPY Dockerfile /a\nFROM scratch AS other\nCOPY Dockerfile /\nFROM base\nCOPY Dockerfile /b\nCOPY Dockerfile /c\nCOPY none /d\n"))
	for _, test := range []struct {
		name string
		args []string
		says []string
	}{
		{"no image", []string{"--push", "-t", out}, []string{"requires 1 argument"}},
		{"image that is not there", []string{r.ref("nothing:1"), "--push", "-t", out}, []string{"reading the image", "nothing:1: not found", "docker login"}},
		{"not a reference", []string{"UPPER", "--push", "-t", out}, []string{`reading the reference "UPPER"`}},
		{"no base known", []string{app, "--push", "-t", out}, []string{"the base of " + app + " is not known", "--base", "--from-layer N", "--all"}},
		{"a base that it is not", []string{app, "--base", r.ref("other:1"), "--push", "-t", out}, []string{"they part at layer 1", "--base"}},
		{"a base that is not there", []string{app, "--base", r.ref("nothing:1"), "--push", "-t", out}, []string{"reading the base", "not found", "--from-layer"}},
		{"a layer too high", []string{app, "--from-layer", "4", "--push", "-t", out}, []string{"the layers from 4 on", "has only 3"}},
		{"a layer too low", []string{app, "--from-layer", "0", "--push", "-t", out}, []string{"invalid layer 0", "The lowest layer is 1"}},
		{"two ways", []string{app, "--all", "--from-layer", "2"}, []string{"--all and --from-layer can not be used together"}},
		{"all and a base", []string{app, "--all", "--base", r.ref("base:1")}, []string{"--all keeps no base"}},
		{"a stage of an image", []string{app, "--stage", "x"}, []string{"--stage is for a build context"}},
		{"a Dockerfile of an image", []string{app, "-f", "x"}, []string{"--file is for a build context"}},
		{"a base of a build", []string{dir, "--base", r.ref("base:1")}, []string{"--base is for an image"}},
		{"a stage that is not there", []string{dir, "--stage", "none", "--push", "-t", out}, []string{"none"}},
		{"a stage beside the target", []string{dir, "--stage", "other", "--push", "-t", out}, []string{`does not stand on the stage "other"`, "base or all"}},
		{"a build that fails", []string{dir, "--push", "-t", out}, []string{">>> COPY none /d"}},
		{"a Windows image", []string{r.ref("windows:1"), "--all", "--push", "-t", out}, []string{"for Windows can not be squashed"}},
		{"format", []string{app, "--dry-run", "--format", "yaml"}, []string{"invalid format", "text or json"}},
		{"the image's own tag and no push", []string{app, "--all", "-t", app}, []string{"is the image itself", "--push"}},
		{"push without a tag", []string{app, "--all", "--push"}, []string{"no tag to push", "-t"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantRefused(t, r.squash(t, test.args...), test.says...)
			if r.bed.Exists(t, out) {
				t.Error("an image was pushed")
			}
		})
	}
	t.Run("a directory that looks like an image", func(t *testing.T) {
		result := r.bed.Docker(t, filepath.Dir(dir), nil, "relink", "squash", filepath.Base(dir), "--all")
		wantRefused(t, result, "write ./"+filepath.Base(dir))
	})
}
