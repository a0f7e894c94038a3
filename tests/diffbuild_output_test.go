package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/docker-relink/relink/tests/bed"
)

// onTop is an image of a base's layers with a difference's on them.
func onTop(t *testing.T, b *bed.Bed, name, base, difference string) bed.Image {
	t.Helper()
	image := b.Pull(t, base)
	layers, err := b.Pull(t, difference).Layers()
	if err != nil {
		t.Fatal(err)
	}
	return b.Image(t, b.PushWith(t, name, image, layers...), "")
}

// The difference of an image and what it stands on is the image's own layers, with
// their digests; of other images it is one layer. On the lower side's layers either
// makes the upper side, deletions included.
func TestDiffBuilt(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "built")
	b := d.bed
	ref := func(tag string) string { return b.Registry.Ref("diff/built-out:" + tag) }
	for _, tc := range []struct {
		tag, lower, upper string
		args              []string
		kept              bool
	}{
		{"own", d.base, d.two, nil, true},
		{"flat", d.base, d.two, []string{"--flatten"}, false},
		{"computed", d.one, d.two, nil, false},
		{"nothing", "scratch", d.two, nil, true},
	} {
		t.Run(tc.tag, func(t *testing.T) {
			args := append([]string{"relink", "diff-build", "--push", "-t", ref(tc.tag), tc.lower + ".." + tc.upper}, tc.args...)
			b.Docker(t, "", nil, args...).MustSucceed(t)
			upper, got := b.Image(t, tc.upper, ""), b.Image(t, ref(tc.tag), "")
			want := upper.Layers()
			if tc.lower == d.base {
				want = want[1:]
			}
			if tc.kept != slices.Equal(got.Layers(), want) || !tc.kept && len(got.Layers()) != 1 {
				t.Errorf("layers %q, of which the upper side's own are %q", got.Layers(), want)
			}
			if !slices.Equal(got.Config.Config.Env, upper.Config.Config.Env) {
				t.Errorf("the config is not the upper side's: %v", got.Config.Config)
			}
			if n := len(got.Config.History); n != len(got.Layers()) {
				t.Errorf("%d entries of history for %d layers", n, len(got.Layers()))
			}
			if tc.lower == "scratch" {
				return
			}
			whole := onTop(t, b, "diff/built-whole:"+tc.tag, tc.lower, ref(tc.tag))
			if left := plainDiff(whole.Tree, upper.Tree); len(left) > 0 {
				t.Errorf("on the lower side it does not make the upper side:\n%s", shown(left))
			}
		})
	}
}

// No difference may spoil what the builder knows of the layers that it was made of:
// each image is built upon afterwards, for the first time.
func TestDiffLeavesTheBuilderAsItWas(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	builder := b.NewBuilder(t)
	for i, how := range [][]string{{"--stat"}, {"--push", "-t", b.Registry.Ref("diff/after:difference")}} {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("diffafter", i))
		ref := b.Registry.Ref(fmt.Sprint("diff/after:", i))
		bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("Dockerfile",
			fmt.Sprintf("FROM %s\nRUN echo %d >/one && rm /etc/group\nRUN echo %d >/two\n", b.Base(t, "busybox"), i, i)))
		b.Docker(t, dir, nil, "relink", "build", "--builder", builder.Name, "--push", "-t", ref, ".").MustSucceed(t)
		b.Docker(t, dir, nil, append([]string{"relink", "diff-build", "--builder", builder.Name, "."}, how...)...).MustSucceed(t)

		out := filepath.Join(dir, "out")
		bed.WriteFiles(t, dir, bed.Text("Dockerfile.after", "FROM "+ref+" AS x\nFROM scratch\nCOPY --from=x / /\n"))
		b.Docker(t, dir, nil, "buildx", "build", "--builder", builder.Name, "-f", "Dockerfile.after", "-o", out, ".").MustSucceed(t)
		for name := range b.Image(t, ref, "").Tree {
			if _, err := os.Lstat(filepath.Join(out, name)); err != nil {
				t.Errorf("after %q: %v", how, err)
			}
		}
	}
}

