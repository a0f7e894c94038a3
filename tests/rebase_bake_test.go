package tests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// TestRebaseBake rebases images as bake targets: onto an image, and onto the result
// of another target.
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
}

// targetDockerfiles are Dockerfiles of targets that are rebased, with what goes
// wrong easily when layers are told by operations: deletions, links of copies, of
// stages and of another target, layers without files, and steps that make none.
var targetDockerfiles = map[string]string{
	"ran":    strings.Replace(rebaseApp, "%s", "@base@", 1),
	"copied": "FROM @base@\nWORKDIR /etc/kind/x\nCOPY conf ./\nCOPY --link conf /etc/linked\nCOPY --chown=7 conf /usr/\nENV COPIED=1\n",
	"ranged": "FROM @base@ AS a\nRUN mkdir /ranged && rm /etc/gone\nFROM @base@ AS b\nCOPY conf /b\nCOPY --from=@base@..a / /\n",
	"staged": "FROM @base@ AS low\nRUN true\nCOPY conf /low\nFROM low\nRUN rm /base.txt\nUSER 7\n",
	"bare":   "FROM @base@\nENV BARE=1\n",
	"squash": "FROM @base@\nRUN rm /etc/gone\nCOPY conf /squash\n",
}

// TestRebaseBakeTargets rebases the results of other targets. They equal what
// becomes of them when they are pushed and rebased then, and where the new base has
// what they look at, what their Dockerfiles make of it.
func TestRebaseBakeTargets(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "targets")
	var hcl strings.Builder
	var names []string
	for name, dockerfile := range targetDockerfiles {
		for _, link := range []string{"auto", "never"} {
			names = append(names, name+"-"+link)
			fmt.Fprintf(&hcl, `
target "%[1]s-%[2]s" {
  dockerfile-inline = %[3]q
  args = { RELINK_LINK = "%[2]s", RELINK_SQUASH = "%[4]s" }
  tags = ["@ref@app:%[1]s-%[2]s"]
}
target "rebased-%[1]s-%[2]s" {
  dockerfile-inline = "FROM scratch"
  args = { RELINK_OP = "rebase" }
  contexts = { image = "target:%[1]s-%[2]s", onto = "docker-image://@ref@base:2" }
  tags = ["@ref@rebased:%[1]s-%[2]s"]
}
`, name, link, strings.ReplaceAll(dockerfile, "@base@", r.ref("base:1")), map[bool]string{true: "base"}[name == "squash"])
		}
	}
	slices.Sort(names)
	bake := r.bakeFile(t, "targets", hcl.String())
	var targets []string
	for _, name := range names {
		targets = append(targets, name, "rebased-"+name)
	}
	bake(targets...).MustSucceed(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r.wantAsPushed(t, "app:"+name, "rebased:"+name, "--onto", r.ref("base:2"), "--from", r.ref("base:1"))
		})
	}
	r.build(t, "rebuilt:ran", strings.ReplaceAll(targetDockerfiles["ran"], "@base@", r.ref("base:2")))
	r.wantSame(t, "rebuilt:ran", "rebased:ran-auto")
	r.wantSame(t, "rebuilt:ran", "rebased:ran-never")
}

