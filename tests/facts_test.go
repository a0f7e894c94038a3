package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

// machine is a user's machine with a builder of its own: nothing that another
// machine knows or has built is there.
type machine struct {
	bed *bed.Bed
	env []string
	dir string // the BuildX configuration, which has the facts
}

func newMachine(t *testing.T, b *bed.Bed) *machine {
	t.Helper()
	m := &machine{bed: b, dir: t.TempDir()}
	m.env = []string{"BUILDX_CONFIG=" + m.dir}
	m.newBuilder(t)
	return m
}

// newBuilder gives the machine a builder without state; what the machine itself
// knows stays.
func (m *machine) newBuilder(t *testing.T) {
	t.Helper()
	builder := m.bed.NewBuilder(t)
	m.bed.Docker(t, "", m.env, "buildx", "create", "--use", "--name", builder.Name, "--driver", "remote", builder.Address).MustSucceed(t)
}

func (m *machine) build(t *testing.T, plugin, dir, ref string, args ...string) bed.Result {
	t.Helper()
	args = append([]string{"build", "--push", "-t", ref, "--cache-to", "type=inline"}, args...)
	return m.bed.Plugin(t, dir, m.env, plugin, append(args, ".")...)
}

// factBase pushes a base: one that looks like a distribution's, with more files.
func factBase(t *testing.T, b *bed.Bed, ref string, more ...bed.File) bed.Image {
	t.Helper()
	image, err := bed.NewImage(func(c *v1.ConfigFile) { c.Config.Env = []string{"PATH=/usr/bin"} }, factFiles(ref, more...))
	if err != nil {
		t.Fatal(err)
	}
	b.Push(t, ref, image)
	return b.Image(t, ref, "")
}

// factFiles are the files of such a base.
func factFiles(ref string, more ...bed.File) []bed.File {
	return append([]bed.File{
		bed.Dir("usr", 0o755), bed.Dir("usr/bin", 0o755), bed.Link("bin", "usr/bin"),
		bed.Dir("usr/local", 0o755), bed.Dir("usr/local/bin", 0o2775).OwnedBy(0, 50),
		bed.Dir("usr/local/share", 0o755), bed.Text("usr/local/share/base", "base\n"),
		bed.Dir("etc", 0o755), bed.Text("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"),
		bed.Text("usr/bin/large", strings.Repeat(ref, 1000)),
	}, more...)
}

// factContext is an application with a stage that is built, and copies of every
// kind onto the base.
func factContext(t *testing.T, b *bed.Bed, base, tail string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), slug(t.Name()))
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("conf", "conf\n"), bed.Dir("etc", 0o755), bed.Text("etc/app.conf", "app\n"),
		bed.Text("Dockerfile", fmt.Sprintf(`FROM %s AS build
RUN mkdir -p /out/share/app && echo app > /out/app && echo doc > /out/share/app/doc
FROM %s
%s`, b.Base(t, "busybox"), base, tail)))
	return dir
}

const factTail = `WORKDIR /srv/app
COPY --from=build /out/app /usr/local/bin/
COPY --from=build /out/share/ /usr/local/share/
COPY --chown=app etc/ /etc/
COPY conf .
ENTRYPOINT ["app"]
`

// wantEvidence wants every line of the report to have the evidence.
func wantEvidence(t *testing.T, r bed.Result, evidence string) {
	t.Helper()
	r.MustSucceed(t)
	n := 0
	for line := range strings.Lines(r.Stderr) {
		if strings.HasPrefix(line, "relink: line ") {
			if n++; !strings.Contains(line, evidence) {
				t.Errorf("the report says %q, want %q", strings.TrimSpace(line), evidence)
			}
		}
	}
	if n == 0 {
		t.Errorf("nothing was reported:\n%s", r.Stderr)
	}
}

// wantNothingPulled wants no layer of the images to have been downloaded.
func wantNothingPulled(t *testing.T, b *bed.Bed, mark bed.Mark, images ...bed.Image) {
	t.Helper()
	for _, r := range pulled(t, b, mark, images) {
		// The bed's own bases are pulled by tests that run beside this one.
		if !strings.HasPrefix(r.Repo, "base/") {
			t.Errorf("a layer was pulled: %+v", r)
		}
	}
}

