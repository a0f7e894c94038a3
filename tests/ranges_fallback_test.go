package tests

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// fallbackLine is in what the progress says where files are compared.
const fallbackLine = "compared file by file, which is slower"

// comparedLaws are those that only matter where files are compared.
var comparedLaws = []struct{ name, lower, upper string }{
	{"nothing", "true", "true"},
	{"another content of the same size and time", "echo 1 > /f && touch -d '2001-02-03 04:05:06' /f", "echo 2 > /f && touch -d '2001-02-03 04:05:06' /f"},
	{"another content after the first piece", "busybox dd if=/dev/zero of=/f bs=1024 count=1500 && touch -d '2001-02-03 04:05:06' /f", "echo 2 | busybox dd of=/f bs=1024 seek=1400 conv=notrunc && touch -d '2001-02-03 04:05:06' /f"},
	{"group of a directory", "mkdir /d", "chmod 2750 /d && chown 0:50 /d && chmod 2750 /d && echo 1 > /d/f"},
	{"links that stay", "mkdir /d /e && echo 1 > /e/f && ln -s ../e /d/l && ln -s e /m && chmod 1770 /d", "echo 2 > /d/f && echo 2 > /e/g"},
	{"links that go", "mkdir /d /e && echo 1 > /e/f && ln -s ../e /d/l && ln -s e /m", "rm /d/l /m"},
	{"a broken link that stays", "mkdir /d && ln -s nothing /d/l", "echo 1 > /d/f"},
	{"names with wildcards", "mkdir /d && echo 1 > '/d/*' && echo 2 > '/d/[a]'", "echo 3 > '/d/?' && echo 4 > '/d/a b' && echo 5 > /d/a"},
}

// uncopied are the laws for which an Engine's copy is not good enough, and what
// the error has to name.
var uncopied = map[bed.EngineKind]map[string]string{
	bed.GraphEngine:  {"block-device": "block device /b"},
	bed.DebianEngine: {"block-device": "block device /b", "fifo": "FIFO /q", "device-nodes": "device /d", "another-device": "device /c"},
}

// fallbackForms are forms of ranges of which some have a part of their own where
// files are compared, or where an old builder has no words for them.
var fallbackForms = []struct {
	name, dockerfile string
	want             []string
}{
	{"copy before the stage", "FROM scratch AS x\nCOPY --from=base..gen / /\n" + stages + "FROM x\n", []string{"/etc/passwd", "/gen"}},
	{"copy a file", stages + "FROM scratch\nCOPY --from=base..more /usr/more /m\n", []string{"/m"}},
	{"mount", stages + "FROM base AS run\nRUN --mount=type=bind,from=base..gen,target=/m test -f /m/gen && test ! -e /m/bin && cp /m/gen /out\nFROM scratch\nCOPY --from=run /out /\n", []string{"/out"}},
	{"nested", stages + "FROM base..more AS both\nFROM base..gen AS one\nFROM one..both\n", []string{"/usr/more"}},
	{"built upon by RUN", stages + "FROM scratch..gen AS x\nRUN echo y > /y\nFROM gen..x\n", []string{"/y"}},
	{"nothing above", stages + "FROM base AS x\nCOPY --from=gen..scratch / /none/\nFROM base..x\n", nil},
	{"global arguments", "ARG A=ba\n" + stages + "FROM ${A}se..gen\n", []string{"/etc/passwd", "/gen"}},
	{"heredoc", stages + "FROM base AS run\nCOPY <<a..b /text\nFROM base..gen\na..b\nFROM base..run\n", []string{"/text"}},
	{"linked twice", stages + "FROM more\nRUN rm /gen\nCOPY --link --from=gen..more / /\nCOPY --link --from=gen..more / /\nCOPY --from=base /etc/group /g\n", nil},
}

// engineRanges builds ranges on an Engine, and the same on the bed's builder.
type engineRanges struct {
	rangeBed
	engine *bed.Engine
	kind   bed.EngineKind
}

func (e engineRanges) run(t *testing.T, dockerfile, tag string) bed.Result {
	t.Helper()
	// An old builder takes a context of the same name, sizes and times for the
	// same one.
	dir := filepath.Join(t.TempDir(), tag)
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", e.expand(dockerfile)))
	return e.engine.Docker(t, dir, nil, "relink", "build", "--network", "none", "--push", "-t", e.ref(tag), ".")
}

// onEngine builds and pushes a tag by the Engine.
func (e engineRanges) onEngine(t *testing.T, tag, dockerfile string) bed.Image {
	t.Helper()
	tag += "-" + string(e.kind)
	result := e.run(t, dockerfile, tag).MustSucceed(t)
	if !strings.Contains(result.Stderr, fallbackLine) {
		t.Errorf("the progress does not say that files are compared:\n%s", result.Stderr)
	}
	return e.Image(t, e.ref(tag), "")
}