// A directory has what was added and changed; what was deleted is in a file.
func TestDiffToDirectory(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "directory")
	dir := t.TempDir()
	out, gone := filepath.Join(dir, "out"), filepath.Join(dir, "gone")
	for _, args := range [][]string{{"-o", out}, {"-o", out, "--flatten"}} {
		for _, lower := range []string{d.base, d.one} {
			if err := os.RemoveAll(out); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"relink", "diff-build", "--deletions", gone, lower + ".." + d.two}, args...)
			d.bed.Docker(t, dir, nil, args...).MustSucceed(t)
			for name, content := range map[string]string{"app/both": "2\n", "app/upper": "2\n", "etc/changed": "new!\n", "mode": "m", "dir": "file now"} {
				if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != content {
					t.Errorf("%q: %s has %q (%v)", args, name, got, err)
				}
			}
			for _, name := range []string{"gone", "etc/directory"} {
				if _, err := os.Lstat(filepath.Join(out, name)); err == nil {
					t.Errorf("%q: %s is there", args, name)
				}
			}
			text, err := os.ReadFile(gone)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Fields(string(text))
			if !slices.Contains(lines, "/gone") || strings.Contains(string(text), ".wh.") || (lower == d.one) != slices.Contains(lines, "/app/lower") {
				t.Errorf("%q: the deletions are %q", args, lines)
			}
		}
	}
}

// The other outputs of build are there, too, and a layout can be a side.
func TestDiffOutputs(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "outputs")
	dir := t.TempDir()
	archive, tree := filepath.Join(dir, "oci"), filepath.Join(dir, "tar")
	d.bed.Docker(t, dir, nil, "relink", "diff-build", "-o", "type=oci,tar=false,dest="+archive, "-o", "type=tar,dest="+tree, d.base+".."+d.two).MustSucceed(t)
	if info, err := os.Stat(tree); err != nil || info.Size() == 0 {
		t.Errorf("no tar was written: %v", err)
	}
	index, err := layout.ImageIndexFromPath(archive)
	if err != nil {
		t.Fatal(err)
	}
	if manifest, err := index.IndexManifest(); err != nil || len(manifest.Manifests) == 0 {
		t.Errorf("the layout has no image: %v", err)
	}

	for i, ref := range []string{d.one, d.two} {
		path, err := layout.Write(filepath.Join(dir, fmt.Sprint("side", i)), empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		annotated := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "it"})
		if err := path.AppendImage(d.bed.Pull(t, ref), annotated); err != nil {
			t.Fatal(err)
		}
	}
	// Paths to the sides may have dots of their own.
	list, _ := diffed(t, d.bed, filepath.Join(dir, "side0"), "--exact", "oci-layout://../side0:it..oci-layout://../side1:it")
	wantPlain(t, list, d.bed.Image(t, d.one, ""), d.bed.Image(t, d.two, ""))

	// As the base of a Dockerfile, too.
	bed.WriteFiles(t, dir, bed.Text("f", "f\n"), bed.Text("Dockerfile", "FROM base\nCOPY f /app/f\nENV A=b\n"))
	context := []string{"--build-context", "base=oci-layout://side0:it", "."}
	list, _ = diffed(t, d.bed, dir, context...)
	wantShown(t, list, "A /app/f")
	r := d.bed.Docker(t, dir, nil, append([]string{"relink", "diff-build", "--config", "--format", "{{.Kind}} {{.Field}}"}, context...)...).MustSucceed(t)
	if want := "A config.Env A\nA history[2]\nA history[3]\n"; r.Stdout != want {
		t.Errorf("the configs differ by\n%s\nwant\n%s", r.Stdout, want)
	}
}

