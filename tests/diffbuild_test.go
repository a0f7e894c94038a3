package tests

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

// diffChange is a line of the list, as programs read it.
type diffChange struct {
	Kind, Path, Type, What, Platform string
	Size                             int64
	Files                            int
	Assumed                          bool
}

func (c diffChange) String() string { return strings.TrimSpace(c.Kind + " " + c.Path + " " + c.What) }

// diffed lists a difference by way of the real Docker CLI.
func diffed(t *testing.T, b *bed.Bed, dir string, args ...string) ([]diffChange, bed.Result) {
	t.Helper()
	r := b.Plugin(t, dir, nil, "relink", append([]string{"diff-build", "--format", "json"}, args...)...).MustSucceed(t)
	return readChanges(t, r.Stdout), r
}

func readChanges(t *testing.T, text string) []diffChange {
	t.Helper()
	var list []diffChange
	for line := range strings.Lines(text) {
		var c diffChange
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("reading the list: %v\n%s", err, text)
		}
		list = append(list, c)
	}
	return list
}

// plainDiff compares two unpacked trees, path by path: what diff-build has to say
// however it came to it.
func plainDiff(lower, upper bed.Tree) []diffChange {
	var list []diffChange
	for _, name := range slices.Sorted(maps.Keys(upper)) {
		want, there := lower[name]
		got := upper[name]
		switch what := plainWhat(want, got); {
		case !there:
			list = append(list, diffChange{Kind: "A", Path: name, Type: got.Type, Size: got.Size})
		case len(what) > 0:
			size := got.Size - want.Size
			if want.Type == "dir" && got.Type != "dir" {
				size -= sizeBelow(lower, name)
			}
			list = append(list, diffChange{Kind: "C", Path: name, Type: got.Type, What: strings.Join(what, ","), Size: size})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lower)) {
		if _, there := upper[name]; !there && upper[path.Dir(name)].Type == "dir" {
			list = append(list, diffChange{Kind: "D", Path: name, Type: lower[name].Type, Size: -lower[name].Size - sizeBelow(lower, name)})
		}
	}
	slices.SortFunc(list, func(a, b diffChange) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func sizeBelow(tree bed.Tree, dir string) (sum int64) {
	for name, e := range tree {
		if strings.HasPrefix(name, dir+"/") {
			sum += e.Size
		}
	}
	return sum
}

func plainWhat(a, b bed.Entry) []string {
	var what []string
	for _, d := range []struct {
		what    string
		differs bool
	}{
		{"type", a.Type != b.Type},
		{"content", a.Type == b.Type && a.SHA256 != b.SHA256},
		{"link", a.Type == b.Type && a.Linkname != b.Linkname},
		{"device", a.Type == b.Type && a.Dev != b.Dev},
		{"mode", a.Mode != b.Mode && a.Type != "symlink" && b.Type != "symlink"},
		{"owner", a.UID != b.UID || a.GID != b.GID},
		{"xattrs", !maps.Equal(a.Xattrs, b.Xattrs)},
	} {
		if d.differs {
			what = append(what, d.what)
		}
	}
	return what
}

// wantPlain wants a list to be what a plain comparison of the images says.
func wantPlain(t *testing.T, got []diffChange, lower, upper bed.Image) {
	t.Helper()
	want := plainDiff(lower.Tree, upper.Tree)
	for i := range got {
		if got[i].Assumed {
			t.Errorf("%s is only assumed", got[i])
		}
		got[i].Files, got[i].Platform = 0, ""
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%v is missing in %d changes", want[i], len(got))
		case i >= len(want):
			t.Fatalf("%v is too many", got[i])
		case got[i] != want[i]:
			t.Fatalf("change %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

// shown is a list as short lines.
func shown(list []diffChange) string {
	var lines []string
	for _, c := range list {
		lines = append(lines, c.String())
	}
	return strings.Join(lines, "\n")
}

func wantShown(t *testing.T, list []diffChange, lines ...string) {
	t.Helper()
	if got, want := shown(list), strings.Join(lines, "\n"); got != want {
		t.Errorf("the list is\n%s\nwant\n%s", got, want)
	}
}

// diffImages pushes a base and two images on it that share no other layer.
type diffImages struct {
	bed             *bed.Bed
	base, one, two  string
	shared, own     []string // digests of layers: the base's, and all others
	baseFiles       []bed.File
	oneAdds, twoAdd []bed.File
}

func whiteout(name string) bed.File {
	return bed.Text(path.Join(path.Dir(name), ".wh."+path.Base(name)), "")
}

func newDiffImages(t *testing.T, name string) *diffImages {
	t.Helper()
	b := bed.Shared(t)
	d := &diffImages{
		bed: b, base: b.Registry.Ref("diff/" + name + ":base"), one: b.Registry.Ref("diff/" + name + ":1"), two: b.Registry.Ref("diff/" + name + ":2"),
		baseFiles: []bed.File{
			bed.Dir("etc", 0o755), bed.Text("etc/"+name, name), bed.Text("etc/same", "same\n"), bed.Text("etc/changed", "old\n"),
			bed.Dir("gone", 0o755), bed.Text("gone/a", "aaaa"), bed.Text("gone/b", "bb"), bed.Text("mode", "m"), bed.Text("owner", "o"),
			bed.Link("link", "etc"), bed.Text("type", "file"), bed.Dir("dir", 0o755), bed.Text("dir/in", "in"),
		},
		oneAdds: []bed.File{bed.Dir("app", 0o755), bed.Text("app/both", "1\n"), bed.Text("app/lower", "1\n")},
		twoAdd: []bed.File{
			bed.Dir("app", 0o755), bed.Text("app/both", "2\n"), bed.Text("app/upper", "2\n"), bed.Dir("etc", 0o755),
			bed.Text("etc/same", "same\n"), bed.Text("etc/changed", "new!\n"), whiteout("gone"), bed.Text("mode", "m").WithMode(0o600),
			bed.Text("owner", "o").OwnedBy(1, 2), bed.Link("link", "app"), bed.Dir("type", 0o700), bed.Text("dir", "file now"),
		},
	}
	// Tests count what is pulled at the same time, so no two have the same layers.
	for _, files := range [][]bed.File{d.oneAdds, d.twoAdd} {
		files[0].ModTime = time.Unix(int64(crc32.ChecksumIEEE([]byte(name))), 0)
	}
	for ref, layers := range map[string][][]bed.File{
		d.base: {d.baseFiles}, d.one: {d.baseFiles, d.oneAdds}, d.two: {d.baseFiles, d.twoAdd},
	} {
		image, err := bed.NewImage(func(c *v1.ConfigFile) { c.Config.Env = append(c.Config.Env, "REF="+ref[len(ref)-1:]) }, layers...)
		if err != nil {
			t.Fatal(err)
		}
		b.Push(t, ref, image)
	}
	d.shared = b.Image(t, d.base, "").Layers()
	for _, ref := range []string{d.one, d.two} {
		d.own = append(d.own, b.Image(t, ref, "").Layers()[1:]...)
	}
	return d
}

// On a builder that has nothing, the layers that both sides share are not pulled.
// What needs no look at them is right all the same, and the rest is said not to be
// certain; with --exact it is.
func TestDiffPullsOwnLayersOnly(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "own")
	builder := d.bed.NewBuilder(t)
	mark := d.bed.Registry.Mark(t)
	list, r := diffed(t, d.bed, "", "--builder", builder.Name, d.one+".."+d.two)
	pulled := d.bed.Registry.Since(t, mark).BlobDownloads()
	if n := len(pulled.Of(d.shared...)); n != 0 {
		t.Errorf("layers that both sides share were pulled %d times", n)
	}
	if n := len(pulled.Of(d.own...)); n != len(d.own) {
		t.Errorf("of the sides' own layers %d were pulled, want %d", n, len(d.own))
	}
	for _, want := range []string{"C /app/both content", "D /app/lower", "A /app/upper", "D /gone"} {
		if !slices.ContainsFunc(list, func(c diffChange) bool { return c.String() == want }) {
			t.Errorf("there is no %q in\n%s", want, shown(list))
		}
	}
	for _, c := range list {
		if certain := c.Path == "/app/both" || c.Path == "/gone"; c.Assumed == certain {
			t.Errorf("%s: assumed is %t", c, c.Assumed)
		}
	}
	if !strings.Contains(r.Stderr, "--exact") {
		t.Errorf("nothing says that the list is not certain:\n%s", r.Stderr)
	}

	mark = d.bed.Registry.Mark(t)
	list, r = diffed(t, d.bed, "", "--builder", builder.Name, "--exact", d.one+".."+d.two)
	wantPlain(t, list, d.bed.Image(t, d.one, ""), d.bed.Image(t, d.two, ""))
	if len(d.bed.Registry.Since(t, mark).BlobDownloads().Of(d.shared...)) == 0 {
		t.Error("--exact pulled nothing, so the run before may have been exact, too")
	}
	if strings.Contains(r.Stderr, "--exact") {
		t.Errorf("the list is said not to be certain:\n%s", r.Stderr)
	}
}

// The paths in layers that were read once are remembered: the same images once more,
// or others with these layers, are compared exactly and nothing is pulled.
func TestDiffRemembersLayers(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "remembered")
	_, _ = diffed(t, d.bed, "", "--exact", d.one+".."+d.two)
	builder := d.bed.NewBuilder(t)
	mark := d.bed.Registry.Mark(t)
	list, _ := diffed(t, d.bed, "", "--builder", builder.Name, d.one+".."+d.two)
	wantPlain(t, list, d.bed.Image(t, d.one, ""), d.bed.Image(t, d.two, ""))
	list, _ = diffed(t, d.bed, "", "--builder", builder.Name, d.base+".."+d.two)
	wantPlain(t, list, d.bed.Image(t, d.base, ""), d.bed.Image(t, d.two, ""))
	if n := len(d.bed.Registry.Since(t, mark).BlobDownloads().Of(append(d.shared, d.own...)...)); n != 0 {
		t.Errorf("%d layers were pulled", n)
	}
	// A file's content is not remembered.
	r := d.bed.Docker(t, "", nil, "relink", "diff-build", "--builder", builder.Name, "--content", "app/both", d.one+".."+d.two).MustSucceed(t)
	if !strings.Contains(r.Stdout, "-1\n+2\n") {
		t.Errorf("the content is\n%s", r.Stdout)
	}
}

// Images that share all layers are not looked into at all.
func TestDiffOfEqualLayersPullsNothing(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "equal")
	other := d.bed.Registry.Ref("diff/equal:other")
	image, err := bed.NewImage(func(c *v1.ConfigFile) { c.Config.User = "7" }, d.baseFiles, d.twoAdd)
	if err != nil {
		t.Fatal(err)
	}
	d.bed.Push(t, other, image)
	builder := d.bed.NewBuilder(t)
	mark := d.bed.Registry.Mark(t)
	for _, args := range [][]string{{"--stat"}, {"--config"}, {}} {
		d.bed.Docker(t, "", nil, append([]string{"relink", "diff-build", "--builder", builder.Name, d.two + ".." + other}, args...)...).MustSucceed(t)
	}
	if n := len(d.bed.Registry.Since(t, mark).BlobDownloads().Of(append(d.shared, d.own...)...)); n != 0 {
		t.Errorf("%d layers were pulled", n)
	}
	r := d.bed.Docker(t, "", nil, "relink", "diff-build", "--builder", builder.Name, "--config", d.two+".."+other).MustSucceed(t)
	if want := "D config.Env REF: \"2\"\nA config.User: \"7\"\n"; r.Stdout != want {
		t.Errorf("the configs differ by\n%s\nwant\n%s", r.Stdout, want)
	}
}

// The sides of a Dockerfile: stages, the target, its base, images.
func TestDiffOfDockerfile(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Base(t, "busybox")
	dir := filepath.Join(t.TempDir(), "diffdockerfile")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "f\n"), bed.Text("Dockerfile", fmt.Sprintf(`FROM %s AS first
ARG WORD=word
RUN echo $WORD >/word && rm /etc/group && echo x >>/etc/passwd && mkdir -p /srv && rmdir /sys /proc || true
FROM first AS second
COPY f /srv/f
FROM scratch AS third
COPY f /f
FROM second
COPY f /last
ENV A=b
`, base)))
	own := []string{"D /etc/group", "C /etc/passwd content", "A /srv", "A /srv/f", "A /word"}
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"."}, slices.Concat(own[:2], []string{"A /last"}, own[2:])},
		{[]string{"--target", "second", "."}, own},
		{[]string{"..second"}, own},
		{[]string{"..second", "."}, own},
		{[]string{base + "..second", "."}, own},
		{[]string{"first..second", "."}, []string{"A /srv/f"}},
		{[]string{"second..first"}, []string{"D /srv/f"}},
		{[]string{"second.."}, []string{"A /last"}},
		{[]string{"second...", "."}, []string{"A /last"}},
		{[]string{"...second", "."}, []string{"D /last"}},
		{[]string{"1..3", "."}, []string{"A /last"}},
		{[]string{"scratch..third"}, []string{"A /f"}},
		{[]string{"second..second"}, nil},
		{[]string{"--build-arg", "WORD=longer", "first..third"}, nil},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			t.Parallel()
			list, _ := diffed(t, b, dir, tc.args...)
			list = slices.DeleteFunc(list, func(c diffChange) bool { return c.Path == "/proc" || c.Path == "/sys" })
			if tc.args[0] == "--build-arg" {
				i := slices.IndexFunc(list, func(c diffChange) bool { return c.Path == "/word" })
				if i < 0 || list[i].Size != -int64(len("longer\n")) {
					t.Errorf("the build argument has not come through: %v", list)
				}
				return
			}
			wantShown(t, list, tc.want...)
		})
	}
	wantImageOfRange(t, b, dir, base)
}

// wantImageOfRange: what the image of the target differs in from its base, by
// itself and by a plain comparison.
func wantImageOfRange(t *testing.T, b *bed.Bed, dir, base string) {
	t.Helper()
	ref := b.Registry.Ref("diff/target:1")
	b.Docker(t, dir, nil, "relink", "build", "--push", "-t", ref, ".").MustSucceed(t)
	list, _ := diffed(t, b, dir, ".")
	wantPlain(t, list, b.Image(t, base, ""), b.Image(t, ref, ""))
	list, _ = diffed(t, b, dir, ".."+ref)
	wantPlain(t, list, b.Image(t, base, ""), b.Image(t, ref, ""))
	list, _ = diffed(t, b, dir, ref+"..", ".")
	wantShown(t, list)
}
