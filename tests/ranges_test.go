package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

// rangeBed has what the builds of a test about ranges share.
type rangeBed struct {
	*bed.Bed
	base string
	name string
}

func startRanges(t *testing.T) rangeBed {
	t.Helper()
	b := bed.Shared(t)
	return rangeBed{Bed: b, base: b.Base(t, "busybox"), name: slug(t.Name())}
}

func (b rangeBed) ref(tag string) string { return b.Registry.Ref("ranges/" + b.name + ":" + tag) }

// expand puts the reference of the base in place of @base@, and that of a tag
// of the test's repository in place of @tag:x@.
func (b rangeBed) expand(text string) string {
	text = strings.NewReplacer("@base@", b.base, "@registry@", b.Registry.Host).Replace(text)
	return regexp.MustCompile(`@tag:([a-z0-9.-]+)@`).ReplaceAllString(text, b.ref("$1"))
}

// context makes a build context.
func (b rangeBed) context(t *testing.T, dockerfile string, files ...bed.File) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), b.name)
	bed.WriteFiles(t, dir, append(files, bed.Text("Dockerfile", b.expand(dockerfile)))...)
	return dir
}

// run runs a build by relink, or by stock buildx.
func (b rangeBed) run(t *testing.T, plugin, dockerfile string, args ...string) bed.Result {
	t.Helper()
	dir := b.context(t, dockerfile, bed.Text("file", "from the context\n"))
	for i := range args {
		args[i] = b.expand(args[i])
	}
	return b.Plugin(t, dir, nil, plugin, append(append([]string{"build", "--provenance=false"}, args...), ".")...)
}

// build builds and pushes a tag of the test's repository.
func (b rangeBed) build(t *testing.T, tag, dockerfile string, args ...string) bed.Image {
	t.Helper()
	b.run(t, "relink", dockerfile, append(args, "--push", "-t", b.ref(tag))...).MustSucceed(t)
	return b.Image(t, b.ref(tag), "")
}

// stock does the same with stock buildx, for what the ranges are made of.
func (b rangeBed) stock(t *testing.T, tag, dockerfile string, args ...string) bed.Image {
	t.Helper()
	b.run(t, "buildx", dockerfile, append(args, "--push", "-t", b.ref(tag))...).MustSucceed(t)
	return b.Image(t, b.ref(tag), "")
}

