package tests

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// bakeProject is a project with what the reference of bake files describes: a
// target for each attribute, or for a few that go together.
const bakeProject = `
variable "TAG" {
  type    = string
  default = "none"
}
variable "REPO" { default = "@registry@/@repo@" }
variable "FLAVOURS" {
  type    = list(string)
  default = ["plain", "sweet"]
}
variable "COUNT" {
  type    = number
  default = 2
  validation {
    condition     = COUNT > 0
    error_message = "COUNT is a count."
  }
}

function "tag" {
  params = [name]
  result = ["${REPO}/${name}:${TAG}"]
}

group "default" {
  targets = ["app", "release", "matrix", "contexts", "kept", "limits", "files"]
}

target "_common" {
  args = {
    COUNT = COUNT
    PLACE = "/opt/link"
    NONE  = null
  }
  labels = { "org.example.common" = "yes" }
  no-cache-filter = []
}

target "app" {
  inherits    = ["_common"]
  description = "The app."
  dockerfile-inline = <<EOT
FROM @base@ AS app
ARG COUNT
ARG PLACE
COPY --chown=app f $${PLACE}/$${COUNT}
WORKDIR /srv/app
COPY sub/ .
EOT
  tags = tag("app")
}

target "release" {
  inherits    = ["app"]
  args        = { COUNT = COUNT + 1 }
  platforms   = ["linux/amd64", "linux/arm64"]
  annotations = ["manifest:org.example.a=b", "index:org.example.c=d"]
  labels      = { "org.example.release" = "${COUNT}" }
  tags        = concat(tag("release"), tag("latest"))
}

target "matrix" {
  name = "matrix-${flavour}-${replace(item.version, ".", "-")}"
  matrix = {
    flavour = FLAVOURS
    item    = [{ version = "1.0", place = "/tmp" }, { version = "2.0", place = "/root/x" }]
  }
  dockerfile = "Dockerfile.matrix"
  args = {
    FLAVOUR = flavour
    PLACE   = item.place
  }
  target = "final"
  tags   = tag("matrix-${flavour}-${item.version}")
}

target "base" {
  dockerfile-inline = "FROM @base@\nRUN ln -s srv /made\nCOPY f /opt/link/base\n"
}

target "contexts" {
  contexts = {
    pinned = "docker-image://@base@"
    other  = "./sub"
    built  = "target:base"
  }
  dockerfile-inline = "FROM built\nCOPY --from=other g /made/g\nCOPY --from=pinned /etc/app.d /opt/link/app.d\n"
  tags = tag("contexts")
}

target "kept" {
  context           = "sub"
  dockerfile        = "../Dockerfile.kept"
  secret            = [{ type = "file", id = "word", src = "secret" }]
  network           = "none"
  pull              = true
  no-cache-filter   = ["kept"]
  cache-to          = ["type=inline"]
  cache-from        = ["type=registry,ref=@registry@/@repo@/kept:old"]
  tags              = tag("kept")
}

target "limits" {
  shm-size    = "64m"
  ulimits     = ["nofile=1024:1024"]
  extra-hosts = { "host.example" = "192.0.2.1" }
  dockerfile-inline = "FROM @base@\nRUN grep -c host.example /etc/hosts >/hosts && ulimit -n >/limit\nCOPY f /bin/f\n"
  tags = tag("limits")
}

target "files" {
  dockerfile-inline = "FROM scratch\nCOPY f sub/ /\n"
  output = ["type=tar,dest=files-${TAG}.tar"]
}
`

// bakeOverride is merged with the definition by its name alone.
const bakeOverride = `
target "app" { labels = { "org.example.override" = "yes" } }
`

func writeBakeProject(t *testing.T, b *bed.Bed, repo string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), slug(repo))
	expand := strings.NewReplacer("@base@", b.Base(t, "usrmerge"), "@registry@", b.Registry.Host, "@repo@", repo).Replace
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "f\n"), bed.Dir("sub", 0o755), bed.Text("sub/g", "g\n"), bed.Text("secret", "hush\n"),
		bed.Text("docker-bake.hcl", expand(bakeProject)), bed.Text("docker-bake.override.hcl", bakeOverride),
		bed.Text("Dockerfile.matrix", expand("FROM @base@ AS made\nARG FLAVOUR\nRUN echo $FLAVOUR >/flavour\nFROM @base@ AS final\nARG PLACE\nCOPY --from=made /flavour $PLACE/\nENV PLACE=$PLACE\nFROM final AS more\nRUN false\n")),
		bed.Text("Dockerfile.kept", expand("FROM @base@ AS kept\nRUN --mount=type=secret,id=word wc -c /run/secrets/word >/length\nCOPY g /lib/g\nUSER app\n")))
	return dir
}

var bakeProjectImages = []string{
	"app", "release", "latest", "contexts", "kept", "limits",
	"matrix-plain-1.0", "matrix-plain-2.0", "matrix-sweet-1.0", "matrix-sweet-2.0",
}

