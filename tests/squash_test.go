package tests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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
	args = append([]string{plugin, "build", "--push", "-t", r.ref(what)}, args...)
	if !strings.Contains(strings.Join(args, " "), "--provenance") {
		args = append(args, "--provenance=false")
	}
	return r.bed.Docker(t, dir, nil, append(args, ".")...)
}

func (r squashRepo) squash(t *testing.T, args ...string) bed.Result {
	t.Helper()
	return r.bed.Docker(t, "", nil, append([]string{"relink", "squash"}, args...)...)
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
	{"one of two links removed", nil, [][]bed.File{{bed.Text("a", "1"), {Path: "b", Hardlink: "a"}}, {bed.Text(".wh.a", "")}}},
	{"two links removed", nil, [][]bed.File{{bed.Text("a", "1"), {Path: "b", Hardlink: "a"}}, {bed.Text(".wh.a", ""), bed.Text(".wh.b", ""), bed.Text("c", "")}}},
	{"deletions", []bed.File{bed.Text("a", "1"), bed.Dir("d", 0o755), bed.Text("d/f", "2"), bed.Text("d/g", "3")}, [][]bed.File{{bed.Text(".wh.a", "")}, {bed.Dir("d", 0o755), bed.Text("d/.wh.f", "")}}},
	{"deleted and made again", []bed.File{bed.Text("a", "1"), bed.Dir("d", 0o755), bed.Text("d/f", "2")}, [][]bed.File{{bed.Text(".wh.a", ""), bed.Text(".wh.d", "")}, {bed.Text("a", "2"), bed.Dir("d", 0o700), bed.Text("d/g", "3")}}},
	{"opaque directory", []bed.File{bed.Dir("d", 0o755), bed.Text("d/f", "2"), bed.Dir("d/e", 0o755), bed.Text("d/e/f", "2")}, [][]bed.File{{bed.Dir("d", 0o755), bed.Text("d/.wh..wh..opq", ""), bed.Text("d/g", "3")}, {bed.Dir("d", 0o755), bed.Text("d/h", "4")}}},
	{"changes of type", []bed.File{bed.Text("a", "1"), bed.Dir("b", 0o755), bed.Text("b/f", "2"), bed.Link("c", "b"), bed.Dir("e", 0o755)}, [][]bed.File{{bed.Text(".wh.a", ""), bed.Text(".wh.b", ""), bed.Text(".wh.c", "")}, {bed.Dir("a", 0o755), bed.Text("a/f", "3"), bed.Text("b", "4"), bed.Dir("c", 0o755), bed.Text("c/f", "5"), bed.Link("e", "a")}}},
	{"symbolic links", []bed.File{bed.Dir("d", 0o755), bed.Text("d/f", "1")}, [][]bed.File{{bed.Link("broken", "nothing/here"), bed.Link("dir", "d"), bed.Link("absolute", "/d/f")}, {bed.Link("chain", "dir"), bed.Link("broken", "still/nothing")}}},
	{"modes and owners", []bed.File{bed.Dir("d", 0o755), bed.Text("f", "1")}, [][]bed.File{{bed.Text("setuid", "1").WithMode(0o4755).OwnedBy(7, 8), bed.Text("setgid", "1").WithMode(0o2755), bed.Dir("sticky", 0o1777), bed.Dir("shared", 0o2775).OwnedBy(5, 6)}, {bed.Dir("d", 0o700).OwnedBy(9, 9), bed.Text("f", "1").OwnedBy(65534, 65534), bed.Link("l", "f").OwnedBy(3, 4)}}},
	{"capabilities", []bed.File{bed.Text("f", "1"), bed.Text("c", "1").WithMode(0o755)}, [][]bed.File{{{Path: "c", Content: "1", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}}}, {{Path: "new", Content: "1", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}}, {Path: "link", Hardlink: "new", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}}}}},
	{"times", []bed.File{bed.Text("f", "1")}, [][]bed.File{{{Path: "f", Content: "1", ModTime: early}}, {{Path: "g", Content: "2", ModTime: early}, {Path: "l", Symlink: "g", ModTime: early}}}},
	{"names", []bed.File{bed.Text("a\xff", "1"), bed.Text("b\xfe", "2"), bed.Dir("d\xff", 0o755), bed.Text("d\xff/gone", "3"), bed.Text("d\xff/stays", "4"), bed.Text("[x]*?", "5")}, [][]bed.File{{bed.Text(".wh.a\xff", ""), bed.Text("c\xff", "6"), bed.Text("\u00e4", "7"), bed.Text(".wh.[x]*?", "")}, {bed.Dir("d\xff", 0o755), bed.Text("d\xff/.wh.gone", ""), bed.Text("d\xff/new\xfe", "8"), bed.Text(" blank ", "9"), bed.Text("!x", "10")}}},
	{"whiteouts of nothing", nil, [][]bed.File{{bed.Text(".wh.none", ""), bed.Text("a", "1")}, {bed.Text(".wh.none", ""), bed.Text("b", "1")}}},
	{"a layer without data", nil, [][]bed.File{{bed.Text("a", "1")}, {}, {bed.Text("b", "1")}}},
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
RUN busybox mkfifo /d/q && busybox mknod /d/c c 5 1 && busybox mknod /d/e/b b 7 3 && chmod 4755 /d/e/f && echo gone > /gone
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