// files are the paths of an image that are no directories.
func files(image bed.Image) []string {
	var out []string
	for path, entry := range image.Tree {
		if entry.Type != "dir" {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

func wantFiles(t *testing.T, image bed.Image, want ...string) {
	t.Helper()
	if got := files(image); !slices.Equal(got, want) {
		t.Errorf("%s has the files %q, want %q", image.Ref, got, want)
	}
}

// stages are what most tests take their ranges from.
const stages = `
FROM @base@ AS base
FROM base AS gen
RUN echo gen > /gen && echo x >> /etc/passwd
FROM gen AS more
RUN echo more > /usr/more && rm /etc/group
`

func TestRangeForms(t *testing.T) {
	b := startRanges(t)
	tests := []struct {
		name, dockerfile string
		args             []string
		want             []string
	}{
		{name: "from", dockerfile: stages + "FROM base..gen AS x\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "from without a name", dockerfile: stages + "FROM base..gen\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "copy", dockerfile: stages + "FROM scratch\nCOPY --from=gen..more / /\n", want: []string{"/usr/more"}},
		{name: "copy a file", dockerfile: stages + "FROM scratch\nCOPY --from=base..more /usr/more /m\n", want: []string{"/m"}},
		{name: "copy by number", dockerfile: stages + "FROM scratch\nCOPY --from=0..1 / /\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "copy before the stage", dockerfile: "FROM scratch\nCOPY --from=base..gen / /\n" + stages, args: []string{"--target", "0"}},
		{name: "mount", dockerfile: stages + "FROM base AS run\nRUN --mount=type=bind,from=base..gen,target=/m test -f /m/gen && test ! -e /m/bin && cp /m/gen /out\nFROM scratch\nCOPY --from=run /out /\n", want: []string{"/out"}},
		{name: "nested", dockerfile: stages + "FROM base..more AS both\nFROM base..gen AS one\nFROM one..both\n", want: []string{"/usr/more"}},
		{name: "nested three deep", dockerfile: stages + "FROM scratch..gen AS a\nFROM base..a AS b\nFROM b AS c\nCOPY file /file\nFROM b..c AS d\nFROM scratch\nCOPY --from=scratch..d / /\n", want: []string{"/file"}},
		{name: "built upon by RUN", dockerfile: stages + "FROM scratch..gen AS x\nRUN echo y > /y\nFROM gen..x\n", want: []string{"/y"}},
		{name: "copied from", dockerfile: stages + "FROM base..gen AS x\nFROM scratch\nCOPY --from=x /gen /copied\n", want: []string{"/copied"}},
		{name: "global arguments", dockerfile: "ARG A=ba\nARG B\n" + stages + "FROM ${A}se..$B\n", args: []string{"--build-arg", "B=gen"}, want: []string{"/etc/passwd", "/gen"}},
		{name: "upper and lower case", dockerfile: strings.ToLower(stages) + "from scratch\ncopy --from=BASE..Gen / /\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "quotes", dockerfile: stages + "FROM \"base..gen\" AS x\nFROM scratch\nCOPY --from=\"gen..more\" / /\nCOPY --from=x /gen /\n", want: []string{"/gen", "/usr/more"}},
		{name: "continued lines", dockerfile: stages + "FROM \\\n  # base..more\n  base..gen \\\n AS x\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "another escape", dockerfile: "# escape=`\n" + stages + "FROM `\n  base..gen\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "heredoc", dockerfile: stages + "FROM base AS run\nCOPY <<a..b /text\nFROM base..gen\na..b\nFROM base..run\n", want: []string{"/text"}},
		{name: "a stage for a name in use", dockerfile: stages + "FROM base AS range.base--gen\nFROM base..gen\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "a stage named like its side", dockerfile: stages + "FROM base..gen AS gen\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "a context before a stage", dockerfile: stages + "FROM base..gen\n", args: []string{"--build-context", "gen=docker-image://@tag:app@"}, want: []string{"/app"}},
		{name: "a context", dockerfile: "FROM @base@..app\n", args: []string{"--build-context", "app=docker-image://@tag:app@"}, want: []string{"/app"}},
		{name: "a local context", dockerfile: "FROM scratch\nCOPY --from=scratch..here / /\n", args: []string{"--build-context", "here=."}, want: []string{"/Dockerfile", "/file"}},
		{name: "images", dockerfile: "FROM @base@..@tag:app@\n", want: []string{"/app"}},
		{name: "images with dots and dashes in their tags", dockerfile: "FROM scratch\nCOPY --from=@base@..@tag:app-1.2.3@ / /\n", want: []string{"/app"}},
		{name: "a target", dockerfile: stages + "FROM base..gen AS x\nFROM base\n", args: []string{"--target", "x"}, want: []string{"/etc/passwd", "/gen"}},
		{name: "no need of a range", dockerfile: stages + "FROM base..@tag:not-there@ AS broken\nFROM base..gen\n", want: []string{"/etc/passwd", "/gen"}},
		{name: "no link", dockerfile: stages + "FROM base..gen\nCOPY file /\n", args: []string{"--link", "never"}, want: []string{"/etc/passwd", "/file", "/gen"}},
	}
	app := b.stock(t, "app", "FROM @base@\nCOPY file /app\n")
	b.stock(t, "app-1.2.3", "FROM @base@\nRUN echo other > /app\n")
	tests = append(tests, struct {
		name, dockerfile string
		args             []string
		want             []string
	}{name: "a digest", dockerfile: "FROM @base@..@tag:app@@" + app.Digest + "\n", want: []string{"/app"}})
	for _, tt := range tests {
		if tt.want == nil {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantFiles(t, b.build(t, slug(tt.name), tt.dockerfile, tt.args...), tt.want...)
		})
	}
}

// TestRangesComeAndGo builds the Dockerfile of one place again and again: what it was
// the last time is never what is built.
func TestRangesComeAndGo(t *testing.T) {
	t.Parallel()
	b := startRanges(t)
	b.stock(t, "side", "FROM @base@\nRUN touch /side\n")
	dir := b.context(t, "")
	for i, tt := range []struct {
		dockerfile string
		want       []string
	}{
		{"FROM @base@ AS base\nFROM scratch\nCOPY Dockerfile /plain\n", []string{"/plain"}},
		{"FROM @base@ AS base\nFROM scratch\nCOPY Dockerfile /again\n", []string{"/again"}},
		{"FROM @base@..@tag:side@\n", []string{"/side"}},
		{stages + "FROM base..gen\n", []string{"/etc/passwd", "/gen"}},
		{"FROM scratch\nCOPY Dockerfile /plain\n", []string{"/plain"}},
	} {
		bed.WriteFiles(t, dir, bed.Text("Dockerfile", b.expand(tt.dockerfile)))
		tag := b.ref(fmt.Sprint("turn-", i))
		b.Docker(t, dir, nil, "relink", "build", "--provenance=false", "--push", "-t", tag, ".").MustSucceed(t)
		wantFiles(t, b.Image(t, tag, ""), tt.want...)
	}
}

// TestRangeOrTag builds a range that could be a tag, and is one: the Dockerfile
// frontend understands it in its own way.
func TestRangeOrTag(t *testing.T) {
	t.Parallel()
	b := startRanges(t)
	b.stock(t, "side", "FROM @base@\nRUN touch /side\n")
	b.stock(t, "side..upper", "FROM @base@\nRUN touch /other\n")
	dir := b.context(t, "FROM scratch\nCOPY Dockerfile /\n")
	b.Docker(t, dir, nil, "relink", "build", ".").MustSucceed(t)
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", b.expand("FROM @tag:side@ AS side\nFROM side AS upper\nRUN touch /upper\nFROM @tag:side@..upper\n")))
	b.Docker(t, dir, nil, "relink", "build", "--provenance=false", "--push", "-t", b.ref("out"), ".").MustSucceed(t)
	wantFiles(t, b.Image(t, b.ref("out"), ""), "/upper")
}

// TestFirstRange wants of a Dockerfile that has got its first range, and of one that
// has got a mistake, what is said when it was never seen before.
func TestFirstRange(t *testing.T) {
	t.Parallel()
	b := startRanges(t)
	for name, dockerfile := range map[string]string{
		"range":         stages + "FROM base..gen\n",
		"bad range":     stages + "FROM base..gen..more\n",
		"failing range": stages + "FROM base AS bad\nRUN false\nFROM base..bad\n",
		"warnings":      "from @base@ AS Base\nFROM @base@..Base\nCOPY --from=Base..@base@ / /\n",
		"no image":      "FROM @tag:not-there@\n",
		"mistake":       "FROM @base@\nCOPI f /\n",
		"failing RUN":   "FROM @base@\nRUN false\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := func(dir string) (int, []string) {
				bed.WriteFiles(t, dir, bed.Text("Dockerfile", b.expand(dockerfile)))
				r := b.Docker(t, dir, nil, "relink", "build", "--no-cache", ".")
				return r.Code, regexp.MustCompile(`WARN: .*|ERROR: .*|.* warnings? found`).FindAllString(r.Stderr, -1)
			}
			seen := b.context(t, "FROM scratch\nCOPY Dockerfile /\n")
			b.Docker(t, seen, nil, "relink", "build", ".").MustSucceed(t)
			code, lines := said(seen)
			wantCode, want := said(b.context(t, ""))
			if code != wantCode || !slices.Equal(lines, want) {
				t.Errorf("exit code %d, want %d\n%q\nwant\n%q", code, wantCode, lines, want)
			}
		})
	}
}

// TestRangeErrors wants errors that name the user's own line.
func TestRangeErrors(t *testing.T) {
	b := startRanges(t)
	tests := []struct {
		name, dockerfile string
		want, line       string
	}{
		{"three sides", stages + "FROM base..gen..more\n", "name a stage in between", ">>> FROM base..gen..more"},
		{"no lower side", stages + "FROM ..more\n", "nothing before the dots", ">>> FROM ..more"},
		{"no upper side", stages + "FROM base\nCOPY --from=base.. / /\n", "nothing after the dots", ">>> COPY --from=base.. / /"},
		{"three dots", stages + "FROM base...more\n", "dots in a row", ">>> FROM base...more"},
		{"no image", stages + "FROM base..@tag:not-there@\n", "not found", ">>> FROM base..@tag:not-there@"},
		{"variables", "ARG A=base\n" + stages + "FROM base\nCOPY --from=$A..gen / /\n", "variables are only expanded in FROM", ">>> COPY --from=$A..gen / /"},
		{"variables in a mount", "ARG A=base\n" + stages + "FROM base\nRUN --mount=from=$A..gen,target=/m true\n", "variable expansion", ">>> RUN --mount=from=$A..gen,target=/m true"},
		{"trigger", stages + "FROM base\nONBUILD COPY --from=base..gen / /\n", "ONBUILD", ">>> ONBUILD COPY --from=base..gen / /"},
		{"circle", stages + "FROM base AS x\nCOPY --from=base..y / /\nFROM x AS y\n", "needs itself", ">>> COPY --from=base..y / /"},
		{"empty", "FROM scratch..scratch\n", "is empty", ">>> FROM scratch..scratch"},
		{"failing side", stages + "FROM base AS bad\nRUN echo no && false\nFROM base..bad\n", "exit code: 1", ">>> RUN echo no && false"},
		{"failing stage", stages + "FROM base\nRUN --mount=from=base..gen,target=/m cat /m/more\n", "exit code: 1", ">>> RUN --mount=from=base..gen,target=/m cat /m/more"},
		{"other mistake", stages + "FROM base..gen\nCOPY --from=nothing/ / /\n", "nothing/", ">>> COPY --from=nothing/ / /"},
	}
	hints := map[string]string{
		"three sides": "\nName a stage in between: FROM base..gen AS name, then name..more.\n",
		"circle":      "\nBreak the circle with a stage of its own.\n",
		"empty":       "\nWrite scratch.\n",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			result := b.run(t, "relink", tt.dockerfile)
			if result.Code == 0 {
				t.Fatal("it was built")
			}
			for _, want := range []string{tt.want, b.expand(tt.line), hints[tt.name]} {
				if !strings.Contains(result.Stderr, want) {
					t.Errorf("the error does not have %q:\n%s", want, result.Stderr)
				}
			}
			for _, line := range snippetLine.FindAllString(result.Stderr, -1) {
				if strings.Contains(line, "range.") || strings.Contains(line, "relink.") {
					t.Errorf("the snippet has a name of ours: %s", line)
				}
			}
		})
	}
}

