package tests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// A difference is a target of a bake file, of images and of other targets, and so
// are a rebase and a squash of one, by relink and by stock buildx with the frontend
// image.
func TestDiffBake(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "bake")
	b := d.bed
	frontendImage := b.Registry.Ref("diff/bake-frontend:1")
	b.Docker(t, frontendContext(t), nil, "buildx", "build", "--push", "-t", frontendImage,
		"-f", filepath.Join(bed.Root(), "cmd", "relink-frontend", "Dockerfile"), ".").MustSucceed(t)
	dir := filepath.Join(t.TempDir(), "diffbake")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "f\n"), bed.Text("docker-bake.hcl", strings.NewReplacer(
		"@base@", d.base, "@two@", d.two, "@out@", b.Registry.Ref("diff/bake-out:")).Replace(`
variable "BY" {}
variable "SYNTAX" { default = "" }
group "default" { targets = ["images", "linked", "flat", "rebased", "squashed"] }
target "_by" { args = { BUILDKIT_SYNTAX = SYNTAX == "" ? null : SYNTAX } }
target "below" { dockerfile-inline = "FROM @base@\nCOPY f /etc/f\n" }
target "app" {
  contexts = { below = "target:below" }
  dockerfile-inline = "FROM below\nCOPY f /srv/f\n"
}
target "images" {
  inherits = ["_by"]
  contexts = { lower = "docker-image://@base@", upper = "docker-image://@two@" }
  args = { RELINK_OP = "diff" }
  tags = ["@out@images-${BY}"]
}
target "linked" {
  inherits = ["_by"]
  contexts = { lower = "docker-image://@base@", upper = "target:app" }
  args = { RELINK_OP = "diff" }
  tags = ["@out@linked-${BY}"]
}
target "rebased" {
  inherits = ["_by"]
  contexts = { image = "target:app", onto = "docker-image://@two@" }
  args = { RELINK_OP = "rebase" }
  tags = ["@out@rebased-${BY}"]
}
target "squashed" {
  inherits = ["_by"]
  contexts = { image = "target:app" }
  args = { RELINK_OP = "squash" }
  tags = ["@out@squashed-${BY}"]
}
target "flat" {
  inherits = ["_by"]
  contexts = { lower = "docker-image://@base@", upper = "docker-image://@two@" }
  args = { RELINK_OP = "diff", RELINK_FLATTEN = "true" }
  tags = ["@out@flat-${BY}"]
}
`)))
	for by, syntax := range map[string]string{"relink": "", "buildx": frontendImage} {
		env := []string{"BY=" + by, "SYNTAX=" + syntax, "BUILDX_NO_DEFAULT_ATTESTATIONS=1"}
		b.Docker(t, dir, env, by, "bake", "--push").MustSucceed(t)
		ref := func(what string) bed.Image { return b.Image(t, b.Registry.Ref("diff/bake-out:"+what+"-"+by), "") }
		if got, want := ref("images").Layers(), b.Image(t, d.two, "").Layers()[1:]; !slices.Equal(got, want) {
			t.Errorf("%s: layers %q, want %q", by, got, want)
		}
		if tree := ref("linked").Tree; tree["/srv/f"].Type != "file" || tree["/etc/changed"].Type != "" {
			t.Errorf("%s: the difference of linked targets has %v", by, tree)
		}
		for what, want := range map[string]int{"flat": 1, "rebased": 4, "squashed": 2} {
			if n := len(ref(what).Layers()); n != want {
				t.Errorf("%s: %s has %d layers, want %d", by, what, n, want)
			}
		}
		if tree := ref("rebased").Tree; tree["/srv/f"].Type != "file" || tree["/app/upper"].Type != "file" {
			t.Errorf("%s: the rebased target has %v", by, tree)
		}
	}
	list := func(args ...string) []diffChange {
		t.Helper()
		args = append([]string{"relink", "diff-build", "--exact", "--format", "json", "--bake-file", "docker-bake.hcl"}, args...)
		return readChanges(t, b.Docker(t, dir, nil, args...).MustSucceed(t).Stdout)
	}
	wantShown(t, list("below..app"), "A /srv", "A /srv/f")
	wantShown(t, list("..app"), "A /etc/f", "A /srv", "A /srv/f")
	wantShown(t, list("app.."+d.base), "D /etc/f", "D /srv")
	out := b.Registry.Ref("diff/bake-out:by-file")
	b.Docker(t, dir, nil, "relink", "diff-build", "--bake-file", "docker-bake.hcl", "--push", "-t", out, "below..app").MustSucceed(t)
	if tree := b.Image(t, out, "").Tree; tree["/srv/f"].Type != "file" || tree["/etc/f"].Type != "" {
		t.Errorf("the difference of the file's targets has %v", tree)
	}
	if r := b.Docker(t, dir, nil, "relink", "diff-build", "--bake-file", "docker-bake.hcl", "bleow..app"); r.Code == 0 || !strings.Contains(r.Stderr, "Did you mean the target below?") {
		t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
	}
	if r := b.Docker(t, dir, nil, "relink", "diff-build", "--bake-file", "none.hcl", "below..app"); r.Code == 0 || !strings.Contains(r.Stderr, "none.hcl") {
		t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
	}
}
