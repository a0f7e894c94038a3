package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/docker-relink/relink/tests/bed"
)

// driver is one way to reach a builder, and the small suite is what every one
// of them has to do as stock buildx does it.
type driver struct {
	bed *bed.Bed
	// name makes the references of the driver's images its own.
	name string
	env  []string
	// args choose the builder, and what an Engine without a network needs.
	args []string
}

// driverDockerfile has what the copies of most Dockerfiles have, on a base with
// symbolic links among its directories.
const driverDockerfile = `FROM %[1]s AS compile
RUN mkdir /out && echo tool >/out/tool && chmod 0755 /out/tool
FROM %[1]s
ENV SITE=/srv/site
COPY start /bin/start
COPY --chown=app:staff conf/ /etc/app.d/
WORKDIR site
COPY tree/ /
COPY --from=compile /out/tool /opt/link2/
CMD ["/bin/start"]
`

func driverContext(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	bed.WriteFiles(t, dir,
		bed.Text("Dockerfile", dockerfile),
		bed.Text("start", "#!/bin/sh\ncat $SITE/page /opt/real/tool\n").WithMode(0o755),
		bed.Text("conf/site.conf", "site\n").WithMode(0o600),
		bed.Text("tree/srv/site/page", "page\n"),
		bed.Dir("tree/opt/setgid", 0o700),
		bed.Text("tree/opt/setgid/file", "file\n"),
	)
	return dir
}

func (d driver) ref(tag string) string { return d.bed.Registry.Ref("drivers/" + d.name + ":" + tag) }

func (d driver) build(t *testing.T, plugin, dir string, more ...string) bed.Result {
	t.Helper()
	args := slices.Concat([]string{plugin, "build"}, d.args, more, []string{"."})
	return d.bed.Docker(t, dir, d.env, args...).MustSucceed(t)
}

// suite builds the Dockerfile with both, pushes, and compares what arrived. It
// gives what relink printed.
func (d driver) suite(t *testing.T) bed.Result {
	t.Helper()
	dir := driverContext(t, fmt.Sprintf(driverDockerfile, d.bed.Base(t, "usrmerge")))
	began := time.Now().Truncate(time.Second)
	relink := d.build(t, "relink", dir, "--push", "-t", d.ref("relink"))
	d.build(t, "buildx", dir, "--push", "-t", d.ref("stock"))
	compareImages(t, d.bed, d.ref("stock"), d.ref("relink"), began)
	return relink
}

var reportLine = regexp.MustCompile(`(?m)^relink.*$`)

// expectLinked wants a line of the report for each of so many copies, and none
// that says that something is not linked.
func expectLinked(t *testing.T, result bed.Result, instructions int) {
	t.Helper()
	lines := reportLine.FindAllString(result.Stderr, -1)
	if len(lines) < instructions || strings.Contains(strings.Join(lines, "\n"), "not linked") {
		t.Errorf("the report is %q, want %d linked instructions", lines, instructions)
	}
}

// expectUnable wants one line, which says what the builder lacks.
func expectUnable(t *testing.T, result bed.Result) {
	t.Helper()
	lines := reportLine.FindAllString(result.Stderr, -1)
	if len(lines) != 1 || !strings.Contains(lines[0], "MergeOp") {
		t.Errorf("the report is %q, want one line that says what the builder lacks", lines)
	}
}

func TestRemoteDriver(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	d := driver{bed: b, name: "remote", args: []string{"--builder", b.Builder.Name}}
	expectLinked(t, d.suite(t), 5)
}

// newEngineDriver is the docker driver of an Engine of the test's own, chosen
// by the Docker context, as most users have it.
func newEngineDriver(t *testing.T, kind bed.EngineKind) (*bed.Engine, driver) {
	b := bed.Shared(t)
	engine := b.NewEngine(t, kind)
	return engine, driver{
		bed:  b,
		name: "docker-" + string(kind),
		env:  engine.Env(),
		// The Engine has no bridge for the build steps.
		args: []string{"--network", "none"},
	}
}

func TestDockerDriver(t *testing.T) {
	t.Parallel()
	engine, d := newEngineDriver(t, bed.CurrentEngine)
	d.engineSuite(t, engine, func(t *testing.T, result bed.Result) { expectLinked(t, result, 5) })
	t.Run("docker-container", func(t *testing.T) { testContainerDriver(t, engine) })
}

// TestGraphDriver has an Engine whose BuildKit cannot merge: the image is what
// stock buildx makes, and one line says why.
func TestGraphDriver(t *testing.T) {
	t.Parallel()
	engine, d := newEngineDriver(t, bed.GraphEngine)
	d.engineSuite(t, engine, expectUnable)
}

// TestDebianEngine has the oldest Engine that one is likely to meet.
func TestDebianEngine(t *testing.T) {
	t.Parallel()
	engine, d := newEngineDriver(t, bed.DebianEngine)
	d.engineSuite(t, engine, expectUnable)
}