// Of images for several platforms all are listed, or the one that is asked for.
func TestDiffPlatforms(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	refs := [2]string{b.Registry.Ref("diff/platforms:1"), b.Registry.Ref("diff/platforms:2")}
	for side, ref := range refs {
		var images []v1.Image
		for _, arch := range []string{"amd64", "arm64", []string{"s390x", "ppc64le"}[side]} {
			image, err := bed.NewImage(func(c *v1.ConfigFile) { c.Architecture = arch }, []bed.File{bed.Text(fmt.Sprint(arch, side), "x")})
			if err != nil {
				t.Fatal(err)
			}
			images = append(images, image)
		}
		b.PushIndex(t, ref, images...)
	}
	list, r := diffed(t, b, "", refs[0]+".."+refs[1])
	var got []string
	for _, c := range list {
		got = append(got, c.Platform+" "+c.String())
	}
	if want := []string{"linux/amd64 D /amd640", "linux/amd64 A /amd641", "linux/arm64 D /arm640", "linux/arm64 A /arm641"}; !slices.Equal(got, want) {
		t.Errorf("the lists are %q, want %q", got, want)
	}
	if !strings.Contains(r.Stderr, "linux/s390x") || !strings.Contains(r.Stderr, "linux/ppc64le") {
		t.Errorf("nothing says which platforms were left out:\n%s", r.Stderr)
	}
	list, _ = diffed(t, b, "", "--platform=linux/arm64", refs[0]+".."+refs[1])
	wantShown(t, list, "D /arm640", "A /arm641")

	dir := filepath.Join(t.TempDir(), "diffplatforms")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "f\n"), bed.Text("other.Dockerfile", "FROM "+refs[0]+"\nARG TARGETARCH\nCOPY f /f-$TARGETARCH\n"))
	list, _ = diffed(t, b, dir, "--exact", "-f", "other.Dockerfile", "--platform=linux/amd64,linux/arm64")
	if got := fmt.Sprint(list); got != "[A /f-amd64 A /f-arm64]" {
		t.Errorf("the Dockerfile adds %s", got)
	}

	out := b.Registry.Ref("diff/platforms:out")
	b.Docker(t, "", nil, "relink", "diff-build", "--push", "-t", out, "--platform=linux/amd64,linux/arm64", refs[0]+".."+refs[1]).MustSucceed(t)
	var has []string
	for _, image := range b.Images(t, out) {
		has = append(has, image.Platform)
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(has, want) {
		t.Errorf("the difference is for %q, want %q", has, want)
	}
}

