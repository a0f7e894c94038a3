package tests

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// frontendContext builds the binary of the frontend image where make
// frontend-image puts it, and returns the directory.
func frontendContext(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "frontend")
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "linux", runtime.GOARCH, "relink-frontend"), "./cmd/relink-frontend")
	cmd.Dir = bed.Root()
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the frontend: %v\n%s", err, out)
	}
	return dir
}

// TestFrontendImage builds with stock buildx and the frontend image.
func TestFrontendImage(t *testing.T) {
	b := startRanges(t)
	dockerfile, context := filepath.Join(bed.Root(), "cmd", "relink-frontend", "Dockerfile"), frontendContext(t)
	image := b.ref("frontend")
	b.Docker(t, context, nil, "buildx", "build", "--push", "-t", image, "-f", dockerfile, ".").MustSucceed(t)
	syntax := "# syntax=" + image + "\n"

	t.Run("labels", func(t *testing.T) {
		labels := b.Image(t, image, "").Config.Config.Labels
		if labels["moby.buildkit.frontend.network.none"] != "true" || !strings.Contains(labels["moby.buildkit.frontend.caps"], "moby.buildkit.frontend.subrequests") {
			t.Errorf("the labels are %v", labels)
		}
	})
	t.Run("syntax line", func(t *testing.T) {
		wantFiles(t, b.stock(t, "line", syntax+stages+"FROM base..gen\n"), "/etc/passwd", "/gen")
	})
	t.Run("syntax line and relink", func(t *testing.T) {
		wantFiles(t, b.build(t, "both", syntax+stages+"FROM base..gen\n"), "/etc/passwd", "/gen")
	})
	t.Run("argument", func(t *testing.T) {
		wantFiles(t, b.stock(t, "argument", stages+"FROM base..gen\n", "--build-arg", "BUILDKIT_SYNTAX="+image), "/etc/passwd", "/gen")
	})
	t.Run("argument and relink", func(t *testing.T) {
		wantFiles(t, b.build(t, "argument-relink", stages+"FROM base..gen\n", "--build-arg", "BUILDKIT_SYNTAX="+image), "/etc/passwd", "/gen")
	})
	t.Run("several platforms", func(t *testing.T) {
		b.run(t, "buildx", syntax+"FROM --platform=$BUILDPLATFORM @base@ AS base\nFROM base AS x\nARG TARGETARCH\nRUN echo > /$TARGETARCH\nFROM --platform=$BUILDPLATFORM base..x\n",
			"--platform=linux/amd64,linux/arm64", "--push", "-t", b.ref("platforms")).MustSucceed(t)
		images := b.Images(t, b.ref("platforms"))
		wantFiles(t, images[0], "/amd64")
		wantFiles(t, images[1], "/arm64")
	})
	t.Run("linking", func(t *testing.T) {
		const linking = "FROM @base@\nCOPY file /tmp/\n"
		want := b.stock(t, "want", linking)
		got := b.stock(t, "linked", syntax+linking)
		sameTree(t, got, want.Tree)
		// A base of the same layout: the layer of the copy stays what it is.
		b.stock(t, "other-base", "FROM @base@\nRUN echo > /other\n")
		other := b.stock(t, "other", syntax+"FROM @tag:other-base@\nCOPY file /tmp/\n")
		if a, b := got.Layers(), other.Layers(); a[len(a)-1] != b[len(b)-1] {
			t.Errorf("the copy is another layer on another base: %s and %s", a[len(a)-1], b[len(b)-1])
		}
	})
	t.Run("a project of bake", func(t *testing.T) {
		began := time.Now().Add(-time.Minute)
		dir := writeBakeProject(t, b.Bed, "bakefrontend")
		bakeProjectBy(t, b.Bed, dir, "buildx", "image", "--set=*.args.BUILDKIT_SYNTAX="+image)
		bakeProjectBy(t, b.Bed, dir, "buildx", "stock")
		compareBakeProject(t, b.Bed, "bakefrontend", "stock", "image", began)
	})
	t.Run("provenance", func(t *testing.T) {
		dir := b.context(t, syntax+stages+"FROM base..gen\n")
		b.Docker(t, dir, nil, "buildx", "build", "--provenance=mode=max", "--push", "-t", b.ref("provenance"), ".").MustSucceed(t)
		wantFiles(t, b.Image(t, b.ref("provenance"), ""), "/etc/passwd", "/gen")
	})
	t.Run("errors", func(t *testing.T) {
		result := b.run(t, "buildx", syntax+stages+"FROM base..gen..more\n")
		for _, want := range []string{"name a stage in between", ">>> FROM base..gen..more"} {
			if result.Code == 0 || !strings.Contains(result.Stderr, want) {
				t.Errorf("the error does not have %q:\n%s", want, result.Stderr)
			}
		}
	})
	t.Run("subrequests", func(t *testing.T) {
		const text = stages + "FROM base..gen as last\n"
		for call, want := range map[string]string{"check": ">>> FROM base..gen as last", "targets": "last (default)", "outline": "TARGET"} {
			result := b.run(t, "buildx", syntax+text, "--call="+call)
			if !strings.Contains(result.Stdout+result.Stderr, want) {
				t.Errorf("--call=%s does not say %q:\n%s%s", call, want, result.Stdout, result.Stderr)
			}
		}
	})
	t.Run("squash", func(t *testing.T) {
		const dockerfile = "FROM @base@\nRUN echo 1 > /one\nRUN rm /one && echo 2 > /two\n"
		want := b.stock(t, "unsquashed", dockerfile)
		got := b.stock(t, "squashed", syntax+dockerfile, "--build-arg", "RELINK_SQUASH=base")
		sameTree(t, got, want.Tree)
		if was, is := want.Layers(), got.Layers(); len(is) != 2 || is[0] != was[0] {
			t.Errorf("layers %q, want the first of %q and one more", is, was)
		}
	})
	t.Run("bake", func(t *testing.T) { bakeWithFrontend(t, b, image) })
	t.Run("no registry", func(t *testing.T) {
		layout := filepath.Join(t.TempDir(), "layout")
		b.Docker(t, context, nil, "buildx", "build", "--provenance=false", "--output", "type=oci,tar=false,dest="+layout, "-t", "frontend:1", "-f", dockerfile, ".").MustSucceed(t)
		image := b.stock(t, "layout", stages+"FROM base..gen\n", "--build-context", "frontend=oci-layout://"+layout+":1", "--build-arg", "BUILDKIT_SYNTAX=frontend")
		wantFiles(t, image, "/etc/passwd", "/gen")
	})
}

// bakeWithFrontend has a range between two targets of a bake file.
func bakeWithFrontend(t *testing.T, b rangeBed, image string) {
	dir := b.context(t, "FROM @base@\n", bed.Text("docker-bake.hcl", b.expand(`
target "lower" {
  dockerfile-inline = "FROM @base@\nRUN echo lower > /lower\n"
}
target "upper" {
  contexts = { lower = "target:lower" }
  dockerfile-inline = "FROM lower\nRUN echo upper > /upper\n"
}
target "default" {
  contexts = { lower = "target:lower", upper = "target:upper" }
  args = { BUILDKIT_SYNTAX = "`+image+`" }
  dockerfile-inline = "FROM lower..upper\n"
  tags = ["`+b.ref("bake")+`"]
  output = ["type=registry"]
}
`)))
	b.Docker(t, dir, nil, "buildx", "bake").MustSucceed(t)
	wantFiles(t, b.Image(t, b.ref("bake"), ""), "/upper")
}
