package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// squashOnEngines has what every builder can copy; a program tells what it reads.
const squashOnEngines = `FROM %s
RUN mkdir -p /d/e && echo 1 > /d/e/f && ln /d/e/f /d/e/g && ln -s nothing /d/broken && rm /etc/group && rm -r /usr && echo file > /usr
RUN printf '#!/bin/sh\ncat /d/e/f\n' > /show && chmod 4755 /show && touch -d '2001-02-03 04:05:06' /d/e/f && echo gone > /gone
RUN rm /gone && chmod 1770 /d && chown 5:6 /home
CMD ["/show"]
`

// TestSquashEngines squashes with the BuildKit of Docker Engines, of which two
// cannot subtract layers.
func TestSquashEngines(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "engines")
	base := r.bed.Base(t, "busybox")
	dockerfile := fmt.Sprintf(squashOnEngines, base)
	r.build(t, "buildx", "app:1", dockerfile).MustSucceed(t)
	app := r.bed.Image(t, r.ref("app:1"), "")
	odd := []bed.File{bed.Dir("d", 0o755), bed.Text("d/f", "1")}
	linked := []bed.File{bed.Dir("d", 0o755), bed.Text("d/f", "1"), {Path: "link", Hardlink: "d/f"}}
	r.push(t, "odd:base", nil, odd)
	r.push(t, "odd:linked", nil, odd, linked, []bed.File{bed.Text("a", "1")})
	r.push(t, "odd:1", nil, odd, []bed.File{bed.Text("a", "1")}, []bed.File{bed.Text("a", "2")}, []bed.File{attributed("x", "user.x")})
	for _, kind := range []bed.EngineKind{bed.CurrentEngine, bed.GraphEngine, bed.DebianEngine} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			engine := r.bed.NewEngine(t, kind)
			tag := "image:" + string(kind)
			result := engine.Docker(t, "", nil, "relink", "squash", r.ref("app:1"), "--base", base, "--push", "--provenance=false", "-t", r.ref(tag)).MustSucceed(t)
			if compared := strings.Contains(result.Stderr, fallbackLine); compared != (kind != bed.CurrentEngine) {
				t.Errorf("files were compared: %t\n%s", compared, result.Stderr)
			}
			r.wantOneLayer(t, app, tag)
			if kind != bed.CurrentEngine {
				result := engine.Docker(t, "", nil, "relink", "squash", r.ref("app:1"), "--from-layer", "3", "--push", "-t", r.ref("none:1"))
				wantRefused(t, result, "cannot take the first 2 layers", "--base")
				engine.Docker(t, "", nil, "relink", "squash", r.ref("app:1"), "--all", "--push", "--provenance=false", "-t", r.ref("all:"+string(kind))).MustSucceed(t)
				wantSameTree(t, app, r.bed.Image(t, r.ref("all:"+string(kind)), ""))
			}
			r.squashOdd(t, engine, kind)
			dir := filepath.Join(t.TempDir(), "squash"+string(kind))
			bed.WriteFiles(t, dir, bed.Text("Dockerfile", dockerfile))
			tag = "build:" + string(kind)
			engine.Docker(t, dir, nil, "relink", "build", "--squash", "--network=none", "--push", "-t", r.ref(tag), ".").MustSucceed(t)
			r.wantOneLayer(t, app, tag)
			engine.Docker(t, dir, nil, "relink", "build", "--squash", "--network=none", "--load", "-t", "loaded:1", ".").MustSucceed(t)
			if kind == bed.DebianEngine {
				return // Its runc does not run on this kernel.
			}
			engine.Docker(t, dir, nil, "relink", "build", "--network=none", "--load", "-t", "plain:1", ".").MustSucceed(t)
			if kind == bed.CurrentEngine {
				engine.Docker(t, "", nil, "relink", "squash", "plain:1", "--base", base, "--load", "-t", "loaded:1").MustSucceed(t)
			}
			run := engine.Docker(t, "", nil, "run", "--rm", "--network=none", "loaded:1").MustSucceed(t)
			if run.Stdout != "1\n" {
				t.Errorf("the program says %q", run.Stdout)
			}
		})
	}
}

