package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// The command by each of its names.
func TestDiffNames(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "names")
	sides := d.one + ".." + d.two
	want := d.bed.Docker(t, "", nil, "relink", "diff-build", sides).MustSucceed(t).Stdout
	if !strings.Contains(want, "C /app/both") {
		t.Fatalf("the list is\n%s", want)
	}

	t.Run("docker diffbuild", func(t *testing.T) {
		if r := d.bed.Docker(t, "", nil, "diffbuild", sides).MustSucceed(t); r.Stdout != want {
			t.Errorf("the list is\n%s", r.Stdout)
		}
		if r := d.bed.Docker(t, "", nil, "diffbuild", "--builder", d.bed.Builder.Name, "--format", "{{.Path}}", sides).MustSucceed(t); !strings.Contains(r.Stdout, "/app/both\n") {
			t.Errorf("with flags the list is\n%s", r.Stdout)
		}
		if r := d.bed.Docker(t, "", nil, "diffbuild", "--help").MustSucceed(t); !strings.Contains(r.Stdout, "docker diffbuild [OPTIONS] [LOWER..UPPER] [PATH]") {
			t.Errorf("the help is\n%s", r.Stdout)
		}
	})

	dir := t.TempDir()
	for _, name := range []string{"docker-diff-build", "docker"} {
		program := map[string]string{"docker-diff-build": "bin/docker-relink", "docker": ".cache/bin/docker"}[name]
		if err := os.Symlink(filepath.Join(bed.Root(), program), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(d.bed.Env(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.Output()
		return string(out), err
	}
	t.Run("docker-diff-build", func(t *testing.T) {
		if got, err := run(filepath.Join(dir, "docker-diff-build"), sides); err != nil || got != want {
			t.Errorf("the list is (%v)\n%s", err, got)
		}
	})
	t.Run("shell function", func(t *testing.T) {
		script := fmt.Sprintf(`eval "$(docker relink shell-init bash)" && docker diff-build '%s' && docker version --format '{{.Client.Version}}' 2>/dev/null
docker no-such-command "two words" && exit 1
docker diff-build --exit-code '%[1]s' >/dev/null; echo "exit code $?"`, sides)
		got, err := run("bash", "-uc", script)
		if err != nil || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "exit code 1\n") {
			t.Errorf("the script printed (%v)\n%s", err, got)
		}
		version, _ := run(filepath.Join(dir, "docker"), "version", "--format", "{{.Client.Version}}")
		if version == "" || !strings.Contains(got, version) {
			t.Errorf("docker version is not what it was:\n%s\nwant\n%s", got, version)
		}
	})
	t.Run("shells", func(t *testing.T) {
		for _, shell := range []string{"bash", "zsh", "fish"} {
			if r := d.bed.Docker(t, "", nil, "relink", "shell-init", shell).MustSucceed(t); !strings.Contains(r.Stdout, "relink diff-build") {
				t.Errorf("for %s it prints %q", shell, r.Stdout)
			}
		}
		if r := d.bed.Docker(t, "", nil, "relink", "shell-init", "csh"); r.Code == 0 || !strings.Contains(r.Stderr, "bash, fish, zsh") {
			t.Errorf("for csh it prints %q, exit code %d", r.Stderr, r.Code)
		}
	})
}

// Bad input is one clear error, and nothing is pushed.
func TestDiffBadInput(t *testing.T) {
	t.Parallel()
	d := newDiffImages(t, "bad")
	dir := filepath.Join(t.TempDir(), "diffbad")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Dir("empty", 0o755), bed.Text("Dockerfile", "FROM "+d.base+" AS first\nFROM first\nFROM first AS second\n"))
	tag := d.bed.Registry.Ref("diff/bad-out:1")
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"first..secnod", "."}, []string{`"secnod" is neither`, "Did you mean second?"}},
		{[]string{"third..second", "."}, []string{`"third" is neither`, "first, second"}},
		{[]string{"first..1", "."}, []string{"stage 1 has no name", "AS name"}},
		{[]string{"UPPER case..second", "."}, []string{`"UPPER case"`}},
		{[]string{"first..second..first", "."}, []string{"is not a range", "LOWER..UPPER"}},
		{[]string{"first", "."}, []string{"is not a range"}},
		{[]string{"first..second", ".", "more"}, []string{"at most 2 arguments"}},
		{[]string{"--format", "xml", "."}, []string{`invalid format "xml"`, "list, table, json"}},
		{[]string{"--format", "{{.Nothing}}", "first..second"}, nil},
		{[]string{"--format", "{{.Nothing}}", d.base + ".." + d.two}, []string{"Nothing"}},
		{[]string{"--format", "{{.Path", d.base + ".." + d.two}, []string{"template"}},
		{[]string{"--bake-file", "-", "."}, []string{"stdin"}},
		{[]string{"--tree", "--stat", "."}, []string{"more than one way"}},
		{[]string{"--flatten", "."}, []string{"--flatten", "-o dir"}},
		{[]string{"--stat", "--push", "-t", tag, "."}, []string{"to be built, not to be shown"}},
		{[]string{"--push", "-t", tag, "first..secnod", "."}, []string{"Did you mean second?"}},
		{[]string{"--content", "/etc/chagned", d.base + ".." + d.two}, []string{"has a file /etc/chagned", "Did you mean /etc/changed?"}},
		{[]string{"--content", "/type", d.base + ".." + d.two}, []string{"no file"}},
		{[]string{"--platform", "linux/s390x", d.base + ".." + d.two}, []string{"s390x"}},
		{[]string{".." + d.base}, []string{"the base of", "is not known", "BASE.."}},
		{[]string{"oci-layout://none.." + d.base}, []string{"none"}},
		{[]string{"../none"}, []string{"../none"}},
		{[]string{"--build-arg", "RELINK_DIFF_PARTS=some", "--push", "-t", tag, "."}, []string{"RELINK_DIFF_PARTS", "own"}},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			r := d.bed.Docker(t, dir, nil, append([]string{"relink", "diff-build"}, tc.args...)...)
			if tc.want == nil {
				// The list is empty, so the template is not run.
				if r.Code != 0 {
					t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
				}
				return
			}
			if r.Code == 0 || r.Stdout != "" {
				t.Errorf("exit code %d, on stdout %q", r.Code, r.Stdout)
			}
			for _, want := range tc.want {
				if !strings.Contains(r.Stderr, want) {
					t.Errorf("the error does not say %q:\n%s", want, r.Stderr)
				}
			}
		})
	}
	r := d.bed.Docker(t, filepath.Join(dir, "empty"), nil, "relink", "diff-build")
	if r.Code == 0 || !strings.Contains(r.Stderr, "there is no Dockerfile here") {
		t.Errorf("without a Dockerfile: exit code %d\n%s", r.Code, r.Stderr)
	}
	if d.bed.Exists(t, tag) {
		t.Error("something was pushed")
	}
}

