package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// Builders that cannot subtract layers compare whole file systems, and the list is
// the same.
func TestDiffFallback(t *testing.T) {
	for _, kind := range []bed.EngineKind{bed.GraphEngine, bed.DebianEngine} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			d := newDiffImages(t, "fallback-"+string(kind))
			engine := d.bed.NewEngine(t, kind)
			dir := filepath.Join(t.TempDir(), "difffallback")
			bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "f\n"),
				bed.Text("Dockerfile", "FROM "+d.base+" AS first\nCOPY f /made/f\nFROM first\nCOPY f /last\n"))
			run := func(args ...string) bed.Result {
				return engine.Docker(t, dir, nil, append([]string{"relink", "diff-build"}, args...)...)
			}
			list := readChanges(t, run("--format", "json", d.one+".."+d.two).MustSucceed(t).Stdout)
			wantPlain(t, list, d.bed.Image(t, d.one, ""), d.bed.Image(t, d.two, ""))
			wantShown(t, readChanges(t, run("--format", "json", "first..", ".").MustSucceed(t).Stdout), "A /last")
			wantShown(t, readChanges(t, run("--format", "json", ".").MustSucceed(t).Stdout), "A /last", "A /made", "A /made/f")
			if r := run("--content", "etc/changed", d.one+".."+d.two).MustSucceed(t); !strings.Contains(r.Stdout, "-old\n+new!\n") {
				t.Errorf("the content is\n%s", r.Stdout)
			}
			if r := run("--exit-code", "--stat", d.one+".."+d.one); r.Code != 0 {
				t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
			}
			out, gone := filepath.Join(dir, "out"), filepath.Join(dir, "gone")
			r := run("-o", out, "--deletions", gone, d.one+".."+d.two).MustSucceed(t)
			if !strings.Contains(r.Stderr, "no DiffOp") {
				t.Errorf("nothing says that files were compared:\n%s", r.Stderr)
			}
			if got, err := os.ReadFile(filepath.Join(out, "app/upper")); err != nil || string(got) != "2\n" {
				t.Errorf("app/upper is %q (%v)", got, err)
			}
			if _, err := os.Lstat(filepath.Join(out, "etc/same")); err == nil {
				t.Error("what is the same is in the difference")
			}
			if text, err := os.ReadFile(gone); err != nil || !slices.Contains(strings.Fields(string(text)), "/app/lower") {
				t.Errorf("the deletions are %q (%v)", text, err)
			}
		})
	}
}

// An Engine with the containerd image store subtracts layers, and its own images
// can be sides.
func TestDiffOnEngine(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "engine")
	engine := d.bed.NewEngine(t, bed.CurrentEngine)
	engine.Docker(t, "", nil, "pull", d.two).MustSucceed(t)
	engine.Docker(t, "", nil, "tag", d.two, "local:only").MustSucceed(t)
	list := readChanges(t, engine.Docker(t, "", nil, "relink", "diff-build", "--format", "json", "--exact", d.one+"..local:only").MustSucceed(t).Stdout)
	wantPlain(t, list, d.bed.Image(t, d.one, ""), d.bed.Image(t, d.two, ""))
	engine.Docker(t, "", nil, "relink", "diff-build", "--load", "-t", "difference", d.base+"..local:only").MustSucceed(t)
	if r := engine.Docker(t, "", nil, "image", "inspect", "--format", "{{len .RootFS.Layers}}", "difference").MustSucceed(t); r.Stdout != "1\n" {
		t.Errorf("the difference has %q layers, want 1", r.Stdout)
	}
}
