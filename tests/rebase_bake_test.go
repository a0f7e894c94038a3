package tests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// TestRebaseBake rebases as bake targets: onto an image, onto the result of
// another target, and, which can not be, the result of another target.
func TestRebaseBake(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "bake")
	dir := filepath.Join(t.TempDir(), "rebasebake")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("conf", "conf\n"), bed.Text("docker-bake.hcl", strings.NewReplacer(
		"@app@", r.ref("app:1"), "@old@", r.ref("base:1"), "@new@", r.ref("base:2"), "@out@", r.ref("out")).Replace(`
target "rebased" {
  dockerfile-inline = "FROM scratch\n"
  contexts = { image = "docker-image://@app@", onto = "docker-image://@new@" }
  args = { RELINK_OP = "rebase" }
  tags = ["@out@:rebased"]
}
target "base" {
  dockerfile-inline = "FROM @new@\nENV MORE=yes\nCOPY conf /f\n"
}
target "linked" {
  inherits = ["rebased"]
  contexts = { image = "docker-image://@app@", from = "docker-image://@old@", onto = "target:base" }
  tags = ["@out@:linked"]
}
target "impossible" {
  inherits = ["rebased"]
  contexts = { image = "target:base", onto = "docker-image://@new@" }
  tags = ["@out@:impossible"]
}
`)))
	bake := func(targets ...string) bed.Result {
		env := []string{"BUILDX_NO_DEFAULT_ATTESTATIONS=1"}
		return r.bed.Docker(t, dir, env, append([]string{"relink", "bake", "--push"}, targets...)...)
	}
	mark := r.bed.Registry.Mark(t)
	bake("rebased", "linked").MustSucceed(t)
	verified := 0
	for _, request := range r.bed.Registry.Since(t, mark) {
		if request.Repo == r.name+"/out" && request.Kind == "manifests" && strings.HasPrefix(request.UserAgent, "docker-relink/") {
			verified++
		}
	}
	if verified != 2 {
		t.Errorf("%d of the two images that were pushed were looked at afterwards", verified)
	}
	r.wantRebuilt(t, "out:rebased")

	r.build(t, "base:more", fmt.Sprintf("FROM %s\nENV MORE=yes\nCOPY conf /f\n", r.ref("base:2")))
	r.build(t, "rebuilt:more", fmt.Sprintf(rebaseApp, r.ref("base:more")))
	want, got := r.bed.Image(t, r.ref("rebuilt:more"), ""), r.bed.Image(t, r.ref("out:linked"), "")
	want.ClockFrom, got.ClockFrom = rebasesBegan, rebasesBegan
	for _, diff := range bed.Compare(want, got) {
		t.Error(diff)
	}
	own := r.bed.Image(t, r.ref("app:1"), "").Layers()[len(r.bed.Image(t, r.ref("base:1"), "").Layers()):]
	if layers := got.Layers(); !slices.Equal(layers[len(layers)-len(own):], own) {
		t.Errorf("the layers are %q, and should end with %q", layers, own)
	}

	wantRefused(t, bake("impossible"), `the build context "image" is the result of a build, whose layers are not known yet`)
	if r.bed.Exists(t, r.ref("out:impossible")) {
		t.Error("an image was pushed")
	}
}