// squashOdd squashes what BuildKit does not write by itself: a builder keeps the layer,
// finds the link, or says that it cannot.
func (r squashRepo) squashOdd(t *testing.T, engine *bed.Engine, kind bed.EngineKind) {
	t.Helper()
	squash := func(what, tag string) bed.Result {
		return engine.Docker(t, "", nil, "relink", "squash", r.ref(what), "--base", r.ref("odd:base"), "--push", "--provenance=false", "-t", r.ref(tag))
	}
	tag := "odd:" + string(kind)
	if result := squash("odd:1", tag); kind != bed.CurrentEngine {
		wantRefused(t, result, "the builder cannot write the extended attributes of /x (user.x)", "keep the layers")
	} else {
		result.MustSucceed(t)
		r.wantSameImage(t, "odd:1", tag, 3)
	}
	tag = "linked:" + string(kind)
	if result := squash("odd:linked", tag); kind == bed.DebianEngine {
		wantRefused(t, result, "the builder cannot write the hard links of")
	} else {
		result.MustSucceed(t)
		r.wantSameImage(t, "odd:linked", tag, 2)
	}
}

func (r squashRepo) wantSameImage(t *testing.T, before, after string, layers int) {
	t.Helper()
	is := r.bed.Image(t, r.ref(after), "")
	wantSameTree(t, r.bed.Image(t, r.ref(before), ""), is)
	if len(is.Layers()) != layers {
		t.Errorf("%s has %d layers, want %d", after, len(is.Layers()), layers)
	}
}

// wantOneLayer wants an image to be another with one layer of its own.
func (r squashRepo) wantOneLayer(t *testing.T, was bed.Image, tag string) {
	t.Helper()
	is := r.bed.Image(t, r.ref(tag), "")
	was.ClockFrom, is.ClockFrom = rebasesBegan, rebasesBegan
	wantSameTree(t, was, is)
	if len(is.Layers()) != 2 {
		t.Errorf("%s has %d layers, want 2", tag, len(is.Layers()))
	}
	wantValid(t, r.ref(tag))
}

// TestSquashBake squashes images and builds as targets.
func TestSquashBake(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "bake")
	r.stack(t, 3)
	dir := filepath.Join(t.TempDir(), "squashbake")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("file", r.name), bed.Text("docker-bake.hcl", strings.ReplaceAll(documentedAfter(t, "docs/bake.md", "## Squashes"), "registry.example/", r.ref(""))),
		bed.Text("Dockerfile", "FROM "+r.ref("base:1")+"\nCOPY file /a\nCOPY file /b\n"))
	r.bed.Docker(t, dir, []string{"BUILDX_NO_DEFAULT_ATTESTATIONS=1"}, "relink", "bake", "--push").MustSucceed(t)
	r.wantSquashed(t, "app:1", "app:squashed", 1)
	if n := len(r.bed.Image(t, r.ref("built:1"), "").Layers()); n != 2 {
		t.Errorf("the built image has %d layers, want 2", n)
	}
}

