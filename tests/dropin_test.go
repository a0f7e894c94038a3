package tests

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// TestEnvironment builds under each variable that buildx reads: the image, what is
// pushed with it, the metadata file and the error are stock's.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base, other := b.Base(t, "usrmerge"), b.Base(t, "busybox")
	dir := filepath.Join(t.TempDir(), "environment")
	// /bin is a link in the base and a directory in the other one.
	bed.WriteFiles(t, dir, bed.Text("f", "content\n"), bed.Text("Dockerfile", "FROM "+base+"\nCOPY f /bin/environment\nMAINTAINER somebody\n"))
	repository := inRepository(t, dir)
	policy := func(rule string) string {
		return "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" + sourcePolicy(t, strings.NewReplacer("@base@", base, "@other@", other).Replace(rule))
	}
	for _, tt := range []struct {
		name, env, dir string
	}{
		{name: "nothing"},
		{name: "a policy that denies the base", env: policy(`{"action": "DENY", "selector": {"identifier": "docker-image://@base@"}}`)},
		{name: "a policy that puts another in its place", env: policy(`{"action": "CONVERT",
			"selector": {"identifier": "docker-image://@base@"}, "updates": {"identifier": "docker-image://@other@"}}`)},
		{name: "no policy at that path", env: "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=/none.json"},
		{name: "no attestations", env: "BUILDX_NO_DEFAULT_ATTESTATIONS=1"},
		{name: "attestations in the old form", env: "BUILDX_NO_DEFAULT_OCI_ARTIFACT=1"},
		{name: "all provenance in the metadata", env: "BUILDX_METADATA_PROVENANCE=max"},
		{name: "no provenance in the metadata", env: "BUILDX_METADATA_PROVENANCE=disabled"},
		{name: "warnings in the metadata", env: "BUILDX_METADATA_WARNINGS=true"},
		{name: "a builder that is none", env: "BUILDX_BUILDER=none"},
		{name: "a platform", env: "DOCKER_DEFAULT_PLATFORM=linux/amd64"},
		{name: "a platform that is none", env: "DOCKER_DEFAULT_PLATFORM=some/thing/else/more"},
		{name: "labels of the repository", env: "BUILDX_GIT_LABELS=full", dir: repository},
		{name: "nothing of the repository", env: "BUILDX_GIT_INFO=false", dir: repository},
		{name: "an epoch", env: "SOURCE_DATE_EPOCH=1700000000"},
		{name: "an epoch that is none", env: "SOURCE_DATE_EPOCH=today"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.dir == "" {
				tt.dir = dir
			}
			stock := underEnvironment(t, b, "buildx", tt.dir, tt.env)
			relink := underEnvironment(t, b, "relink", tt.dir, tt.env)
			if relink.errors != stock.errors || relink.code != stock.code {
				t.Fatalf("exit code %d, want %d\n%s\nwant\n%s", relink.code, stock.code, relink.errors, stock.errors)
			}
			if stock.code != 0 {
				return
			}
			if relink.pushed != stock.pushed || !slices.Equal(relink.metadata, stock.metadata) {
				t.Errorf("%s with %q, want %s with %q", relink.pushed, relink.metadata, stock.pushed, stock.metadata)
			}
			for _, difference := range bed.Compare(b.Image(t, stock.ref, ""), b.Image(t, relink.ref, "")) {
				t.Error(difference)
			}
		})
	}
}

// A policy beside the Dockerfile is obeyed, and what it says is shown, as by stock.
func TestPolicyFile(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base, other := b.Base(t, "usrmerge"), b.Base(t, "busybox")
	dir := filepath.Join(t.TempDir(), "policyfile")
	bed.WriteFiles(t, dir, bed.Text("f", "content\n"), bed.Text("Dockerfile.rego", fmt.Sprintf(`package docker
default allow := false
allow if not input.image
allow if input.image.fullRepo == %q
deny_msg contains "only the one base" if not allow
decision := {"allow": allow, "deny_msg": deny_msg}
`, base)))
	for name, tt := range map[string]struct {
		dockerfile string
		denied     bool
	}{
		"allowed":         {"FROM " + base + "\nCOPY f /bin/policy\n", false},
		"another base":    {"FROM " + other + "\nCOPY f /bin/policy\n", true},
		"another's files": {"FROM " + base + "\nCOPY --from=" + other + " /bin/busybox /opt/policy\n", true},
	} {
		bed.WriteFiles(t, dir, bed.Text("Dockerfile", tt.dockerfile))
		stock, relink := underEnvironment(t, b, "buildx", dir, ""), underEnvironment(t, b, "relink", dir, "")
		if relink.code != stock.code || relink.errors != stock.errors || (stock.code != 0) != tt.denied {
			t.Errorf("%s: exit code %d, want %d\n%s\nwant\n%s", name, relink.code, stock.code, relink.errors, stock.errors)
		}
		if tt.denied && !strings.Contains(stock.errors, "only the one base") {
			t.Errorf("%s: stock does not say what the policy says:\n%s", name, stock.errors)
		}
	}
}

