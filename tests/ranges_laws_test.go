package tests

import (
	"reflect"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

// rangeLaws are changes of every kind that a file system can see: what the
// upper side does to the lower one.
var rangeLaws = []struct{ name, lower, upper string }{
	{"new files", "true", "mkdir -p /a/b && echo 1 > /a/b/c && echo 2 > /etc/d"},
	{"changed content", "echo 1 > /f", "echo 2 > /f"},
	{"deleted file", "mkdir /d && echo 1 > /d/f && echo 2 > /d/g", "rm /d/f"},
	{"deleted directory", "mkdir -p /d/e/f && echo 1 > /d/e/f/g", "rm -r /d/e"},
	{"deleted and made again", "mkdir /d && echo 1 > /d/f && echo 2 > /d/g", "rm -r /d && mkdir /d && echo 3 > /d/h"},
	{"deleted and made again, the same file", "mkdir /d && echo 1 > /d/f && echo 2 > /d/g", "rm -r /d && mkdir /d && echo 3 > /d/f"},
	{"opaque inside opaque", "mkdir -p /d/e/f && echo 1 > /d/e/f/g && echo 2 > /d/h", "rm -r /d && mkdir -p /d/e && echo 3 > /d/e/i"},
	{"moved directory", "mkdir -p /d/e && echo 1 > /d/e/f", "mv /d/e /d/g"},
	{"hard links", "echo 1 > /f && ln /f /g", "echo 2 > /h && ln /h /i && ln /h /j"},
	{"a hard link to a lower file", "mkdir /d && echo 1 > /d/f", "ln /d/f /d/g"},
	{"a hard link taken away", "echo 1 > /f && ln /f /g", "rm /g"},
	{"FIFO", "busybox mkfifo /p", "rm /p && busybox mkfifo /q"},
	{"device nodes", "busybox mknod /c c 1 3", "busybox mknod /d c 1 5"},
	{"block device", "true", "busybox mknod /b b 7 1"},
	{"another device", "busybox mknod /c c 1 3", "rm /c && busybox mknod /c c 1 5"},
	{"file over directory", "mkdir -p /d/e && echo 1 > /d/e/f", "rm -r /d && echo 2 > /d"},
	{"directory over file", "echo 1 > /d", "rm /d && mkdir -p /d/e && echo 2 > /d/e/f"},
	{"symbolic link over directory", "mkdir -p /d /real && echo 1 > /d/f", "rm -r /d && ln -s real /d"},
	{"directory over symbolic link", "mkdir /real && echo 1 > /real/f && ln -s real /d", "rm /d && mkdir /d && echo 2 > /d/g"},
	{"symbolic link over file", "echo 1 > /f", "rm /f && ln -s etc/passwd /f"},
	{"another target of a link", "ln -s a /l", "rm /l && ln -s b /l"},
	{"through a symbolic link", "mkdir /real && ln -s real /d", "echo 1 > /d/f"},
	{"only the mode of a file", "echo 1 > /f", "chmod 4711 /f"},
	{"only the mode of a directory", "mkdir /d && echo 1 > /d/f", "chmod 1777 /d"},
	{"only the owner of a file", "echo 1 > /f", "chown 1000:50 /f"},
	{"only the owner of a directory", "mkdir /d && echo 1 > /d/f", "chown 1000:50 /d"},
	{"only the time", "echo 1 > /f", "touch -d '2001-02-03 04:05:06' /f"},
	{"names that look like whiteouts in part", "mkdir /d && echo 1 > /d/wh", "echo 2 > /d/.w && rm /d/wh"},
}

// TestRangeLaws holds ranges to what they are for: the range on top of its
// lower side is its upper side, whether the layers can be subtracted or the
// trees have to be compared, and the range alone has what differs.
func TestRangeLaws(t *testing.T) {
	b := startRanges(t)
	for _, law := range rangeLaws {
		t.Run(law.name, func(t *testing.T) {
			t.Parallel()
			dockerfile := "FROM @base@ AS lower\nRUN " + law.lower + "\nFROM lower AS upper\nRUN " + law.upper + "\nFROM scratch AS flat\nCOPY --from=upper / /\n"
			tag := slug(law.name)
			lower := b.stock(t, tag+"-lower", dockerfile, "--target", "lower")
			upper := b.stock(t, tag+"-upper", dockerfile, "--target", "upper")
			flat := b.stock(t, tag+"-flat", dockerfile)
			const on = " AS top\nFROM lower\nCOPY --link --from=top / /\n"
			// The images come first: see "An engine defect" in docs/ranges.md.
			sameTree(t, b.build(t, tag+"-images", "FROM @tag:"+tag+"-lower@..@tag:"+tag+"-upper@ AS top\nFROM @tag:"+tag+"-lower@\nCOPY --link --from=top / /\n"), upper.Tree)
			sameTree(t, b.build(t, tag+"-layers", dockerfile+"FROM lower..upper"+on), upper.Tree)
			sameTree(t, b.build(t, tag+"-compared", dockerfile+"FROM lower..flat"+on), flat.Tree)
			onlyDiffers(t, b.build(t, tag+"-alone", dockerfile+"FROM lower..upper\n"), lower.Tree, upper.Tree)
			// BuildKit's copy makes a character device of a block device.
			if law.name != "block device" {
				onlyDiffers(t, b.build(t, tag+"-copied", dockerfile+"FROM scratch\nCOPY --from=lower..upper / /\n"), lower.Tree, upper.Tree)
			}
		})
	}
}

// TestRangeAttributes does the same for what no shell can make in a build.
func TestRangeAttributes(t *testing.T) {
	b := startRanges(t)
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	lower := []bed.File{
		bed.Dir("d", 0o755), bed.Text("d/same", "1"), {Path: "d/file", Content: "2", Xattrs: map[string]string{"user.note": "a"}}, bed.Text("ping", "3").WithMode(0o755),
	}
	upper := []bed.File{
		{Path: "d/file", Content: "2", Xattrs: map[string]string{"user.note": "b", "user.more": "c"}},
		{Path: "ping", Content: "3", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}},
		{Path: "new", Content: "4", Xattrs: map[string]string{"user.note": "d"}},
	}
	for tag, layers := range map[string][][]bed.File{"lower": {lower}, "upper": {lower, upper}} {
		image, err := bed.NewImage(nil, layers...)
		if err != nil {
			t.Fatal(err)
		}
		b.Push(t, b.ref(tag), image)
	}
	want, from := b.Image(t, b.ref("upper"), "").Tree, b.Image(t, b.ref("lower"), "").Tree
	sameTree(t, b.build(t, "layers", "FROM @tag:lower@..@tag:upper@ AS top\nFROM @tag:lower@\nCOPY --link --from=top / /\n"), want)
	onlyDiffers(t, b.build(t, "alone", "FROM @tag:lower@..@tag:upper@\n"), from, want)
	// Where trees are compared, the builder sees a change of capabilities, but
	// none of other attributes.
	const flat = "FROM @tag:upper@ AS upper\nFROM scratch AS flat\nCOPY --from=upper / /\n"
	for tag, image := range map[string]bed.Image{
		"compared": b.build(t, "compared", flat+"FROM @tag:lower@..flat AS top\nFROM @tag:lower@\nCOPY --link --from=top / /\n"),
		"copied":   b.build(t, "copied", "FROM scratch\nCOPY --from=@tag:lower@..@tag:upper@ / /\n"),
	} {
		if got := image.Tree["/ping"].Xattrs["security.capability"]; got != capability {
			t.Errorf("%s: /ping has the capabilities %q, want %q", tag, got, capability)
		}
		if _, ok := image.Tree["/new"]; !ok {
			t.Errorf("%s lacks /new", tag)
		}
	}
}

