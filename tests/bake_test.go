package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

// Targets that are linked to each other are built as stock buildx builds them,
// with their copies linked to their bases.
func TestBakeLinkedTargets(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := filepath.Join(t.TempDir(), "bakelinked")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "f\n"), bed.Text("docker-bake.hcl", strings.NewReplacer(
		"@base@", b.Base(t, "usrmerge"), "@registry@", b.Registry.Host).Replace(`
variable "TAG" {}
group "default" { targets = ["app", "tool", "range"] }
target "base" {
  dockerfile-inline = "FROM @base@\nRUN ln -s srv /made\nCOPY f /opt/link/base\n"
}
target "app" {
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM base\nCOPY f /made/x\nCOPY f /bin/y\n"
  tags = ["@registry@/bake/app:${TAG}"]
}
target "tool" {
  matrix = { n = ["one", "two"] }
  name = "tool-${n}"
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM @base@\nCOPY --from=base /opt/link/base /opt/link/${n}\n"
  tags = ["@registry@/bake/tool-${n}:${TAG}"]
}
group "tool" { targets = ["tool-one", "tool-two"] }
target "range" {
  contexts = { base = "target:base", app = "target:app" }
  dockerfile-inline = "FROM base\nCOPY f /opt/z\n"
  tags = ["@registry@/bake/range:${TAG}"]
}
`)))
	began := time.Now().Add(-time.Minute)
	for _, plugin := range []string{"relink", "buildx"} {
		b.Docker(t, dir, []string{"TAG=" + plugin, "BUILDX_NO_DEFAULT_ATTESTATIONS=1"}, plugin, "bake", "--push").MustSucceed(t)
	}
	for _, name := range []string{"app", "tool-one", "tool-two", "range"} {
		ref := b.Registry.Ref("bake/" + name + ":")
		compareImages(t, b, ref+"buildx", ref+"relink", began)
		compareLayers(t, b, ref+"buildx", ref+"relink")
	}
	r := b.Docker(t, dir, []string{"TAG=report"}, "relink", "bake", "--push", "app", "tool").MustSucceed(t)
	for _, name := range []string{"app", "tool-one", "tool-two"} {
		if want := "relink " + b.Registry.Ref("bake/"+name+":report") + ": line "; !strings.Contains(r.Stderr, want) {
			t.Errorf("the report does not say %q:\n%s", want, r.Stderr)
		}
	}
}

// Each target's arguments say whether it is linked.
func TestBakeTargetLinkMode(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := filepath.Join(t.TempDir(), "bakemode")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "f\n"), bed.Text("docker-bake.hcl", strings.ReplaceAll(`
group "default" { targets = ["linked", "plain"] }
target "linked" {
  dockerfile-inline = "FROM @base@\nCOPY f /opt/mode/x\n"
  output = ["type=cacheonly"]
}
target "plain" {
  inherits = ["linked"]
  args = { RELINK_LINK = "never" }
}
`, "@base@", b.Base(t, "usrmerge"))))
	r := b.Docker(t, dir, nil, "relink", "bake").MustSucceed(t)
	if strings.Count(r.Stderr, "relink: line 2 linked: ") != 1 || strings.Contains(r.Stderr, "relink plain: ") {
		t.Errorf("not just one of the targets was linked:\n%s", r.Stderr)
	}
}

// One target's failure is told by its name and cancels the others, and nothing of
// it is pushed.
func TestBakeFailure(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := filepath.Join(t.TempDir(), "bakefailure")
	// The slow one would outlast the time that the bed gives a run.
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("docker-bake.json", fmt.Sprintf(`{"group":{"default":{"targets":["slow","bad"]}},"target":{
		"slow":{"dockerfile-inline":"FROM %[1]s\nRUN sleep 3000\n","tags":["%[2]s/bake/slow:1"]},
		"bad":{"dockerfile-inline":"FROM %[1]s\nCOPY none /x\n","tags":["%[2]s/bake/bad:1"]}}}`, b.Base(t, "usrmerge"), b.Registry.Host)))
	stock := b.Docker(t, dir, nil, "buildx", "bake", "--push")
	relink := b.Docker(t, dir, nil, "relink", "bake", "--push")
	if relink.Code == 0 || relink.Code != stock.Code {
		t.Errorf("exit code %d, want %d:\n%s", relink.Code, stock.Code, relink.Stderr)
	}
	for _, want := range []string{"ERROR: target bad: failed to solve: ", "COPY none /x", `"/none": not found`} {
		if !strings.Contains(stock.Stderr, want) || !strings.Contains(relink.Stderr, want) {
			t.Errorf("it does not say %q:\n%s\nwhere stock buildx says\n%s", want, relink.Stderr, stock.Stderr)
		}
	}
	for _, tag := range []string{"bake/bad:1", "bake/slow:1"} {
		if b.Exists(t, b.Registry.Ref(tag)) {
			t.Errorf("%s was pushed", tag)
		}
	}
}