// TestRangeFallback holds ranges on Engines that cannot subtract layers to
// those on a builder that can.
func TestRangeFallback(t *testing.T) {
	for _, kind := range []bed.EngineKind{bed.GraphEngine, bed.DebianEngine} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := startRanges(t)
			e := engineRanges{rangeBed: b, engine: b.NewEngine(t, kind), kind: kind}
			for _, law := range append(comparedLaws, rangeLaws...) {
				t.Run(law.name, func(t *testing.T) { e.law(t, slug(law.name), law.lower, law.upper) })
			}
			for _, form := range fallbackForms {
				t.Run(form.name, func(t *testing.T) {
					image := e.onEngine(t, "form-"+slug(form.name), form.dockerfile)
					checkHistory(t, image.Config)
					if form.want != nil {
						wantFiles(t, image, form.want...)
					}
					same := e.build(t, "form-"+slug(form.name), form.dockerfile)
					if got, want := files(image), files(same); !slices.Equal(got, want) {
						t.Errorf("the files are %q, with DiffOp %q", got, want)
					}
				})
			}
			t.Run("attributes", func(t *testing.T) { e.attributes(t) })
			t.Run("an error at its line", func(t *testing.T) {
				if kind == bed.DebianEngine {
					t.Skip("the builder does not pass on where an error is")
				}
				result := e.run(t, stages+"FROM base\nCOPY --from=nothing/..gen / /\n", "error")
				if want := ">>> COPY --from=nothing/..gen / /"; result.Code == 0 || !strings.Contains(result.Stderr, want) {
					t.Errorf("the error does not have %q:\n%s", want, result.Stderr)
				}
			})
		})
	}
}

// law builds sides once, as images: so both builders compare the same.
func (e engineRanges) law(t *testing.T, tag, lower, upper string) {
	stages := "FROM @base@ AS lower\nRUN " + lower + "\nFROM lower AS upper\nRUN " + upper + "\n"
	below := e.stock(t, tag+"-lower", stages, "--target", "lower")
	above := e.stock(t, tag+"-upper", stages)
	if what := uncopied[e.kind][tag]; what != "" {
		result := e.run(t, "FROM @tag:"+tag+"-lower@..@tag:"+tag+"-upper@\n", tag)
		if result.Code == 0 || !strings.Contains(result.Stderr, what) || !strings.Contains(result.Stderr, "BuildKit v0.10") {
			t.Errorf("the error does not have %q:\n%s", what, result.Stderr)
		}
		return
	}
	sides := "@tag:" + tag + "-lower@..@tag:" + tag + "-upper@"
	for form, dockerfile := range map[string]string{
		"alone":  "FROM " + sides + "\n",
		"linked": "FROM @tag:" + tag + "-lower@\nCOPY --link --from=" + sides + " / /\n",
	} {
		got := e.onEngine(t, tag+"-"+form, dockerfile)
		if form == "linked" {
			sameTree(t, withoutGroups(got), withoutGroups(above).Tree)
		} else {
			onlyDiffers(t, got, below.Tree, above.Tree)
			sameTree(t, withoutGroups(got), e.differing(t, tag+"-"+form, dockerfile, below, above))
		}
	}
}

// attributes has what no shell can make in a build.
func (e engineRanges) attributes(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	lower := []bed.File{bed.Dir("d", 0o755), bed.Text("d/same", "1"), bed.Text("ping", "3").WithMode(0o755)}
	upper := []bed.File{{Path: "ping", Content: "3", Mode: 0o755, Xattrs: map[string]string{"security.capability": capability}}, bed.Text("d/new", "4")}
	for tag, layers := range map[string][][]bed.File{"lower": {lower}, "upper": {lower, upper}} {
		image, err := bed.NewImage(nil, layers...)
		if err != nil {
			t.Fatal(err)
		}
		e.Push(t, e.ref(tag), image)
	}
	onlyDiffers(t, e.onEngine(t, "attributes", "FROM @tag:lower@..@tag:upper@\n"), e.Image(t, e.ref("lower"), "").Tree, e.Image(t, e.ref("upper"), "").Tree)
}

// differing is the tree of a range by DiffOp, without the names of a file that
// are the same in the lower side: those may come with a new name of it.
func (e engineRanges) differing(t *testing.T, tag, dockerfile string, lower, upper bed.Image) bed.Tree {
	t.Helper()
	tree := e.build(t, tag+"-diff", dockerfile).Tree
	for path, entry := range tree {
		if group := upper.Tree[path].HardlinkGroup; group != "" {
			before, after := lower.Tree[path], upper.Tree[path]
			before.HardlinkGroup, after.HardlinkGroup = "", ""
			if reflect.DeepEqual(before, after) {
				delete(tree, path)
				continue
			}
		}
		entry.HardlinkGroup = ""
		tree[path] = entry
	}
	return tree
}

// withoutGroups is an image of which the hard links are files of their own:
// where a name of a file is the same in the lower side, its group is another.
func withoutGroups(image bed.Image) bed.Image {
	tree := bed.Tree{}
	for path, entry := range image.Tree {
		entry.HardlinkGroup = ""
		tree[path] = entry
	}
	image.Tree = tree
	return image
}