// On a terminal the list is in colours and goes through the user's pager.
func TestDiffOnTerminal(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("script"); err != nil {
		t.Fatalf("the terminal is made by script of the package bsdutils: %v", err)
	}
	d := newDiffImages(t, "terminal")
	dir := t.TempDir()
	run := func(env []string, args ...string) string {
		t.Helper()
		words := append([]string{filepath.Join(bed.Root(), "bin", "docker-relink"), "diff-build", "--progress=plain"}, args...)
		cmd := exec.CommandContext(t.Context(), "script", "-qec", strings.Join(append(words, d.one+".."+d.two), " ")+" 2>/dev/null", "/dev/null")
		cmd.Dir, cmd.Env = dir, append(d.bed.Env(), append(env, "TERM=xterm")...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	const green = "\x1b[32mA /app/upper (+2B)\x1b[0m"
	if out := run([]string{"PAGER=cat"}); !strings.Contains(out, green) {
		t.Errorf("the list has no colours:\n%q", out)
	}
	if out := run([]string{"PAGER=cat", "NO_COLOR=1"}); !strings.Contains(out, "A /app/upper") || strings.Contains(out, "\x1b[32m") {
		t.Errorf("with NO_COLOR the list is\n%q", out)
	}
	paged := filepath.Join(dir, "paged")
	if out := run([]string{"PAGER=tee " + paged}); !strings.Contains(out, green) {
		t.Errorf("the pager printed\n%q", out)
	}
	if text, err := os.ReadFile(paged); err != nil || !strings.Contains(string(text), green) {
		t.Errorf("the pager has got %q (%v)", text, err)
	}
	if err := os.Remove(paged); err != nil {
		t.Fatal(err)
	}
	run([]string{"PAGER=tee " + paged}, "--no-pager")
	if _, err := os.Stat(paged); err == nil {
		t.Error("--no-pager has used the pager")
	}
	// A pager that is left before the end is no error.
	run([]string{"RELINK_PAGER=head -n 1", "PAGER=false"})
}