// bakeProjectBy builds the project and gives what it made to be compared with.
func bakeProjectBy(t *testing.T, b *bed.Bed, dir, plugin, tag string, args ...string) bed.Result {
	t.Helper()
	env := []string{"TAG=" + tag, "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "COUNT=3"}
	args = append([]string{plugin, "bake", "--allow=fs.write=" + dir, "--push", "--set=base.output=type=cacheonly", "--set=files.output=type=tar,dest=files-" + tag + ".tar"}, args...)
	return b.Docker(t, dir, env, args...).MustSucceed(t)
}

func compareBakeProject(t *testing.T, b *bed.Bed, repo, stock, relink string, began time.Time) {
	t.Helper()
	for _, name := range bakeProjectImages {
		ref := b.Registry.Ref(repo + "/" + name + ":")
		compareImages(t, b, ref+stock, ref+relink, began)
		compareLayers(t, b, ref+stock, ref+relink)
	}
}

// A project that docker buildx bake builds is built by relink with the word
// changed, to the same images.
func TestBakeProject(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	began := time.Now().Add(-time.Minute)
	dir := writeBakeProject(t, b, "bakeproject")
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	relink := bakeProjectBy(t, b, dir, "relink", "relink", "--metadata-file", metadata)
	bakeProjectBy(t, b, dir, "buildx", "stock")
	compareBakeProject(t, b, "bakeproject", "stock", "relink", began)
	if was, is := readFile(t, filepath.Join(dir, "files-stock.tar")), readFile(t, filepath.Join(dir, "files-relink.tar")); !bytes.Equal(was, is) {
		t.Error("the archives differ")
	}
	for _, name := range bakeProjectImages {
		if name != "latest" && !strings.Contains(relink.Stderr, "relink "+b.Registry.Ref("bakeproject/"+name)+":relink") {
			t.Errorf("the report has no line for %s:\n%s", name, relink.Stderr)
		}
	}
	for _, target := range []string{`"app": {`, `"matrix-sweet-2-0": {`, `"relink.link"`} {
		if !bytes.Contains(readFile(t, metadata), []byte(target)) {
			t.Errorf("the metadata does not have %s", target)
		}
	}
	for _, call := range []string{"--check", "--call=outline", "--call=targets", "--list=targets", "--list=variables"} {
		same(t, b, dir, nil, nil, call)
	}
	// Not the matrix: stock buildx lists its targets in no fixed order.
	same(t, b, dir, nil, nil, "--print", "app", "release", "contexts", "kept", "limits", "files")
	same(t, b, dir, []string{"COUNT=0"}, nil)
	same(t, b, dir, nil, nil, "--var", "FLAVOURS=[\"a\"]", "--print", "matrix")
}

// same wants the same answer of stock buildx and of relink to a bake that builds
// nothing.
func same(t *testing.T, b *bed.Bed, dir string, env []string, stdin io.Reader, args ...string) (stderr string) {
	t.Helper()
	type answer struct {
		out, err string
		code     int
	}
	var answers [2]answer
	var input []byte
	if stdin != nil {
		input, _ = io.ReadAll(stdin)
	}
	for i, plugin := range []string{"buildx", "relink"} {
		var out, err bytes.Buffer
		cmd := b.DockerCommand(t.Context(), dir, env, append([]string{plugin, "bake"}, args...)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &err
		_ = cmd.Run() // The code says what became of it.
		answers[i] = answer{out.String(), lastError.FindString(err.String()), cmd.ProcessState.ExitCode()}
		stderr = err.String()
	}
	if answers[0] != answers[1] {
		t.Errorf("bake %q: %+v\nwant %+v", args, answers[1], answers[0])
	}
	return stderr
}

var lastError = regexp.MustCompile(`(?m)^ERROR: .*$`)

// Definitions come from everywhere that stock buildx takes them from.
func TestBakeDefinitions(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	hcl := `target "default" {
  dockerfile-inline = "FROM ` + b.Base(t, "usrmerge") + `\nCOPY f /opt/link/x\n"
  output = ["type=cacheonly"]
}
`
	f := bed.Text("f", "f\n")
	web := serveContexts(t, "FROM scratch\n", f, bed.Text("docker-bake.hcl", hcl), bed.Text("other.hcl", strings.Replace(hcl, "default", "other", 1)))
	definition := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, hcl) }))
	t.Cleanup(definition.Close)
	dir := filepath.Join(t.TempDir(), "definitions")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), f, bed.Text("docker-bake.hcl", hcl), bed.Text("more.json", `{"target":{"default":{"labels":{"a":"b"}}}}`),
		bed.Text("compose.yaml", "services:\n  app:\n    build:\n      dockerfile_inline: |\n        FROM "+b.Base(t, "usrmerge")+
			"\n        COPY f /opt/link/x\n      x-bake:\n        output: [type=cacheonly]\n"))
	for _, tt := range []struct {
		name  string
		args  []string
		stdin string
	}{
		{name: "the input", args: []string{"-f", "-"}, stdin: hcl},
		{name: "several files", args: []string{"-f", "docker-bake.hcl", "-f", "more.json"}},
		{name: "a Compose file", args: []string{"-f", "compose.yaml"}},
		{name: "a repository", args: []string{web + "/git/repo.git"}},
		{name: "a directory of a repository and a target", args: []string{web + "/git/repo.git#main:sub", "-f", "other.hcl", "other"}},
		{name: "a definition by URL, here", args: []string{definition.URL + "/docker-bake.hcl"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stderr := same(t, b, dir, nil, strings.NewReader(tt.stdin), tt.args...)
			if !strings.Contains(stderr, "relink: line 2 linked") || lastError.MatchString(stderr) {
				t.Errorf("nothing was linked:\n%s", stderr)
			}
		})
	}
}