// TestSquashOutputs has what a build can do with a result.
func TestSquashOutputs(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "outputs")
	dockerfile := "FROM " + r.bed.Base(t, "busybox") + "\nRUN echo 1 > /one\nRUN rm /one && echo 2 > /two\nCOPY file /file\n"
	dir := filepath.Join(t.TempDir(), slug(r.name))
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("file", r.name), bed.Text("Dockerfile", dockerfile))
	builders := []*bed.Builder{r.bed.NewBuilder(t), r.bed.NewBuilder(t)}
	t.Run("local", func(t *testing.T) {
		out := t.TempDir()
		r.bed.Docker(t, dir, nil, "relink", "build", "--squash", "-o", out, ".").MustSucceed(t)
		if _, err := os.Stat(filepath.Join(out, "two")); err != nil {
			t.Error(err)
		}
	})
	t.Run("OCI", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out.tar")
		r.bed.Docker(t, dir, nil, "relink", "build", "--squash", "-o", "type=oci,dest="+out, ".").MustSucceed(t)
		if info, err := os.Stat(out); err != nil || info.Size() < 1000 {
			t.Errorf("the output is %v, %v", info, err)
		}
	})
	t.Run("provenance", func(t *testing.T) {
		r.build(t, "relink", "attested:1", dockerfile, "--squash", "--provenance=mode=max").MustSucceed(t)
		out := rawIndex(t, r.ref("attested:1"))
		statement := attestation(t, r.ref("attested"), out.manifest.Manifests[1].Digest)
		if want := `"build-arg:RELINK_SQUASH":"base"`; !strings.Contains(statement, want) {
			t.Errorf("the provenance does not say %s:\n%s", want, statement)
		}
	})
	t.Run("SBOM", func(t *testing.T) {
		r.build(t, "buildx", "scanner:1", fmt.Sprintf(`FROM %s
ENTRYPOINT ["/bin/sh", "-c", "mkdir -p $BUILDKIT_SCAN_DESTINATION && { echo '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{\"name\":\"'$(ls $BUILDKIT_SCAN_SOURCE)'\"}}'; } > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"]
`, r.bed.Base(t, "busybox"))).MustSucceed(t)
		sbom := "--sbom=generator=" + r.ref("scanner:1")
		r.build(t, "relink", "scanned:1", dockerfile, "--squash", sbom).MustSucceed(t)
		r.build(t, "buildx", "plain:1", dockerfile).MustSucceed(t)
		r.squash(t, r.ref("plain:1"), "--from-layer", "2", sbom, "--provenance=false", "--push", "-t", r.ref("scanned:2")).MustSucceed(t)
		for _, tag := range []string{"scanned:1", "scanned:2"} {
			statement := attestation(t, r.ref("scanned"), rawIndex(t, r.ref(tag)).manifest.Manifests[1].Digest)
			if !strings.Contains(statement, " two ") || strings.Contains(statement, " one ") {
				t.Errorf("the SBOM is not of the squashed image:\n%s", statement)
			}
		}
	})
	t.Run("cache", func(t *testing.T) {
		var layers []string
		for i, builder := range builders {
			cache := r.ref("cache:1")
			tag := fmt.Sprint("cached:", i)
			result := r.build(t, "relink", tag, dockerfile, "--squash", "--builder", builder.Name, "--cache-from", cache, "--cache-to", "type=registry,mode=max,ref="+cache).MustSucceed(t)
			is := r.bed.Image(t, r.ref(tag), "").Layers()
			if i == 1 && (!slices.Equal(is, layers) || strings.Count(result.Stderr, "CACHED") < 3) {
				t.Errorf("layers %q, want %q:\n%s", is, layers, result.Stderr)
			}
			layers = is
			wantValid(t, r.ref(tag))
		}
	})
	t.Run("epoch", func(t *testing.T) {
		var digests []string
		for _, builder := range builders {
			r.bed.Docker(t, dir, []string{"SOURCE_DATE_EPOCH=1700000000"}, "relink", "build", "--squash", "--builder", builder.Name, "--provenance=false",
				"-o", "type=registry,rewrite-timestamp=true", "-t", r.ref("epoch:1"), ".").MustSucceed(t)
			is := r.bed.Image(t, r.ref("epoch:1"), "")
			digests = append(digests, is.Digest)
			if n := len(is.Layers()); n != 2 {
				t.Errorf("%d layers", n)
			}
		}
		if digests[0] != digests[1] {
			t.Errorf("the same build twice makes %q", digests)
		}
	})
}

// documentedAfter is the first block of HCL after a heading of a document.
func documentedAfter(t *testing.T, name, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bed.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	_, text2, ok := strings.Cut(string(text), heading+"\n")
	_, block, ok2 := strings.Cut(text2, "```hcl\n")
	block, _, ok3 := strings.Cut(block, "```\n")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("%s has no block of HCL after %q", name, heading)
	}
	return block
}