// comparable is an entry without what two builds may differ in.
func comparable(entry bed.Entry) bed.Entry {
	if entry.Type == "dir" {
		entry.ModTime = time.Time{}
	}
	return entry
}

func sameTree(t *testing.T, image bed.Image, want bed.Tree) {
	t.Helper()
	for path, entry := range want {
		got, ok := image.Tree[path]
		if !ok {
			t.Errorf("%s lacks %s", image.Ref, path)
		} else if !reflect.DeepEqual(comparable(got), comparable(entry)) {
			t.Errorf("%s has %s: %v, want %v", image.Ref, path, got, entry)
		}
	}
	for path := range image.Tree {
		if _, ok := want[path]; !ok {
			t.Errorf("%s has %s, which should be gone", image.Ref, path)
		}
	}
}

// onlyDiffers wants of the upper tree what is not in the lower one as it is in
// the upper one, and directories on the way there.
func onlyDiffers(t *testing.T, image bed.Image, lower, upper bed.Tree) {
	t.Helper()
	for path, entry := range upper {
		got, ok := image.Tree[path]
		before, had := lower[path]
		// Of a group of hard links that reaches into the lower side, the range
		// may have a part.
		before.HardlinkGroup, entry.HardlinkGroup, got.HardlinkGroup = "", "", ""
		differs := !had || !reflect.DeepEqual(comparable(before), comparable(entry))
		switch {
		case differs && !ok:
			t.Errorf("%s lacks %s, which differs", image.Ref, path)
		case ok && path != "/" && !reflect.DeepEqual(comparable(got), comparable(entry)):
			t.Errorf("%s has %s: %v, want %v", image.Ref, path, got, entry)
		case ok && !differs && entry.Type != "dir" && upper[path].HardlinkGroup == "":
			t.Errorf("%s has %s, which does not differ", image.Ref, path)
		}
	}
	for path := range image.Tree {
		if _, ok := upper[path]; !ok {
			t.Errorf("%s has %s, which the upper side has not", image.Ref, path)
		}
	}
}