// expectListed wants docker images to list an image.
func expectListed(t *testing.T, engine *bed.Engine, name string) {
	t.Helper()
	listed := engine.Docker(t, "", nil, "images", "--format", "{{.Repository}}:{{.Tag}}").MustSucceed(t)
	if !slices.Contains(strings.Fields(listed.Stdout), name) {
		t.Errorf("docker images lists %q, not %s", listed.Stdout, name)
	}
}

// expectRuns wants docker run to run an image.
func expectRuns(t *testing.T, engine *bed.Engine, name string) {
	t.Helper()
	run := engine.Docker(t, "", nil, "run", "--rm", "--network", "none", name).MustSucceed(t)
	if want := "page\ntool\n"; run.Stdout != want {
		t.Errorf("docker run %s printed %q, want %q", name, run.Stdout, want)
	}
}

// expectLoaded wants an image to get into the Engine by each of args, which
// include its name.
func (d driver) expectLoaded(t *testing.T, engine *bed.Engine, name string, args ...string) {
	t.Helper()
	dir := driverContext(t, fmt.Sprintf(driverDockerfile, d.bed.Base(t, "usrmerge")))
	d.build(t, "relink", dir, args...)
	expectListed(t, engine, name)
	expectRuns(t, engine, name)
}

// expectID wants a quiet build to print the ID of the image, for scripts that
// run it, and to write the same into a file.
func (d driver) expectID(t *testing.T, engine *bed.Engine) {
	t.Helper()
	dir := driverContext(t, fmt.Sprintf(driverDockerfile, d.bed.Base(t, "usrmerge")))
	file := filepath.Join(t.TempDir(), "id")
	result := d.build(t, "relink", dir, "--quiet", "--iidfile", file)
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if id := strings.TrimSpace(result.Stdout); id != string(written) || result.Stderr != "" {
		t.Errorf("printed %q and %q on stderr, and %q is in the file", id, result.Stderr, written)
	}
	expectRuns(t, engine, string(written))
}

// engineSuite is what the docker driver has to do beside building: without a
// word about the output, an image is the Engine's.
func (d driver) engineSuite(t *testing.T, engine *bed.Engine, reported func(*testing.T, bed.Result)) {
	t.Run("push", func(t *testing.T) { reported(t, d.suite(t)) })
	t.Run("tag", func(t *testing.T) { d.expectLoaded(t, engine, "tagged:1", "-t", "tagged:1") })
	t.Run("load", func(t *testing.T) { d.expectLoaded(t, engine, "loaded:1", "--load", "-t", "loaded:1") })
	t.Run("id", func(t *testing.T) { d.expectID(t, engine) })
}

// testContainerDriver has a builder in a container of the Engine. It does not
// run before the first build, and is stopped before the second one.
func testContainerDriver(t *testing.T, engine *bed.Engine) {
	b := bed.Shared(t)
	engine.ImportBuildkit(t)
	config := filepath.Join(t.TempDir(), "buildkitd.toml")
	bed.WriteFiles(t, filepath.Dir(config), bed.Text(filepath.Base(config),
		fmt.Sprintf("[registry.%q]\n  http = true\n[worker.oci]\n  gc = false\n", b.Registry.Host)))
	const name = "contained"
	engine.Docker(t, "", nil, "buildx", "create", "--name", name, "--driver", "docker-container",
		"--driver-opt", "network=host", "--buildkitd-config", config, engine.Context).MustSucceed(t)
	t.Cleanup(func() { engine.Docker(t, "", nil, "buildx", "rm", "--force", name) })

	d := driver{bed: b, name: "container", env: engine.Env(), args: []string{"--builder", name}}
	first := d.suite(t)
	if !strings.Contains(first.Stderr, "booting buildkit") {
		t.Errorf("the builder was not booted:\n%s", first.Stderr)
	}
	expectLinked(t, first, 5)
	engine.Docker(t, "", nil, "buildx", "stop", name).MustSucceed(t)
	d.expectLoaded(t, engine, "contained:1", "--load", "-t", "contained:1")
}