// A fleet: fifty images on a new base by one matrix, and no layer is pulled.
func TestBakeFleet(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	old, next := b.Registry.Ref("fleet/base:1"), b.Registry.Ref("fleet/base:2")
	oldBase, newBase := factBase(t, b, old), factBase(t, b, next, bed.Text("etc/day", "two\n"))
	const images = 50
	var names []string
	for i := range images {
		image, err := bed.NewImage(func(c *v1.ConfigFile) { c.Config.Env = []string{"PATH=/usr/bin"} },
			factFiles(old), []bed.File{bed.Text(fmt.Sprint("app", i), fmt.Sprint(i))})
		if err != nil {
			t.Fatal(err)
		}
		b.Push(t, b.Registry.Ref(fmt.Sprintf("fleet/app%d:1", i)), image)
		names = append(names, fmt.Sprint("app", i))
	}
	dir := filepath.Join(t.TempDir(), "fleet")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("docker-bake.hcl", documented(t, "docs/bake.md", "hcl")))
	env := []string{"REGISTRY=" + b.Registry.Host, "IMAGES=" + strings.Join(names, ",")}
	first := b.Image(t, b.Registry.Ref("fleet/app0:1"), "")
	mark := b.Registry.Mark(t)
	result := b.Docker(t, dir, env, "relink", "bake", "--push").MustSucceed(t)
	for _, name := range names {
		if want := "rebase " + b.Registry.Ref("fleet/"+name+":1") + ": layers: "; strings.Count(result.Stderr, want) != 1 {
			t.Errorf("the report does not say %q once", want)
		}
	}
	wantNothingPulled(t, b, mark, oldBase, newBase, first)
	for _, i := range []int{0, images - 1} {
		image := b.Image(t, b.Registry.Ref(fmt.Sprintf("fleet/app%d:2", i)), "")
		if image.Tree["/etc/day"].Type == "" || image.Tree[fmt.Sprint("/app", i)].Type == "" {
			t.Errorf("image %d has not what it should have: %v", i, image.Tree)
		}
	}
}

// documented is the first block of code of a language in a document.
func documented(t *testing.T, name, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bed.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "```"+language+"\n")
	block, _, closed := strings.Cut(block, "```\n")
	if !ok || !closed {
		t.Fatalf("%s has no block of %s", name, language)
	}
	return block
}

// Ranges reach across targets.
func TestBakeRanges(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := filepath.Join(t.TempDir(), "bakeranges")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("docker-bake.hcl", strings.ReplaceAll(`
target "base" { dockerfile-inline = "FROM @base@\nRUN echo 1 >/one\n" }
target "app" {
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM base\nRUN echo 2 >/two\n"
}
target "default" {
  contexts = { base = "target:base", app = "target:app" }
  dockerfile-inline = "FROM scratch\nCOPY --from=base..app / /\n"
  output = ["out"]
}
`, "@base@", b.Base(t, "busybox"))))
	b.Docker(t, dir, nil, "relink", "bake").MustSucceed(t)
	entries, err := os.ReadDir(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "two" {
		t.Errorf("the range has %v, want two", entries)
	}
}

// --print says what stock buildx says.
func TestBakePrint(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	for i, tc := range printed {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), fmt.Sprint("print", i))
			bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text(tc.file, tc.text))
			args := append([]string{"bake", "--print"}, tc.args...)
			stock := b.Docker(t, dir, tc.env, append([]string{"buildx"}, args...)...)
			relink := b.Docker(t, dir, tc.env, append([]string{"relink"}, args...)...)
			if relink.Code != stock.Code || relink.Stdout != stock.Stdout {
				t.Errorf("exit code %d, want %d\n%s\nwant\n%s\n%s", relink.Code, stock.Code, relink.Stdout, stock.Stdout, relink.Stderr)
			}
		})
	}
}