// TestRebaseBakeTargetBases has the old base of a target in all the ways in which it
// can be said.
func TestRebaseBakeTargetBases(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "targetbases")
	bake := r.bakeFile(t, "targetbases", strings.NewReplacer("@busybox@", r.bed.Base(t, "busybox")).Replace(`
target "stage" {
  dockerfile-inline = "FROM @ref@base:1\nENV STAGE=1 BASE=stage\nRUN rm /etc/gone\nCOPY conf /stage\n"
  tags = ["@ref@stage:1"]
}
target "app" {
  contexts = { stage = "target:stage" }
  dockerfile-inline = "FROM stage\nCOPY conf /app\nRUN rm /base.txt\nENV APP=1\n"
  tags = ["@ref@app:linked"]
}
target "new" {
  dockerfile-inline = "FROM @ref@base:2\nENV STAGE=2\nCOPY conf /stage\nRUN echo 2 >/two\n"
  tags = ["@ref@new:1"]
}
target "nothing" {
  dockerfile-inline = "FROM scratch\nCOPY conf /nothing\n"
  tags = ["@ref@nothing:1"]
}
target "_rebase" {
  dockerfile-inline = "FROM scratch"
  args = { RELINK_OP = "rebase" }
  contexts = { image = "target:app", onto = "docker-image://@ref@base:2" }
  tags = ["@ref@out:none"]
}
target "cut" {
  inherits = ["_rebase"]
  contexts = { from = "target:stage" }
  tags = ["@ref@out:cut"]
}
target "both" {
  inherits = ["_rebase"]
  contexts = { from = "target:stage", onto = "target:new" }
  tags = ["@ref@out:both"]
}
target "below" {
  inherits = ["_rebase"]
  contexts = { from = "docker-image://@busybox@" }
  tags = ["@ref@out:below"]
}
target "forced" {
  inherits = ["_rebase"]
  args = { RELINK_FORCE_LAYERS = "1" }
  tags = ["@ref@out:forced"]
}
target "all" {
  inherits = ["_rebase"]
  contexts = { image = "target:nothing" }
  args = { RELINK_FORCE_LAYERS = "0" }
  tags = ["@ref@out:all"]
}
target "unknown" {
  inherits = ["_rebase"]
  contexts = { image = "target:nothing" }
}
target "other" {
  inherits = ["_rebase"]
  contexts = { from = "docker-image://@ref@base:2" }
}
target "beside" {
  inherits = ["_rebase"]
  contexts = { from = "target:new" }
}
target "pushed" {
  inherits = ["_rebase"]
  contexts = { from = "docker-image://@ref@app:1" }
}
target "unpushed" {
  inherits = ["_rebase"]
  contexts = { image = "docker-image://@ref@app:1", from = "target:stage" }
}
target "toomany" {
  inherits = ["_rebase"]
  args = { RELINK_FORCE_LAYERS = "3" }
}
`))
	bake("stage", "app", "new", "nothing", "cut", "both", "below", "forced", "all").MustSucceed(t)
	for target, args := range map[string][]string{
		"cut":    {"app:linked", "--from", r.ref("stage:1"), "--onto", r.ref("base:2")},
		"both":   {"app:linked", "--from", r.ref("stage:1"), "--onto", r.ref("new:1")},
		"below":  {"app:linked", "--from", r.bed.Base(t, "busybox"), "--onto", r.ref("base:2")},
		"forced": {"app:linked", "--force-layers", "1", "--onto", r.ref("base:2")},
		"all":    {"nothing:1", "--force-layers", "0", "--onto", r.ref("base:2")},
	} {
		t.Run(target, func(t *testing.T) { r.wantAsPushed(t, args[0], "out:"+target, args[1:]...) })
	}
	for target, says := range map[string]string{
		"unknown":  "the base of target:nothing is not known: it is built upon no image",
		"other":    "the image is not based on this base",
		"beside":   "the image is not based on this base",
		"pushed":   "the layers that a build adds are not known before its image was exported",
		"unpushed": "the layers that a build adds are not known before its image was exported",
		"toomany":  "which are the first 3 layers",
	} {
		t.Run(target, func(t *testing.T) { wantRefused(t, bake(target), says) })
	}
	if r.bed.Exists(t, r.ref("out:none")) {
		t.Error("an image was pushed")
	}
}

// The rebase of a target that is documented has the new base and what the target adds
// to the one that it is built upon.
func TestRebaseBakeTargetDocumented(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "targetdocumented")
	example := strings.ReplaceAll(documentedAfter(t, "docs/bake.md", "### Of other targets"), "registry.example/", "@ref@")
	r.bakeFile(t, "targetdocumented", strings.ReplaceAll(example, "COPY app", "COPY conf"))().MustSucceed(t)
	onto, got := r.bed.Image(t, r.ref("base:2"), ""), r.bed.Image(t, r.ref("app:fixed"), "")
	if n := len(onto.Layers()); len(got.Layers()) != n+1 || !slices.Equal(got.Layers()[:n], onto.Layers()) {
		t.Errorf("layers %q, want %q and one more", got.Layers(), onto.Layers())
	}
	if got.Tree["/app"].Type != "file" || got.Tree["/runtime"].Type != "" {
		t.Errorf("the image has %v", got.Tree)
	}
}