// outcome is what a build left behind.
type outcome struct {
	ref, errors string
	code        int
	// pushed is the media type of what the tag names, metadata the keys of the
	// metadata file that are not relink's own.
	pushed   string
	metadata []string
}

func underEnvironment(t *testing.T, b *bed.Bed, plugin, dir, env string) outcome {
	t.Helper()
	made := outcome{ref: b.Registry.Ref("environment/" + slug(t.Name()) + ":" + plugin)}
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	r := b.Docker(t, dir, strings.Fields(env), plugin, "build", "--push", "--no-cache", "-t", made.ref, "--metadata-file", metadata, ".")
	made.code, made.errors = r.Code, errorsOf(r)
	if r.Code != 0 {
		return made
	}
	var manifest struct{ MediaType string }
	b.Docker(t, dir, nil, "buildx", "imagetools", "inspect", "--raw", made.ref).JSON(t, &manifest)
	made.pushed = manifest.MediaType
	data, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var told map[string]json.RawMessage
	if err := json.Unmarshal(data, &told); err != nil {
		t.Fatal(err)
	}
	delete(told, "relink.link")
	made.metadata = slices.Sorted(maps.Keys(told))
	return made
}

// errorsOf are the lines of errors and of what policies say.
func errorsOf(r bed.Result) (lines string) {
	for line := range strings.Lines(r.Stderr) {
		if strings.HasPrefix(line, "ERROR: ") || strings.HasPrefix(line, "Policy: ") {
			lines += line
		}
	}
	return lines
}