// pulled gives the requests for layers of the images since the mark.
func pulled(t *testing.T, b *bed.Bed, mark bed.Mark, images []bed.Image) bed.Requests {
	t.Helper()
	var layers []string
	for _, image := range images {
		layers = append(layers, image.Layers()...)
	}
	return b.Registry.Since(t, mark).BlobDownloads().Of(layers...)
}

// wantNoRun wants no command to have been run in the build.
func wantNoRun(t *testing.T, r bed.Result) {
	t.Helper()
	for line := range strings.Lines(r.Stderr) {
		_, name, _ := strings.Cut(line, " [build ")
		if !strings.Contains(name, "] RUN ") {
			continue
		}
		number, _, _ := strings.Cut(line, " ")
		if !strings.Contains(r.Stderr, number+" CACHED") {
			t.Errorf("a stage was built again:\n%s", r.Stderr)
		}
		return
	}
}

// wantStock wants the image to be what stock buildx builds now.
func wantStock(t *testing.T, m *machine, dir, ref string) {
	t.Helper()
	stock := ref + "-stock"
	began := time.Now().Add(-time.Minute)
	m.build(t, "buildx", dir, stock).MustSucceed(t)
	compareImages(t, m.bed, stock, ref, began)
}

func TestDayTwo(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("daytwo/base:1")
	app := b.Registry.Ref("daytwo/app:1")
	first := factBase(t, b, base)
	dir := factContext(t, b, base, factTail)

	m := newMachine(t, b)
	wantEvidence(t, m.build(t, "relink", dir, app), "(read now)")
	wantStock(t, m, dir, app)
	appImage := b.Image(t, app, "")

	t.Run("the same base on a stateless builder", func(t *testing.T) {
		m.newBuilder(t)
		mark := b.Registry.Mark(t)
		r := m.build(t, "relink", dir, app+"b", "--cache-from", app)
		wantEvidence(t, r, "(proved, remembered here)")
		wantNoRun(t, r)
		wantNothingPulled(t, b, mark, first, appImage)
		if got, want := b.Image(t, app+"b", "").Layers(), appImage.Layers(); !slices.Equal(got, want) {
			t.Errorf("layers %q, want %q", got, want)
		}
	})

	second := factBase(t, b, base, bed.Text("etc/day", "two\n"))

	t.Run("a new base with what the machine remembers", func(t *testing.T) {
		m.newBuilder(t)
		mark := b.Registry.Mark(t)
		r := m.build(t, "relink", dir, app+"c", "--cache-from", app)
		wantEvidence(t, r, "(inherited, remembered here)")
		wantNoRun(t, r)
		wantNothingPulled(t, b, mark, first, second, appImage)
		wantStock(t, m, dir, app+"c")
	})

	t.Run("a new base with nothing but the image", func(t *testing.T) {
		fresh := newMachine(t, b)
		mark := b.Registry.Mark(t)
		r := fresh.build(t, "relink", dir, app+"d", "--cache-from", app)
		wantEvidence(t, r, "(inherited, carried by "+app+")")
		wantNoRun(t, r)
		wantNothingPulled(t, b, mark, first, second, appImage)
		wantStock(t, fresh, dir, app+"d")
	})

	t.Run("the tag that is replaced", func(t *testing.T) {
		fresh := newMachine(t, b)
		mark := b.Registry.Mark(t)
		wantEvidence(t, fresh.build(t, "relink", dir, app+"d"), "carried by")
		wantNothingPulled(t, b, mark, first, second)
	})

	t.Run("strict reads", func(t *testing.T) {
		fresh := newMachine(t, b)
		wantEvidence(t, fresh.build(t, "relink", dir, app+"e", "--cache-from", app, "--link=strict"), "(read now)")
		wantEvidence(t, fresh.build(t, "relink", dir, app+"e", "--link=strict"), "(proved, remembered here)")
	})

	t.Run("verify reads", func(t *testing.T) {
		fresh := newMachine(t, b)
		r := fresh.build(t, "relink", dir, app+"f", "--cache-from", app, "--verify")
		wantEvidence(t, r, "(read now)")
	})

	t.Run("annotations that the user sets or declines", func(t *testing.T) {
		key := "org.opencontainers.image.base.name"
		fresh := newMachine(t, b)
		annotations := func(args ...string) map[string]string {
			fresh.build(t, "relink", dir, app+"g", args...).MustSucceed(t)
			return b.Image(t, app+"g", "").Manifest.Annotations
		}
		if got := annotations()[key]; got != base {
			t.Errorf("%s is %q, want %q", key, got, base)
		}
		if got := annotations("--annotation", "manifest:"+key+"=mine")[key]; got != "mine" {
			t.Errorf("%s is %q, want the user's", key, got)
		}
		if got := annotations("--build-arg", "RELINK_ANNOTATE=false"); len(got) != 0 {
			t.Errorf("annotations that were declined: %v", got)
		}
	})
}