// TestTwoNodes has a builder of two machines, one for each platform. Nothing is
// run in the build, so nothing has to be emulated.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	first, second := b.NewBuilder(t), b.NewBuilder(t)
	b.Docker(t, "", nil, "buildx", "create", "--name", "two-nodes", "--node", "first", "--driver", "remote",
		"--platform", "linux/"+runtime.GOARCH, first.Address).MustSucceed(t)
	b.Docker(t, "", nil, "buildx", "create", "--name", "two-nodes", "--append", "--node", "second", "--driver", "remote",
		"--platform", "linux/"+other, second.Address).MustSucceed(t)

	base := b.Registry.Ref("drivers/two-nodes-base:1")
	b.PushIndex(t, base, nodeBase(t, runtime.GOARCH), nodeBase(t, other))
	dir := driverContext(t, "FROM scratch AS compile\nCOPY conf /out\nFROM "+base+`
ARG TARGETARCH
COPY start /bin/start
COPY --chown=app conf/ /etc/app.d/
WORKDIR /opt/link/$TARGETARCH
COPY tree/ /
COPY --from=compile /out/ ./
`)
	d := driver{bed: b, name: "two-nodes", args: []string{"--builder", "two-nodes", "--platform", "linux/amd64,linux/arm64"}}
	began := time.Now().Truncate(time.Second)
	relink := d.build(t, "relink", dir, "--push", "-t", d.ref("relink"))
	d.build(t, "buildx", dir, "--push", "-t", d.ref("stock"))
	if images := b.Images(t, d.ref("relink")); len(images) != 2 || images[0].Platform == images[1].Platform {
		t.Fatalf("the index has %d images", len(images))
	}
	compareImages(t, b, d.ref("stock"), d.ref("relink"), began)
	expectLinked(t, relink, 10)
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		if count := strings.Count(relink.Stderr, "\nrelink "+platform+": "); count != 5 {
			t.Errorf("the report has %d lines for %s, want 5:\n%s", count, platform, relink.Stderr)
		}
	}
	t.Run("squash", func(t *testing.T) { d.squashOnNodes(t, dir, base, began) })
}

// squashOnNodes squashes a build, and an image of which one platform has a layer that is
// kept, each platform on its own machine.
func (d driver) squashOnNodes(t *testing.T, dir, base string, began time.Time) {
	t.Helper()
	wantLayers := func(ref string, n int) {
		t.Helper()
		images := d.bed.Images(t, ref)
		if len(images) != 2 || len(images[0].Layers()) != n || len(images[1].Layers()) != n {
			t.Errorf("%s has %d images, the first with %d layers; want 2 with %d each", ref, len(images), len(images[0].Layers()), n)
		}
	}
	d.build(t, "relink", dir, "--squash", "--push", "-t", d.ref("squashed-build"))
	wantLayers(d.ref("squashed-build"), 2)
	for _, image := range d.bed.Images(t, d.ref("stock")) {
		is := d.bed.Image(t, d.ref("squashed-build"), image.Platform)
		image.ClockFrom, is.ClockFrom = began, began
		wantSameTree(t, image, is)
	}

	squash := func(from, to string) bed.Result {
		return d.bed.Plugin(t, "", nil, "relink", "squash", "--builder", d.name, from, "--base", base, "--push", "-t", to).MustSucceed(t)
	}
	squash(d.ref("stock"), d.ref("squashed-image"))
	wantLayers(d.ref("squashed-image"), 2)
	compareSquashed(t, d.bed, d.ref("stock"), d.ref("squashed-image"))

	var images []v1.Image
	for _, image := range d.bed.Images(t, base) {
		arch := strings.TrimPrefix(image.Platform, "linux/")
		own := []v1.Image{nodeBase(t, arch)}
		for _, f := range []bed.File{bed.Text("a", arch), bed.Text("b", arch), attributed("x", "user."+arch)} {
			own = append(own, platformImage(t, image.Platform, f))
		}
		images = append(images, stacked(t, own...))
	}
	odd := d.ref("odd")
	d.bed.PushIndex(t, odd, images...)
	result := squash(odd, d.ref("squashed-odd"))
	wantLayers(d.ref("squashed-odd"), 3)
	compareSquashed(t, d.bed, odd, d.ref("squashed-odd"))
	for _, arch := range []string{"amd64", "arm64"} {
		if want := "linux/" + arch + ": note: layer 4 is kept as it is: BuildKit cannot write the extended attributes of /x (user." + arch + ")"; !strings.Contains(result.Stderr, want) {
			t.Errorf("the report does not say %q:\n%s", want, result.Stderr)
		}
	}
}

// stacked is an image with the layers of others on its own.
func stacked(t *testing.T, images ...v1.Image) v1.Image {
	t.Helper()
	var own []v1.Layer
	for _, image := range images[1:] {
		layers, err := image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, layers...)
	}
	image, err := mutate.AppendLayers(images[0], own...)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// compareSquashed wants all images of an index to have the trees of another's.
func compareSquashed(t *testing.T, b *bed.Bed, before, after string) {
	t.Helper()
	for _, image := range b.Images(t, before) {
		wantSameTree(t, image, b.Image(t, after, image.Platform))
	}
}

// nodeBase has a mark of its platform in it, to tell a base from the other.
func nodeBase(t *testing.T, arch string) v1.Image {
	t.Helper()
	image, err := bed.NewImage(func(config *v1.ConfigFile) { config.Architecture = arch }, []bed.File{
		bed.Dir("etc", 0o755),
		bed.Text("etc/arch", arch),
		bed.Text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"),
		bed.Text("etc/group", "root:x:0:\n"),
		bed.Link("bin", "usr/bin"),
		bed.Dir("usr", 0o755),
		bed.Dir("usr/bin", 0o755),
		bed.Dir("opt", 0o755),
		bed.Dir("opt/real", 0o750).OwnedBy(1000, 50),
		bed.Link("opt/link", "real"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}