// sourcePolicy writes a policy of one rule.
func sourcePolicy(t *testing.T, rule string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"rules": [%s]}`, rule), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// inRepository copies a directory into a repository with one commit.
func inRepository(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "repository")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"remote", "add", "origin", "https://git.example/app.git"}, {"add", "."},
		{"-c", "user.name=bed", "-c", "user.email=bed@git.example", "commit", "-q", "-m", "first"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = to
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	return to
}

// With --no-cache nothing comes from an earlier build: not what a stage had, through
// any number of ranges, not the times of a file that is copied again, and not what
// was known of the head.
func TestNoCache(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	// A build joins one that runs at the same time and ignores the cache, too: each name
	// is in its own commands.
	const unique = ": @name@ && d=/opt/$(cat /proc/sys/kernel/random/uuid) && mkdir -p $d && ln -s $d /opt/d"
	for name, dockerfile := range map[string]string{
		"copies":          "FROM @base@\nCOPY f /opt/d/f\n",
		"head":            "FROM @base@\nRUN " + unique + "\nCOPY f /opt/d/f\n",
		"range":           "FROM @base@ AS a\nFROM a AS b\nRUN " + unique + " && touch /opt/d/f\nFROM a..b\n",
		"range of ranges": "FROM @base@ AS a\nFROM a AS b\nRUN " + unique + " && touch /opt/d/f\nFROM a..b AS c\nFROM a AS e\nRUN touch /e\nFROM a..e AS g\nFROM g..c\n",
		"copied range":    "FROM @base@ AS a\nFROM a AS b\nRUN " + unique + " && touch /opt/d/f\nFROM scratch\nCOPY --link --from=a..b / /\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "nocache"+slug(name))
			filled := strings.NewReplacer("@base@", b.Base(t, "busybox"), "@name@", name).Replace(dockerfile)
			bed.WriteFiles(t, dir, bed.Text("f", "content\n"), bed.Text("Dockerfile", filled))
			seen := map[string]bool{}
			for i := range 3 {
				changed := time.Unix(int64(1_700_000_000+1000*i), 0)
				if err := os.Chtimes(filepath.Join(dir, "f"), changed, changed); err != nil {
					t.Fatal(err)
				}
				out := filepath.Join(t.TempDir(), "out")
				b.Docker(t, dir, nil, "relink", "build", "--no-cache", "-o", out, ".").MustSucceed(t)
				link, err := os.Readlink(filepath.Join(out, "opt", "d"))
				if err != nil && name != "copies" {
					t.Fatal(err)
				}
				f, err := os.Stat(filepath.Join(out, cmp.Or(link, "/opt/d"), "f"))
				if err != nil {
					t.Fatal(err)
				}
				seen[link+f.ModTime().String()] = true
			}
			if len(seen) != 3 {
				t.Errorf("of three builds there are %d results: %v", len(seen), slices.Sorted(maps.Keys(seen)))
			}
		})
	}
}

// Builders of a driver for which there is nothing here to run them are reached, or
// not, as stock reaches them.
func TestDriversOutOfReach(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n"), bed.Text("kubeconfig", `{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
		"users": [{"name": "u", "user": {"token": "t"}}]
	}`))
	env := []string{"BUILDX_CONFIG=" + t.TempDir(), "KUBECONFIG=" + kubeconfig}
	create := func(name string, args ...string) {
		b.Docker(t, dir, env, append([]string{"buildx", "create", "--name", name, "--driver"}, args...)...).MustSucceed(t)
	}
	create("cluster", "kubernetes")
	create("far", "remote", "tcp://127.0.0.1:1")
	stock := b.Docker(t, dir, env, "buildx", "build", "--builder", "cluster", ".")
	relink := b.Docker(t, dir, env, "relink", "build", "--builder", "cluster", ".")
	if relink.Code == 0 || relink.Code != stock.Code || errorsOf(relink) != errorsOf(stock) {
		t.Errorf("exit code %d, want %d\n%s\nwant\n%s", relink.Code, stock.Code, relink.Stderr, stock.Stderr)
	}
	far := b.Docker(t, dir, env, "relink", "build", "--builder", "far", ".")
	if said := errorsOf(far); far.Code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "127.0.0.1:1") {
		t.Errorf("exit code %d\n%s", far.Code, far.Stderr)
	}
}

// A policy holds for every command, for a rebase also where no builder is needed.
func TestPolicyHolds(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "policy")
	app, onto := r.ref("app:1"), r.ref("base:2")
	builder := "--builder=" + r.bed.NewBuilder(t).Name
	env := []string{"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" +
		sourcePolicy(t, `{"action": "DENY", "selector": {"identifier": "docker-image://`+onto+`"}}`)}
	for _, args := range [][]string{
		{"rebase", app, "--onto", onto, "--push", "-t", r.ref("denied:1")},
		{"rebase", app, "--onto", onto, "--push", "-t", r.ref("denied:1"), builder},
		{"rebase", onto, "--onto", app, "--from", app, "--dry-run"},
		{"squash", onto, "--base", app, "--push", "-t", r.ref("denied:1")},
		{"diff-build", app + ".." + onto},
		{"diff-build", onto + ".." + app, "--push", "-t", r.ref("denied:1")},
	} {
		wantRefused(t, r.bed.Docker(t, "", env, append([]string{"relink"}, args...)...), "denied by policy")
		if r.bed.Exists(t, r.ref("denied:1")) {
			t.Fatalf("%q pushed an image", args)
		}
	}
}

// TestCompletion asks for what a shell offers: stock's own, and what relink adds.
func TestCompletion(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	offered := func(plugin string, args ...string) []string {
		out := b.Docker(t, "", nil, append([]string{"__complete", plugin}, args...)...).MustSucceed(t).Stdout
		var words []string
		for line := range strings.Lines(out) {
			if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); word != "" && !strings.HasPrefix(word, ":") {
				words = append(words, word)
			}
		}
		return words
	}
	for _, args := range [][]string{{"build", "--"}, {"bake", "--"}, {"build", "--progress", ""}} {
		ours := offered("relink", args...)
		for _, word := range offered("buildx", args...) {
			if !slices.Contains(ours, word) {
				t.Errorf("after %q, %s is not offered", args, word)
			}
		}
	}
	if got, want := offered("relink", "build", "--link", ""), []string{"auto", "strict", "always", "never"}; !slices.Equal(got, want) {
		t.Errorf("the link modes that are offered are %q, want %q", got, want)
	}
	for _, command := range []string{"build", "bake", "rebase", "squash", "diff-build", "builder", "version"} {
		if !slices.Contains(offered("relink", ""), command) {
			t.Errorf("%s is not offered", command)
		}
	}
}