func TestFactsAreRead(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("reads/base:1")
	app := b.Registry.Ref("reads/app:1")
	factBase(t, b, base)
	dir := factContext(t, b, base, factTail+"COPY conf /bin/conf\n")
	m := newMachine(t, b)
	wantEvidence(t, m.build(t, "relink", dir, app), "(read now)")

	t.Run("where distributions move paths", func(t *testing.T) {
		factBase(t, b, base, bed.Text("etc/day", "two\n"))
		wantEvidence(t, m.build(t, "relink", dir, app), "(read now)")
	})
	t.Run("of a base that is there", func(t *testing.T) {
		base := b.Registry.Ref("reads/there:1")
		factBase(t, b, base)
		dir := factContext(t, b, base, factTail)
		app := b.Registry.Ref("reads/there-app:1")
		m := newMachine(t, b)
		m.build(t, "relink", dir, app).MustSucceed(t)
		factBase(t, b, base, bed.Text("etc/day", "two\n"))
		wantEvidence(t, m.build(t, "relink", dir, app+"b"), "(inherited, remembered here)")
		// A command on the base unpacks it.
		bed.WriteFiles(t, dir, bed.Text("Dockerfile.run", "FROM "+b.Base(t, "busybox")+"\nRUN --mount=from="+base+",target=/b ls /b\n"))
		m.bed.Docker(t, dir, m.env, "buildx", "build", "-o", "type=cacheonly", "-f", "Dockerfile.run", ".").MustSucceed(t)
		wantEvidence(t, m.build(t, "relink", dir, app+"c"), "(read now)")
	})
	t.Run("of another repository", func(t *testing.T) {
		other := b.Registry.Ref("reads/other:1")
		factBase(t, b, other, bed.Text("etc/day", "three\n"))
		dir := factContext(t, b, other, factTail)
		wantEvidence(t, m.build(t, "relink", dir, app, "--cache-from", app), "(read now)")
	})
	t.Run("when what was remembered is damaged", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(m.dir, "relink", "facts", "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no facts were written: %v", err)
		}
		for _, f := range files {
			if err := os.WriteFile(f, []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		fresh := b.Registry.Ref("reads/fresh:1")
		wantEvidence(t, m.build(t, "relink", dir, fresh), "(read now)")
		wantEvidence(t, m.build(t, "relink", dir, b.Registry.Ref("reads/fresh:2")), "(proved, remembered here)")
	})
}

// A base that breaks what was inherited is caught by --verify, and nothing is
// pushed.
func TestVerifyFindsWrongFacts(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("verify/base:1")
	app := b.Registry.Ref("verify/app:1")
	factBase(t, b, base, bed.Dir("opt", 0o755), bed.Dir("opt/data", 0o700))
	dir := factContext(t, b, base, "COPY conf /opt/data/\n")
	m := newMachine(t, b)
	m.build(t, "relink", dir, app).MustSucceed(t)
	factBase(t, b, base, bed.Dir("opt", 0o755), bed.Dir("opt/data", 0o755))

	r := m.build(t, "relink", dir, app+"b", "--verify")
	if r.Code == 0 || !strings.Contains(r.Stderr, "/opt/data is not what an earlier base had there") {
		t.Errorf("exit code %d:\n%s", r.Code, r.Stderr)
	}
	if b.Exists(t, app+"b") {
		t.Error("an image was pushed")
	}
	wantEvidence(t, m.build(t, "relink", dir, app+"c"), "(proved, remembered here)")
	wantStock(t, m, dir, app+"c")
}

