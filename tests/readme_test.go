package tests

import (
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// typed are the commands of a block of documentation, with the lines after them
// that belong to them, and shown is what they are said to print.
func typed(block string) (script string, shown []string) {
	end := ""
	for line := range strings.Lines(block) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasSuffix(script, "\\\n"):
			script += line
		case end != "":
			script += line
			if strings.TrimSpace(line) == end {
				end = ""
			}
		case isCommand:
			script += command
			if _, name, ok := strings.Cut(strings.TrimSpace(command), "<<"); ok {
				end = strings.Trim(name, "'")
			}
		case strings.TrimSpace(line) != "…":
			shown = append(shown, strings.TrimSpace(line))
		}
	}
	return script, shown
}

// section gives the blocks of commands under a heading of the README.
func section(t *testing.T, heading string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bed.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("the README has no %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, after := range strings.Split(rest, "```console\n")[1:] {
		block, _, _ := strings.Cut(after, "```\n")
		blocks = append(blocks, block)
	}
	return blocks
}

// hub puts a base of the bed where its registry has an image of Docker Hub, for
// those who have it for a mirror.
func hub(t *testing.T, b *bed.Bed, base, name string) {
	t.Helper()
	b.Push(t, b.Registry.Ref("library/"+name), b.Pull(t, b.Base(t, base)))
}

// TestFirstLook types what the README says under that heading.
func TestFirstLook(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	blocks := section(t, "A first look")
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of commands, want three", len(blocks))
	}
	t.Run("where nothing is installed", func(t *testing.T) { firstLookAlone(t, b, blocks[0], blocks[2]) })
	t.Run("with an Engine", func(t *testing.T) { firstLookEngine(t, b, blocks[1]) })
}

// firstLookAlone has neither an Engine nor a builder. Docker Hub is a mirror, and
// registry.example a proxy. The program is built already, so make is told so.
func firstLookAlone(t *testing.T, b *bed.Bed, first, cached string) {
	hub(t, b, "debian:bookworm", "debian:12")
	hub(t, b, "debian:trixie", "debian:13")
	home, err := os.MkdirTemp("/tmp", "relink-readme-") // The paths of sockets must stay short.
	if err != nil {
		t.Fatal(err)
	}
	registry := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: b.Registry.Host})
		r.Out.Host = "registry.example" // The registry's redirects stay there.
	}})
	t.Cleanup(registry.Close)
	bed.WriteFiles(t, home, bed.Dir("run", 0o755), bed.Text("docker/config.json", "{}\n"),
		bed.Text("docker/buildx/buildkitd.default.toml", fmt.Sprintf(
			"[registry.\"docker.io\"]\n  mirrors = [%[1]q]\n[registry.%[1]q]\n  http = true\n[registry.\"registry.example\"]\n  http = true\n", b.Registry.Host)))
	env := []string{
		"HOME=" + home, "DOCKER_CONFIG=" + filepath.Join(home, "docker"), "BUILDX_CONFIG=", "RELINK_EMBEDDED=",
		"RELINK_EMBEDDED_DIR=" + filepath.Join(home, "builder"), "http_proxy=" + registry.URL, "CHECKOUT=" + bed.Root(),
	}
	const before = "mount --bind \"$HOME/run\" /run\nmake() { command make -o build -C \"$CHECKOUT\" \"$@\"; }\n"
	shell := func(script string) bed.Result {
		dir := embeddedContext(t, "FROM debian:12\nCOPY page /srv/\nRUN cat /srv/page\n")
		return b.Shell(t, dir, env, "exec unshare --mount bash -e -c '"+strings.ReplaceAll(before+script, "'", `'\''`)+"'")
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	script, _ := typed(first)
	install, rest, _ := strings.Cut(script, "\n")
	shell(install).MustSucceed(t)
	defer func() { shell("docker relink builder rm").MustSucceed(t) }()
	shell("docker relink build --push -t registry.example/app:1 .").MustSucceed(t)
	shell(rest).MustSucceed(t)
	script, _ = typed(cached)
	shell(script).MustSucceed(t)
	if again := shell("docker relink builder prune -f >/dev/null; " + script).MustSucceed(t); !strings.Contains(again.Stderr, " CACHED") {
		t.Errorf("the image is no cache:\n%s", again.Stderr)
	}
	trixie := b.Image(t, b.Registry.Ref("library/debian:13"), "").Layers()
	built, rebased := b.Image(t, b.Registry.Ref("app:3"), "").Layers(), b.Image(t, b.Registry.Ref("app:2"), "").Layers()
	if len(rebased) != len(built) || rebased[0] != trixie[0] || built[0] == trixie[0] {
		t.Errorf("the rebased image has layers %q, the built one %q", rebased, built)
	}
}

// firstLookEngine has a Docker Engine whose mirror is the bed's registry. It has no
// network for containers, so none is asked for.
func firstLookEngine(t *testing.T, b *bed.Bed, block string) {
	hub(t, b, "debian:bookworm", "debian:bookworm-slim")
	engine := b.NewEngine(t, bed.CurrentEngine)
	script, shown := typed(block)
	result := b.Shell(t, t.TempDir(), engine.Env(), script).MustSucceed(t)
	if len(shown) < 2 {
		t.Errorf("the README shows %q", shown)
	}
	for _, line := range shown {
		if !strings.Contains(result.Stderr+result.Stdout, line+"\n") {
			t.Errorf("%q was not printed:\n%s%s", line, result.Stderr, result.Stdout)
		}
	}
}