// The ways to show the difference.
func TestDiffShown(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "shown")
	sides := d.base + ".." + d.two
	const list = `A /app
A /app/both (+2B)
A /app/upper (+2B)
C /dir (+6B, type, mode)
C /etc/changed (+1B, content)
D /gone (-6B, 2 files)
C /link (link)
C /mode (mode)
C /owner (owner)
C /type (-4B, type, mode)
`
	const tree = `/ (+1B)
├── A app (+4B)
│   ├── A both (+2B)
│   └── A upper (+2B)
├── C dir (+6B) type, mode
├── etc (+1B)
│   └── C changed (+1B) content
├── D gone (-6B)
├── C link link
├── C mode mode
├── C owner owner
└── C type (-4B) type, mode
`
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, list},
		{[]string{"--tree"}, tree},
		{[]string{"--format", "{{.Kind}} {{.Size}} {{.What}} {{.Path}}", "--quiet"}, "A 0  /app\nA 2  /app/both\nA 2  /app/upper\nC 6 type,mode /dir\nC 1 content /etc/changed\nD -6  /gone\nC 0 link /link\nC 0 mode /mode\nC 0 owner /owner\nC -4 type,mode /type\n"},
		{[]string{"--stat", "--format", "{{.Directory}} {{.Added}} {{.Changed}} {{.Deleted}} {{.Size}}"}, "/ 1 5 1 -4\n/app 2 0 0 4\n/etc 0 1 0 1\ntotal 3 6 1 1\n"},
		{[]string{"--content", "etc/changed"}, "--- a/etc/changed\n+++ b/etc/changed\n@@ -1 +1 @@\n-old\n+new!\n"},
		{[]string{"--content", "/app/upper"}, "--- /dev/null\n+++ b/app/upper\n@@ -0,0 +1 @@\n+2\n"},
		{[]string{"--content", "/gone/b"}, "--- a/gone/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-bb\n\\ No newline at end of file\n"},
		{[]string{"--content", "/etc/same"}, ""},
		{[]string{"--config", "--format", "{{.Kind}} {{.Field}}"}, "C config.Env REF\nA history[1]\nA rootfs.diff_ids[1]\n"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			args := append([]string{"relink", "diff-build", "--exact", sides}, tc.args...)
			r := d.bed.Docker(t, "", nil, args...).MustSucceed(t)
			if r.Stdout != tc.want {
				t.Errorf("shown is\n%s\nwant\n%s", r.Stdout, tc.want)
			}
			if sums := "3 added (2 files, +4B), 6 changed (4 files, +3B), 1 deleted (2 files, -6B); 8 files, +1B in all"; tc.args == nil && !strings.Contains(r.Stderr, sums) {
				t.Errorf("the sums are not %q:\n%s", sums, r.Stderr)
			}
		})
	}
	t.Run("table", func(t *testing.T) {
		r := d.bed.Docker(t, "", nil, "relink", "diff-build", "--exact", "--format", "table", sides).MustSucceed(t)
		lines := strings.Split(r.Stdout, "\n")
		if got, want := strings.Fields(lines[0]), []string{"KIND", "SIZE", "TYPE", "WHAT", "PATH"}; !slices.Equal(got, want) {
			t.Errorf("the table's head is %q, want %q", got, want)
		}
		if got, want := strings.Fields(lines[4]), []string{"C", "+6B", "file", "type,mode", "/dir"}; !slices.Equal(got, want) {
			t.Errorf("a row is %q, want %q", got, want)
		}
	})
	t.Run("exit code", func(t *testing.T) {
		for want, sides := range map[int]string{0: d.two + ".." + d.two, 1: sides, 2: d.base + ".." + d.bed.Registry.Ref("diff/none:1")} {
			for _, more := range [][]string{nil, {"--config"}} {
				r := d.bed.Docker(t, "", nil, append([]string{"relink", "diff-build", "--exit-code", sides}, more...)...)
				if r.Code != want {
					t.Errorf("%s %q: exit code %d, want %d\n%s", sides, more, r.Code, want, r.Stderr)
				}
			}
		}
	})
}

// Layers may be compressed otherwise.
func TestDiffOfZstd(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := filepath.Join(t.TempDir(), "diffzstd")
	ref := b.Registry.Ref("diff/zstd:1")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "zstd\n"), bed.Text("Dockerfile", "FROM scratch\nCOPY f /f\n"))
	b.Docker(t, dir, nil, "buildx", "build", "--output", "type=image,push=true,compression=zstd,oci-mediatypes=true,name="+ref, ".").MustSucceed(t)
	if media := b.Image(t, ref, "").Manifest.Layers[0].MediaType; !strings.HasSuffix(string(media), "zstd") {
		t.Fatalf("the layer is %s", media)
	}
	list, _ := diffed(t, b, "", "scratch.."+ref)
	wantShown(t, list, "A /f")
}

// The metadata file says what was compared.
func TestDiffMetadata(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "metadata")
	for _, how := range [][]string{nil, {"--push", "-t", d.bed.Registry.Ref("diff/metadata:out")}} {
		wantDiffMetadata(t, d, how...)
	}
}

func wantDiffMetadata(t *testing.T, d *diffImages, how ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "metadata.json")
	d.bed.Docker(t, "", nil, append([]string{"relink", "diff-build", "--metadata-file", file, d.base + ".." + d.two}, how...)...).MustSucceed(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var metadata struct {
		Diff struct {
			Platforms []struct {
				Platform     string
				Lower, Upper struct{ Name, Digest string }
			}
		} `json:"relink.diff"`
	}
	if err := json.Unmarshal(text, &metadata); err != nil || len(metadata.Diff.Platforms) != 1 {
		t.Fatalf("the metadata is not right (%v):\n%s", err, text)
	}
	p := metadata.Diff.Platforms[0]
	if p.Platform != "linux/"+runtime.GOARCH || p.Lower.Name != d.base || p.Upper.Digest != d.bed.Image(t, d.two, "").Digest {
		t.Errorf("the metadata says %+v", p)
	}
}