// Facts from images are believed only as far as they are plain.
func TestHostileFacts(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("hostile/base:1")
	factBase(t, b, base)
	dir := factContext(t, b, base, factTail)
	key := "com.github.docker-relink.facts"
	about := func(facts string) string {
		return fmt.Sprintf(`{"v":1,"repository":%q,"digest":"sha256:0","platform":"linux/amd64","facts":%s}`,
			strings.TrimSuffix(base, ":1"), facts)
	}
	for name, value := range map[string]string{
		"damaged":     `{"v":1,`,
		"too large":   about(`{"paths":{"/` + strings.Repeat("a", 20<<10) + `":["-"]}}`),
		"climbing":    about(`{"paths":{"/a/../../etc":["-"]}}`),
		"link out":    about(`{"paths":{"/srv":["l","/../../etc"]}}`),
		"version":     `{"v":99,"digest":"sha256:0","platform":"linux/amd64","facts":{}}`,
		"other shape": `[1,2,3]`,
		"platform":    strings.Replace(about(`{}`), "linux/amd64", "linux/s390x", 1),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, b)
			liar := b.Registry.Ref("hostile/" + slug(name) + ":1")
			m.bed.Docker(t, dir, m.env, "buildx", "build", "--push", "--provenance=false", "-t", liar,
				"--annotation", "manifest:"+key+"="+value, ".").MustSucceed(t)
			app := b.Registry.Ref("hostile/" + slug(name) + ":2")
			r := m.build(t, "relink", dir, app, "--cache-from", liar)
			wantEvidence(t, r, "(read now)")
			if !strings.Contains(r.Stderr, "the facts that "+liar+" carries are ignored") {
				t.Errorf("the report does not say that facts were ignored:\n%s", r.Stderr)
			}
		})
	}
}

// What the tail copies from is built while the head is: each of the two commands
// waits for the other.
func TestStagesRunBesideTheHead(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	meet := func(me, other string) string {
		return "RUN --mount=type=cache,id=meet,target=/meet touch /meet/" + me +
			"; for i in $(seq 60); do [ -e /meet/" + other + " ] && touch /out && exit 0; sleep 1; done; exit 1\n"
	}
	dir := filepath.Join(t.TempDir(), "beside")
	base := b.Base(t, "busybox")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("Dockerfile",
		"FROM "+base+" AS build\n"+meet("stage", "head")+"FROM "+base+"\n"+meet("head", "stage")+"COPY --from=build /out /made\n"))
	m := newMachine(t, b)
	m.bed.Docker(t, dir, m.env, "relink", "build", "-o", "type=cacheonly", ".").MustSucceed(t)
}

// A head with RUN that an imported cache stands for is not fetched to be looked
// at: what is remembered of it serves, or its tail is left as it is.
func TestHeadFromCache(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := filepath.Join(t.TempDir(), "away")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("conf", "conf\n"), bed.Text("Dockerfile", "FROM "+b.Base(t, "usrmerge")+
		"\nRUN echo away >/away\nCOPY conf /opt/link/\nCOPY conf /bin/\n"))

	stock, linked := b.Registry.Ref("away/stock:1"), b.Registry.Ref("away/linked:1")
	newMachine(t, b).build(t, "buildx", dir, stock).MustSucceed(t)
	wantEvidence(t, newMachine(t, b).build(t, "relink", dir, linked), "(read now)")

	t.Run("of which nothing is remembered", func(t *testing.T) {
		m := newMachine(t, b)
		mark := b.Registry.Mark(t)
		ref := b.Registry.Ref("away/left:1")
		r := m.build(t, "relink", dir, ref, "--cache-from", stock).MustSucceed(t)
		if !strings.Contains(r.Stderr, "comes from an imported cache") {
			t.Errorf("the report does not say why nothing is linked:\n%s", r.Stderr)
		}
		wantNothingPulled(t, b, mark, b.Image(t, stock, ""))
		wantStock(t, m, dir, ref)
	})
	t.Run("by what the image carries", func(t *testing.T) {
		m := newMachine(t, b)
		mark := b.Registry.Mark(t)
		ref := b.Registry.Ref("away/carried:1")
		r := m.build(t, "relink", dir, ref, "--cache-from", linked)
		wantEvidence(t, r, "(inherited, carried by "+linked+")")
		wantNothingPulled(t, b, mark, b.Image(t, linked, ""))
		wantStock(t, m, dir, ref)
	})
	t.Run("and one that is built now", func(t *testing.T) {
		m := newMachine(t, b)
		wantEvidence(t, m.build(t, "relink", dir, b.Registry.Ref("away/new:1"), "--cache-from", b.Registry.Ref("away/none:1")), "(read now)")
	})
}