// TestRangePulls holds ranges of images to pull no layer, on a builder that has
// none.
func TestRangePulls(t *testing.T) {
	b := startRanges(t)
	push := func(tag string, layers ...[]bed.File) bed.Image {
		image, err := bed.NewImage(nil, layers...)
		if err != nil {
			t.Fatal(err)
		}
		b.Push(t, b.ref(tag), image)
		return b.Image(t, b.ref(tag), "")
	}
	base, one := []bed.File{bed.Text("base", "1"), bed.Text("deleted", "1")}, []bed.File{bed.Text("one", "1"), bed.Text(".wh.deleted", "")}
	old, app := push("old", base), push("app", base, one, []bed.File{bed.Text("two", "2")})
	fresh := push("new", []bed.File{bed.Text("base", "2"), bed.Text("deleted", "2")})
	builder := b.NewBuilder(t)
	pulled := func(tag, dockerfile string) bed.Image {
		t.Helper()
		mark := b.Registry.Mark(t)
		b.build(t, tag, dockerfile, "--builder", builder.Name)
		layers := slices.Concat(old.Layers(), app.Layers(), fresh.Layers())
		for _, r := range b.Registry.Since(t, mark).BlobDownloads().Of(layers...) {
			t.Errorf("%s: %d bytes of layer %s were pulled", tag, r.Bytes, r.Ref)
		}
		return b.Image(t, b.ref(tag), "")
	}
	top := app.Layers()[len(old.Layers()):]
	t.Run("export", func(t *testing.T) {
		if got := pulled("top", "FROM @tag:old@..@tag:app@\n").Layers(); !slices.Equal(got, top) {
			t.Errorf("layers %q, want %q", got, top)
		}
	})
	t.Run("rebase", func(t *testing.T) {
		image := pulled("rebased", "FROM @tag:old@..@tag:app@ AS top\nFROM @tag:new@\nCOPY --link --from=top / /\n")
		if got, want := image.Layers(), slices.Concat(fresh.Layers(), top); !slices.Equal(got, want) {
			t.Errorf("layers %q, want %q", got, want)
		}
		wantFiles(t, image, "/base", "/one", "/two")
		checkHistory(t, image.Config)
	})
	t.Run("rebase in one line", func(t *testing.T) {
		wantFiles(t, pulled("rebased-2", "FROM @tag:new@\nCOPY --link --from=@tag:old@..@tag:app@ / /\n"), "/base", "/one", "/two")
	})
	t.Run("what comes after is on top", func(t *testing.T) {
		dockerfile := "FROM @tag:old@..@tag:app@ AS top\nFROM @tag:new@\nCOPY file /two\nCOPY --link --from=top / /\nCOPY file /one\n"
		image := b.build(t, "after", dockerfile, "--builder", builder.Name)
		if got := []int64{image.Tree["/one"].Size, image.Tree["/two"].Size}; got[0] == 1 || got[1] != 1 {
			t.Errorf("the sizes of /one and /two are %d", got)
		}
	})
}