// TestRangeConfig holds a stage that is a range to the config of one that is
// FROM scratch.
func TestRangeConfig(t *testing.T) {
	b := startRanges(t)
	b.stock(t, "app", "FROM @base@\nENV SIDE=1\nUSER app\nWORKDIR /w\nENTRYPOINT [\"x\"]\nEXPOSE 1\nLABEL a=b\n")
	const rest = "ENV MINE=2\nCMD [\"y\"]\nCOPY file /z\n"
	got := b.build(t, "range", "FROM @base@..@tag:app@\n"+rest)
	want := b.stock(t, "scratch", "FROM scratch\n"+rest)
	if !reflect.DeepEqual(got.Config.Config, want.Config.Config) {
		t.Errorf("config %+v, want %+v", got.Config.Config, want.Config.Config)
	}
}

func TestRangeExports(t *testing.T) {
	b := startRanges(t)
	out := filepath.Join(t.TempDir(), "out")
	b.run(t, "relink", stages+"FROM base..gen\n", "--output", "type=local,dest="+out).MustSucceed(t)
	if data, err := os.ReadFile(filepath.Join(out, "gen")); err != nil || string(data) != "gen\n" {
		t.Errorf("%q %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(out, "bin")); !os.IsNotExist(err) {
		t.Errorf("the files of the base: %v", err)
	}
}

func TestRangePlatforms(t *testing.T) {
	b := startRanges(t)
	push := func(tag string, layers ...func(arch string) []bed.File) {
		var images []v1.Image
		for _, arch := range []string{"amd64", "arm64"} {
			var of [][]bed.File
			for _, l := range layers {
				of = append(of, l(arch))
			}
			image, err := bed.NewImage(func(c *v1.ConfigFile) { c.Architecture = arch }, of...)
			if err != nil {
				t.Fatal(err)
			}
			images = append(images, image)
		}
		b.PushIndex(t, b.ref(tag), images...)
	}
	lower := func(arch string) []bed.File { return []bed.File{bed.Text("lower-"+arch, arch)} }
	upper := func(arch string) []bed.File { return []bed.File{bed.Text("upper-"+arch, arch)} }
	push("lower", lower)
	push("upper", lower, upper)
	tests := []struct {
		name, dockerfile string
		amd64, arm64     []string
	}{
		{"each", "FROM @tag:lower@..@tag:upper@ AS top\nFROM scratch\nCOPY --from=top / /\n", []string{"/upper-amd64"}, []string{"/upper-arm64"}},
		{"one", "FROM --platform=linux/arm64 @tag:lower@..@tag:upper@\n", []string{"/upper-arm64"}, []string{"/upper-arm64"}},
		{"one, by a variable", "FROM --platform=$BUILDPLATFORM @tag:lower@..@tag:upper@\n", []string{"/upper-amd64"}, []string{"/upper-amd64"}},
		{
			"stages of one that build for another",
			"FROM --platform=linux/amd64 @base@ AS build\nFROM --platform=linux/amd64 build AS made\nARG TARGETARCH\nRUN echo > /for-$TARGETARCH\nFROM --platform=linux/amd64 build..made\n",
			[]string{"/for-amd64"}, []string{"/for-arm64"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tag := slug(tt.name)
			b.run(t, "relink", tt.dockerfile, "--platform=linux/amd64,linux/arm64", "--push", "-t", b.ref(tag)).MustSucceed(t)
			images := b.Images(t, b.ref(tag))
			if len(images) != 2 {
				t.Fatalf("%d images", len(images))
			}
			wantFiles(t, images[0], tt.amd64...)
			wantFiles(t, images[1], tt.arm64...)
		})
	}
}

func TestRangeRequests(t *testing.T) {
	b := startRanges(t)
	const dockerfile = "ARG V=1\n" + stages + "FROM base AS secret\nARG OWN=2\nRUN --mount=type=secret,id=s,required=true true\nFROM base..secret as last\n"
	check := b.run(t, "relink", dockerfile, "--check")
	for _, want := range []string{"FromAsCasing", ">>> FROM base..secret as last"} {
		if !strings.Contains(check.Stdout+check.Stderr, want) {
			t.Errorf("--check does not say %q:\n%s%s", want, check.Stdout, check.Stderr)
		}
	}
	if strings.Contains(check.Stdout, "range.") {
		t.Errorf("--check shows a name of ours:\n%s", check.Stdout)
	}
	if ok := b.run(t, "relink", stages+"FROM base..gen AS last\n", "--check"); ok.Code != 0 {
		t.Errorf("--check is not content:\n%s%s", ok.Stdout, ok.Stderr)
	}
	bad := b.run(t, "relink", stages+"FROM base..@tag:not-there@ AS last\n", "--check")
	if want := b.expand(">>> FROM base..@tag:not-there@"); bad.Code == 0 || !strings.Contains(bad.Stdout+bad.Stderr, want) {
		t.Errorf("--check does not say %q:\n%s%s", want, bad.Stdout, bad.Stderr)
	}
	outline := b.run(t, "relink", dockerfile, "--call=outline").MustSucceed(t)
	for _, want := range []string{`(?m)^OWN +2`, `(?m)^s +true`} {
		if !regexp.MustCompile(want).MatchString(outline.Stdout) {
			t.Errorf("the outline does not have %q:\n%s", want, outline.Stdout)
		}
	}
	targets := b.run(t, "relink", dockerfile, "--call=targets,format=json").MustSucceed(t)
	if strings.Contains(targets.Stdout, "relink.") || !strings.Contains(targets.Stdout, `"base": "base..secret"`) {
		t.Errorf("the targets are:\n%s", targets.Stdout)
	}
}

// TestRangeContexts builds from contexts that are not local.
func TestRangeContexts(t *testing.T) {
	b := startRanges(t)
	dockerfile := b.expand("FROM @base@ AS base\nFROM base AS x\nCOPY in/tar /in-tar\nFROM base..x\n")
	web := serveContexts(t, dockerfile, bed.Text("in/tar", "in\n"))
	tests := []struct{ name, context string }{
		{"an archive by URL", web + "/context.tar"},
		{"a repository", web + "/git/repo.git"},
		{"a directory of a repository", web + "/git/repo.git#main:sub"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, provenance := range []string{"--provenance=false", "--provenance=mode=max"} {
				tag := slug(tt.name + provenance)
				b.Docker(t, t.TempDir(), nil, "relink", "build", provenance, "--push", "-t", b.ref(tag), tt.context).MustSucceed(t)
				wantFiles(t, b.Image(t, b.ref(tag), ""), "/in-tar")
			}
		})
	}
	t.Run("a Dockerfile by URL", func(t *testing.T) {
		plain := serveContexts(t, b.expand("FROM @base@ AS base\nFROM base AS x\nRUN echo > /plain\nFROM base..x\n"))
		b.Docker(t, t.TempDir(), nil, "relink", "build", "--push", "-t", b.ref("url"), plain+"/Dockerfile").MustSucceed(t)
		wantFiles(t, b.Image(t, b.ref("url"), ""), "/plain")
	})
	t.Run("another Dockerfile for a repository", func(t *testing.T) {
		cmd := b.DockerCommand(t.Context(), t.TempDir(), nil, "relink", "build", "-f", "-", "--push", "-t", b.ref("local"), web+"/git/repo.git")
		cmd.Stdin = strings.NewReader(strings.Replace(dockerfile, "/in-tar", "/other", 1))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		wantFiles(t, b.Image(t, b.ref("local"), ""), "/other")
	})
	t.Run("an ignore file of the Dockerfile's own", func(t *testing.T) {
		dir := b.context(t, "FROM @base@ AS base\nFROM base AS x\nCOPY . /d/\nFROM base..x\n", bed.Text("a", "a"), bed.Text("b", "b"), bed.Text("Dockerfile.dockerignore", "a\nDockerfile*\n"))
		b.Docker(t, dir, nil, "relink", "build", "--push", "-t", b.ref("ignore"), ".").MustSucceed(t)
		wantFiles(t, b.Image(t, b.ref("ignore"), ""), "/d/b")
	})
}

