package tests

import (
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// What is done to another target is done for all of the target's platforms, and on
// each to what the target is there.
func TestBakeTargetPlatforms(t *testing.T) {
	t.Parallel()
	r := rebaseRepo{bed: bed.Shared(t), name: "bake/platforms"}
	all := []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}
	rebaseIndex(t, r, all, all)
	bake := r.bakeFile(t, "platforms", `
target "app" {
  dockerfile-inline = "ARG TARGETARCH\nFROM @ref@base:1\nARG TARGETARCH\nCOPY conf /one\nCOPY conf /two-${"$"}{TARGETARCH}\n"
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["@ref@app:built"]
}
target "new" {
  dockerfile-inline = "FROM @ref@base:2\nCOPY conf /new\n"
  platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
}
target "_op" {
  dockerfile-inline = "FROM scratch"
  contexts = { image = "target:app", upper = "target:app" }
}
target "rebased" {
  inherits = ["_op"]
  args = { RELINK_OP = "rebase" }
  contexts = { onto = "target:new" }
  tags = ["@ref@out:rebased"]
}
target "one" {
  inherits = ["_op"]
  args = { RELINK_OP = "rebase" }
  contexts = { onto = "docker-image://@ref@base:2" }
  platforms = ["linux/arm64"]
  tags = ["@ref@out:one"]
}
target "squashed" {
  inherits = ["_op"]
  args = { RELINK_OP = "squash" }
  tags = ["@ref@out:squashed"]
}
target "delta" {
  inherits = ["_op"]
  args = { RELINK_OP = "diff" }
  contexts = { lower = "docker-image://@ref@base:1" }
  tags = ["@ref@out:delta"]
}
target "reverse" {
  inherits = ["_op"]
  args = { RELINK_OP = "diff" }
  contexts = { lower = "target:app", upper = "target:new" }
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["@ref@out:reverse"]
}
target "missing" {
  inherits = ["_op"]
  args = { RELINK_OP = "rebase" }
  contexts = { onto = "docker-image://@ref@base:2" }
  platforms = ["linux/arm/v7"]
  tags = ["@ref@out:missing"]
}
`)
	bake("app", "rebased", "one", "squashed", "delta", "reverse").MustSucceed(t)
	for what, want := range map[string]struct {
		platforms []string
		layers    int
		has, not  string
	}{
		"out:rebased":  {all[:2], 4, "/new /base /one /two", ""},
		"out:one":      {all[1:2], 3, "/base /one /two", "/new"},
		"out:squashed": {all[:2], 2, "/base /one /two", ""},
		"out:delta":    {all[:2], 2, "/one /two", "/base"},
		"out:reverse":  {all[:2], 1, "/base /new", "/one"},
	} {
		var has []string
		for _, image := range r.bed.Images(t, r.ref(what)) {
			has = append(has, image.Platform)
			if n := len(image.Layers()); n != want.layers {
				t.Errorf("%s for %s has %d layers, want %d", what, image.Platform, n, want.layers)
			}
			for _, name := range strings.Fields(want.has) {
				if name == "/two" {
					name += "-" + strings.TrimPrefix(image.Platform, "linux/")
				}
				if image.Tree[name].Type != "file" {
					t.Errorf("%s for %s has no %s", what, image.Platform, name)
				}
			}
			if image.Tree[want.not].Type != "" {
				t.Errorf("%s for %s has %s", what, image.Platform, want.not)
			}
		}
		if !slices.Equal(has, want.platforms) {
			t.Errorf("%s is for %q, want %q", what, has, want.platforms)
		}
	}
	wantRefused(t, bake("missing"), "has no image for linux/arm/v7", "It has linux/amd64, linux/arm64")
}

// TestBakeTargetSquash makes one layer of what targets add to their bases: the files
// and the config are those of the target's image.
func TestBakeTargetSquash(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "targetsquash")
	squash := squashRepo(r)
	bake := r.bakeFile(t, "targetsquash", `
target "stage" {
  dockerfile-inline = "FROM @ref@base:1\nRUN rm /etc/gone\nCOPY conf /stage\n"
  tags = ["@ref@stage:1"]
}
target "app" {
  contexts = { stage = "target:stage" }
  dockerfile-inline = "FROM stage\nCOPY conf /app\nRUN rm /base.txt /stage\nCOPY --chown=7 conf /usr/\nENV APP=1\n"
  tags = ["@ref@app:linked"]
}
target "_squash" {
  dockerfile-inline = "FROM scratch"
  args = { RELINK_OP = "squash" }
  contexts = { image = "target:app" }
  tags = ["@ref@out:none"]
}
target "base" {
  inherits = ["_squash"]
  tags = ["@ref@out:base"]
}
target "named" {
  inherits = ["_squash"]
  contexts = { base = "target:stage" }
  tags = ["@ref@out:named"]
}
target "all" {
  inherits = ["_squash"]
  args = { RELINK_SQUASH = "all" }
  tags = ["@ref@out:all"]
}
target "from" {
  inherits = ["_squash"]
  args = { RELINK_FROM_LAYER = "2" }
  tags = ["@ref@out:from"]
}
target "toomany" {
  inherits = ["_squash"]
  args = { RELINK_FROM_LAYER = "5" }
}
target "beside" {
  inherits = ["_squash"]
  contexts = { base = "docker-image://@ref@base:2" }
}
`)
	bake("stage", "app", "base", "named", "all", "from").MustSucceed(t)
	base, stage := len(r.bed.Image(t, r.ref("base:1"), "").Layers()), len(r.bed.Image(t, r.ref("stage:1"), "").Layers())
	for tag, kept := range map[string]int{"out:base": base, "out:named": stage, "out:all": 0, "out:from": 1} {
		t.Run(tag, func(t *testing.T) {
			was, is := r.bed.Image(t, r.ref("app:linked"), ""), r.bed.Image(t, r.ref(tag), "")
			was.ClockFrom, is.ClockFrom = rebasesBegan, rebasesBegan
			// What is known of the base is not handed from one build to another.
			delete(was.Manifest.Annotations, "com.github.docker-relink.facts")
			if kept == 0 {
				was.Manifest.Annotations = nil
			}
			wantSameTree(t, was, is)
			if len(is.Layers()) != kept+1 || !slices.Equal(is.Layers()[:kept], was.Layers()[:kept]) {
				t.Errorf("layers %q, want the first %d of %q and one more", is.Layers(), kept, was.Layers())
			}
			checkHistory(t, is.Config)
			squash.squash(t, append(map[string][]string{
				"out:base": {"--base", r.ref("base:1")}, "out:named": {"--base", r.ref("stage:1")}, "out:all": {"--all"}, "out:from": {"--from-layer", "2"},
			}[tag], r.ref("app:linked"), "--push", "--provenance=false", "-t", r.ref("pushed:"+slug(tag)))...).MustSucceed(t)
			if want := r.bed.Image(t, r.ref("pushed:"+slug(tag)), "").Layers(); !slices.Equal(is.Layers(), want) {
				t.Errorf("layers %q, want those of the pushed image squashed, %q", is.Layers(), want)
			}
		})
	}
	wantRefused(t, bake("toomany"), "which are the first 4 layers")
	wantRefused(t, bake("beside"), "the image is not based on this base")
}