// The provenance of a rebase of a target names what the target stands on, and the
// time that is wished for is that of the result.
func TestRebaseBakeTargetAttested(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "targetattested")
	bake := r.bakeFile(t, "targetattested", `
target "app" {
  dockerfile-inline = "FROM @ref@base:1\nCOPY conf /app\n"
  args = { SOURCE_DATE_EPOCH = "1600000000" }
  tags = ["@ref@app:linked"]
}
target "rebased" {
  dockerfile-inline = "FROM scratch"
  args = { RELINK_OP = "rebase", SOURCE_DATE_EPOCH = "1700000000" }
  contexts = { image = "target:app", onto = "docker-image://@ref@base:2" }
  attest = ["type=provenance,mode=max"]
  tags = ["@ref@out:attested"]
}
`)
	result := bake("app", "rebased").MustSucceed(t)
	if want := "rebase: old base " + r.ref("base:1") + "@"; !strings.Contains(result.Stderr, want) || !strings.Contains(result.Stderr, "(found by the build)") {
		t.Errorf("the report does not say %q:\n%s", want, result.Stderr)
	}
	out := rawIndex(t, r.ref("out:attested"))
	if len(out.manifest.Manifests) != 2 {
		t.Fatalf("%d manifests, want an image and its attestations", len(out.manifest.Manifests))
	}
	statement := attestation(t, r.ref("out"), out.manifest.Manifests[1].Digest)
	old, onto := r.bed.Image(t, r.ref("base:1"), ""), r.bed.Image(t, r.ref("base:2"), "")
	for _, want := range []string{old.Digest, onto.Digest, `"build-arg:RELINK_OP":"rebase"`, `"context:from":"docker-image://` + r.ref("base:1")} {
		if !strings.Contains(statement, strings.TrimPrefix(want, "sha256:")) {
			t.Errorf("the provenance does not name %s:\n%s", want, statement)
		}
	}
	image := r.bed.Image(t, r.ref("out:attested"), "")
	if got := image.Config.Created.Unix(); got != 1700000000 {
		t.Errorf("the image is of %d", got)
	}
	if h := image.Config.History; h[len(h)-1].Created.Unix() != 1600000000 {
		t.Errorf("the history ends with %+v", h[len(h)-1])
	}
}

// bakeFile writes a bake file and returns what runs it.
func (r rebaseRepo) bakeFile(t *testing.T, name, hcl string) func(targets ...string) bed.Result {
	t.Helper()
	dir := r.bakeDir(t, name, hcl)
	return func(targets ...string) bed.Result {
		env := []string{"BUILDX_NO_DEFAULT_ATTESTATIONS=1"}
		return r.bed.Docker(t, dir, env, append([]string{"relink", "bake", "--push"}, targets...)...)
	}
}

// bakeDir is a directory with a bake file.
func (r rebaseRepo) bakeDir(t *testing.T, name, hcl string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), slug(r.name+name))
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("conf", "conf\n"), bed.Text("docker-bake.hcl", strings.ReplaceAll(hcl, "@ref@", r.ref(""))))
	return dir
}

// wantAsPushed wants a rebase of a target to be what a rebase of the target's image
// is that was pushed.
func (r rebaseRepo) wantAsPushed(t *testing.T, pushed, rebased string, args ...string) {
	t.Helper()
	again := "again:" + slug(rebased)
	r.rebase(t, append([]string{r.ref(pushed), "--push", "-t", r.ref(again)}, args...)...).MustSucceed(t)
	r.wantSame(t, again, rebased)
	if want, got := r.bed.Image(t, r.ref(again), "").Layers(), r.bed.Image(t, r.ref(rebased), "").Layers(); !slices.Equal(got, want) {
		t.Errorf("layers %q, want %q", got, want)
	}
}

func (r rebaseRepo) wantSame(t *testing.T, what, is string) {
	t.Helper()
	want, got := r.bed.Image(t, r.ref(what), ""), r.bed.Image(t, r.ref(is), "")
	want.ClockFrom, got.ClockFrom = rebasesBegan, rebasesBegan
	// A new base that is a target has no name; the one that it stands on has.
	const baseName = "org.opencontainers.image.base.name"
	if want.Manifest.Annotations[baseName] == r.ref("new:1") && got.Manifest.Annotations[baseName] == r.ref("base:2") {
		want.Manifest.Annotations = got.Manifest.Annotations
	}
	for _, diff := range bed.Compare(want, got) {
		t.Error(diff)
	}
	checkHistory(t, got.Config)
	wantValid(t, r.ref(is))
}