func checkHistory(t *testing.T, config *v1.ConfigFile) {
	t.Helper()
	full := 0
	for _, h := range config.History {
		if !h.EmptyLayer {
			full++
		}
	}
	if full != len(config.RootFS.DiffIDs) {
		t.Errorf("%d entries of the history for %d layers", full, len(config.RootFS.DiffIDs))
	}
}

// TestRangeExamples are the examples of the proposal (moby/buildkit#4239).
func TestRangeExamples(t *testing.T) {
	b := startRanges(t)
	tests := []struct {
		name, dockerfile string
		want             func(*testing.T, bed.Image)
	}{
		{"only the files that a command made", "FROM @base@ AS base\nFROM base AS tool\nRUN echo t > /usr/tool && echo l > /usr/lib/tool\nFROM base\nCOPY --from=base..tool / /\n", nil},
		{"the same files not copied twice", "FROM @base@ AS base\nFROM base AS a\nRUN echo a > /a\nFROM a AS b\nRUN echo b > /b\nFROM base\nCOPY --from=base..a / /\nCOPY --from=a..b / /\n", func(t *testing.T, image bed.Image) {
			if n := len(image.Layers()); n != 3 {
				t.Errorf("%d layers", n)
			}
		}},
		{"a stage squashed, its base kept", "FROM @base@ AS base\nFROM base AS work\nRUN echo 1 > /1\nRUN echo 2 > /2\nRUN rm /1\nFROM base\nCOPY --from=base..work / /\n", func(t *testing.T, image bed.Image) {
			if n := len(image.Layers()); n != 2 {
				t.Errorf("%d layers", n)
			}
			if _, ok := image.Tree["/1"]; ok {
				t.Error("/1 is there")
			}
		}},
		// A copy adds files and takes none away: the deletion of what the base
		// has is lost. docs/ranges.md says so.
		{"a copy does not delete", "FROM @base@ AS base\nFROM base AS work\nRUN rm /etc/group && echo > /new\nFROM base\nCOPY --from=base..work / /\n", func(t *testing.T, image bed.Image) {
			if _, ok := image.Tree["/etc/group"]; !ok {
				t.Error("/etc/group is gone")
			}
		}},
		{"the layers of a link do", "FROM @base@ AS base\nFROM base AS work\nRUN rm /etc/group && echo > /new\nFROM base\nCOPY --link --from=base..work / /\n", func(t *testing.T, image bed.Image) {
			if _, ok := image.Tree["/etc/group"]; ok {
				t.Error("/etc/group is there")
			}
		}},
		{"a mount of what changed", "FROM @base@ AS base\nFROM base AS work\nRUN echo x > /x\nFROM base\nRUN --mount=from=base..work,target=/changed ls /changed > /list\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			image := b.build(t, slug(tt.name), tt.dockerfile)
			checkHistory(t, image.Config)
			if tt.want != nil {
				tt.want(t, image)
			}
		})
	}
}