// printed are definitions and how they are asked for.
var printed = []struct {
	file, text string
	args, env  []string
}{
	{file: "docker-bake.hcl", text: `target "default" {}`},
	{file: "docker-bake.hcl", text: `target "default" { tags = ["a/b:c"] }`},
	{file: "docker-bake.json", text: `{"target":{"default":{"tags":["a/b:c"]}}}`},
	{file: "docker-bake.hcl", text: `variable "X" { default = "y" }` + "\n" + `target "default" { args = { X = X } }`},
	{file: "docker-bake.hcl", text: `variable "X" { default = "y" }` + "\n" + `target "default" { args = { X = X } }`, env: []string{"X=z"}},
	{file: "docker-bake.hcl", text: `variable "X" { default = "y" }` + "\n" + `target "default" { args = { X = upper(X) } }`, args: []string{"--var", "X=q"}},
	{file: "docker-bake.hcl", text: "function \"f\" {\n params = [n]\n result = n * 2\n}\n" + `target "default" { args = { X = f(21) } }`},
	{file: "docker-bake.hcl", text: `target "a" { target = "t" }` + "\n" + `target "default" { inherits = ["a"] }`},
	{file: "docker-bake.hcl", text: `target "a" { args = { X = 1 } }` + "\n" + `target "default" { inherits = ["a"], args = { Y = 2 } }`},
	{file: "docker-bake.hcl", text: `group "default" { targets = ["a", "b"] }` + "\n" + `target "a" {}` + "\n" + `target "b" {}`},
	{file: "docker-bake.hcl", text: `group "g" { targets = ["a"] }` + "\n" + `target "a" {}`, args: []string{"g"}},
	{file: "docker-bake.hcl", text: `target "a" {}` + "\n" + `target "b" {}`, args: []string{"a", "b"}},
	{file: "docker-bake.hcl", text: "target \"default\" {\n name = \"t-${n}\"\n matrix = { n = [\"a\", \"b\"] }\n args = { N = n }\n}"},
	{file: "docker-bake.hcl", text: `target "default" { platforms = ["linux/amd64", "linux/arm64"] }`},
	{file: "docker-bake.hcl", text: `target "default" { output = ["type=registry"] }`},
	{file: "docker-bake.hcl", text: `target "default" {}`, args: []string{"--push"}},
	{file: "docker-bake.hcl", text: `target "default" {}`, args: []string{"--load"}},
	{file: "docker-bake.hcl", text: `target "default" {}`, args: []string{"--set", "default.args.X=y"}},
	{file: "docker-bake.hcl", text: `target "default" {}`, args: []string{"--set", "*.platform=linux/arm64"}},
	{file: "docker-bake.hcl", text: `target "default" {}`, args: []string{"--set", "default.tags=x/y"}},
	{file: "docker-bake.hcl", text: `target "default" { contexts = { x = "docker-image://y" } }`},
	{file: "docker-bake.hcl", text: `target "x" {}` + "\n" + `target "default" { contexts = { x = "target:x" } }`},
	{file: "docker-bake.hcl", text: `target "default" { cache-from = ["type=registry,ref=x/y"], cache-to = ["type=inline"] }`},
	{file: "docker-bake.hcl", text: `target "default" { secret = ["id=a,src=b"], ssh = ["default"] }`},
	{file: "docker-bake.hcl", text: `target "default" { attest = ["type=sbom", "type=provenance,mode=max"] }`},
	{file: "docker-bake.hcl", text: `target "default" { labels = { a = "b" }, annotations = ["manifest:c=d"] }`},
	{file: "docker-bake.hcl", text: `target "default" { args = { RELINK_LINK = "never" } }`},
	{file: "docker-bake.hcl", text: `target "default" { dockerfile = "other", context = "sub" }`},
	{file: "compose.yaml", text: "services:\n  app:\n    image: a/b\n    build:\n      context: .\n      args: {X: y}\n"},
	{file: "compose.yaml", text: "services:\n  app:\n    image: a/b\n    build:\n      context: .\n      x-bake:\n        platforms: [linux/arm64]\n"},
	{file: "bake.hcl", text: `target "default" {}`, args: []string{"-f", "bake.hcl"}},
	{file: "docker-bake.hcl", text: `target "default" {`},
	{file: "docker-bake.hcl", text: `target "a" {}`, args: []string{"none"}},
	{file: "docker-bake.hcl", text: `target "default" { description = "it" }`, args: []string{"--list", "targets"}},
	{file: "docker-bake.hcl", text: `variable "X" { description = "it" }`, args: []string{"--list", "variables"}},
}