// Reading and writing outside of the project has to be allowed.
func TestBakeAllow(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	outside := t.TempDir()
	bed.WriteFiles(t, outside, bed.Dir(".", 0o755), bed.Text("f", "f\n"))
	dir := filepath.Join(t.TempDir(), "allow")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("docker-bake.hcl", fmt.Sprintf(`target "default" {
  context = %q
  dockerfile-inline = "FROM scratch\nCOPY f /\n"
  output = ["type=cacheonly"]
}
target "network" {
  dockerfile-inline = "FROM scratch\nCOPY docker-bake.hcl /\n"
  output = ["type=cacheonly"]
  entitlements = ["network.host"]
}
`, outside)))
	enforce := []string{"BUILDX_BAKE_ENTITLEMENTS_FS=1"}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"--allow=fs.read=", nil},
		{"", []string{"--allow=fs.read=" + outside}},
		{"--allow=network.host", []string{"network"}},
		{"", []string{"--allow=network.host", "network"}},
	} {
		stderr := same(t, b, dir, enforce, nil, tt.args...)
		if tt.want == "" == strings.Contains(stderr, "ERROR") || !strings.Contains(stderr, tt.want) {
			t.Errorf("bake %q does not say %q:\n%s", tt.args, tt.want, stderr)
		}
	}
}

// On a terminal one is asked for what has to be allowed.
func TestBakeAsks(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := filepath.Join(t.TempDir(), "asks")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("docker-bake.hcl", `target "default" {
  dockerfile-inline = "FROM scratch\nCOPY docker-bake.hcl /\n"
  output = ["type=cacheonly"]
  entitlements = ["network.host"]
}
`))
	for answer, allowed := range map[string]bool{"y": true, "n": false} {
		var asked [2]string
		for i, plugin := range []string{"buildx", "relink"} {
			r := b.Shell(t, dir, nil, "echo "+answer+" | script -qec 'docker "+plugin+" bake --progress=plain' /dev/null")
			if done := r.Code == 0; done != allowed {
				t.Errorf("%s, answered %s: exit code %d\n%s", plugin, answer, r.Code, r.Stdout)
			}
			asked[i], _, _ = strings.Cut(strings.ReplaceAll(r.Stdout, "docker "+plugin, "docker"), "[y/N]")
		}
		if asked[0] != asked[1] || !strings.Contains(asked[0], "network.host") {
			t.Errorf("it asks %q, want %q", asked[1], asked[0])
		}
	}
}

// A hundred targets of one context send it to the builder once.
func TestBakeSendsAContextOnce(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	// Another name each time: of a context of the same name only what has changed
	// would be sent.
	dir := filepath.Join(t.TempDir(), fmt.Sprint("once", time.Now().UnixNano()))
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", strings.Repeat("0123456789abcdef", 1<<16)), bed.Text("docker-bake.hcl", `
variable "NUMBERS" { default = join(",", range(100)) }
target "default" {
  name = "t${n}"
  matrix = { n = split(",", NUMBERS) }
  dockerfile-inline = "FROM `+b.Base(t, "usrmerge")+`\nCOPY f /opt/link/${n}\n"
  output = ["type=cacheonly"]
}
`))
	result := b.Plugin(t, dir, nil, "relink", "bake", "--progress=plain").MustSucceed(t)
	// The progress repeats what it said when it comes back to a vertex.
	sent := contextSent.FindAllString(result.Stderr, -1)
	slices.Sort(sent)
	if sent = slices.Compact(sent); len(sent) != 1 {
		t.Errorf("the context was sent %d times: %q", len(sent), sent)
	}
	for _, n := range []int{0, 42, 99} {
		if want := fmt.Sprintf("relink t%d: line 2 linked: COPY f /opt/link/%d ", n, n); strings.Count(result.Stderr, want) != 1 {
			t.Errorf("the report does not say %q once", want)
		}
	}
}

var contextSent = regexp.MustCompile(`(?m)^#[0-9]+ transferring context: [0-9.]+MB .*done$`)

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