// TestRangeProvenance wants both sides among the materials.
func TestRangeProvenance(t *testing.T) {
	b := startRanges(t)
	b.stock(t, "app", "FROM @base@\nCOPY file /app\n")
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	dir := b.context(t, "FROM @base@..@tag:app@\n")
	b.Docker(t, dir, nil, "relink", "build", "--provenance=mode=max", "--push", "-t", b.ref("out"), "--build-arg", "X=1", "--metadata-file", metadata, ".").MustSucceed(t)
	data, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Provenance struct {
			Materials  []struct{ URI string }
			Invocation struct {
				ConfigSource struct{ EntryPoint string }
				Parameters   struct {
					Frontend string
					Args     map[string]string
				}
			}
		} `json:"buildx.build.provenance"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	materials := ""
	for _, m := range got.Provenance.Materials {
		materials += m.URI + "\n"
	}
	for _, want := range []string{"base/busybox", "ranges/" + b.name + "@app"} {
		if !strings.Contains(materials, want) {
			t.Errorf("the materials lack %s:\n%s", want, materials)
		}
	}
	p := got.Provenance.Invocation.Parameters
	if p.Frontend == "" || p.Args["build-arg:X"] != "1" || got.Provenance.Invocation.ConfigSource.EntryPoint != "Dockerfile" {
		t.Errorf("the request is %+v", got.Provenance.Invocation)
	}
}
