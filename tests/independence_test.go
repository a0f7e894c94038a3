package tests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// Ten copies from ten stages: a change of one is a change of one layer, on a
// builder that has nothing but what a cache brings.
func TestIndependence(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("independence/base:1")
	factBase(t, b, base)
	for name, kind := range map[string]string{"inline": "inline", "min": "min", "max": "max", "strict": "inline"} {
		// One after the other: their layers are the same, and what is pushed is
		// accounted for by digest.
		t.Run(name, func(t *testing.T) {
			ref := b.Registry.Ref("independence/" + name + ":1")
			m := newMachine(t, b)
			dir := tenCopies(t, b, base, 0)
			to, from := caching(kind, ref)
			args := []string{"--cache-to", to}
			if name == "strict" {
				args = append(args, "--link=strict")
			}
			m.relink(t, dir, ref, args...)
			before := b.Image(t, ref, "").Layers()

			m.newBuilder(t)
			changed := tenCopies(t, b, base, 3)
			mark := b.Registry.Mark(t)
			r := m.relink(t, changed, ref+"b", append(args, "--cache-from", from)...)
			after := b.Image(t, ref+"b", "").Layers()
			if len(after) != len(before) {
				t.Fatalf("%d layers, before %d", len(after), len(before))
			}
			var differ []int
			for i := range after {
				if after[i] != before[i] {
					differ = append(differ, i)
				}
			}
			if len(differ) != 1 {
				t.Errorf("the layers %v have changed, want one\n%s", differ, r.Stderr)
			}
			for _, digest := range b.Registry.Pushed(t, mark) {
				if slices.Contains(before, digest) {
					t.Errorf("the layer %s was pushed again", digest)
				}
			}
			if n := runs(r); n != 1 {
				t.Errorf("%d commands were run, want one\n%s", n, r.Stderr)
			}
			wantStock(t, m, changed, ref+"b")
		})
	}
}

// Another instruction, with another look at the base, leaves the layers of the others
// where they are in a cache.
func TestAnotherInstruction(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base, ref := b.Registry.Ref("another/base:1"), b.Registry.Ref("another/app:1")
	factBase(t, b, base)
	m := newMachine(t, b)
	const first, more = "WORKDIR /srv/app\nCOPY --from=build /out/app /usr/bin/\nCOPY conf .\nCOPY etc/ /etc/app/\n", "COPY --chown=app conf /home/app/\n"
	m.build(t, "relink", factContext(t, b, base, first), ref).MustSucceed(t)
	before := b.Image(t, ref, "").Layers()

	m.newBuilder(t)
	dir := factContext(t, b, base, more+first)
	r := m.build(t, "relink", dir, ref+"b", "--cache-from", ref).MustSucceed(t)
	after := b.Image(t, ref+"b", "").Layers()
	if want := slices.Insert(slices.Clone(before), 1, after[1]); !slices.Equal(after, want) {
		t.Errorf("layers %q, want %q\n%s", after, want, r.Stderr)
	}
	wantNoRun(t, r)
	wantStock(t, m, dir, ref+"b")
}

func (m *machine) relink(t *testing.T, dir, ref string, args ...string) bed.Result {
	t.Helper()
	args = append([]string{"build", "--push", "-t", ref}, args...)
	return m.bed.Plugin(t, dir, m.env, "relink", append(args, ".")...).MustSucceed(t)
}

// tenCopies is a context whose third stage's input has the given content.
func tenCopies(t *testing.T, b *bed.Bed, base string, content int) string {
	t.Helper()
	// One name for both versions: buildx takes contexts of one name for
	// versions of one.
	dir := filepath.Join(t.TempDir(), "ten")
	var stages, copies strings.Builder
	files := []bed.File{bed.Dir(".", 0o755)}
	for i := range 10 {
		n := 0
		if i == 3 {
			n = content
		}
		files = append(files, bed.Text(fmt.Sprint("in", i), strings.Repeat("x", n+1)))
		fmt.Fprintf(&stages, "FROM %s AS s%d\nCOPY in%d /in\nRUN cat /in > /out%d && echo done\n", b.Base(t, "busybox"), i, i, i)
		fmt.Fprintf(&copies, "COPY --from=s%d /out%d /usr/local/bin/\n", i, i)
	}
	bed.WriteFiles(t, dir, append(files, bed.Text("Dockerfile", stages.String()+"FROM "+base+"\n"+copies.String()))...)
	return dir
}

// runs counts the commands that a build ran.
func runs(r bed.Result) int {
	n := 0
	for line := range strings.Lines(r.Stderr) {
		number, rest, _ := strings.Cut(line, " ")
		if strings.HasPrefix(rest, "[s") && strings.Contains(rest, "] RUN ") && strings.Contains(r.Stderr, "\n"+number+" DONE") {
			n++
		}
	}
	return n
}

func TestExplain(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("explain/base:1")
	baseImage := factBase(t, b, base)
	app := b.Registry.Ref("explain/app:1")
	dir := factContext(t, b, base, factTail+"COPY conf /bin/conf\n")
	m := newMachine(t, b)
	mark := b.Registry.Mark(t)
	r := m.build(t, "relink", dir, app, "--explain").MustSucceed(t)
	for _, want := range []string{"to be read", "/bin/conf", "WORKDIR /srv/app", "STAGE", "target"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("the plan does not say %q:\n%s", want, r.Stdout)
		}
	}
	wantNothingPulled(t, b, mark, baseImage)
	if b.Exists(t, app) {
		t.Error("an image was pushed")
	}

	m.build(t, "relink", dir, app).MustSucceed(t)
	r = m.build(t, "relink", dir, app, "--explain", "--format", "json").MustSucceed(t)
	for _, want := range []string{`"/usr/bin/conf"`, `"evidence": "proved"`, `"group": `, `"use": "target"`} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("the plan does not say %s:\n%s", want, r.Stdout)
		}
	}
	if r := m.build(t, "relink", dir, app, "--explain", "--format", "yaml"); r.Code == 0 || !strings.Contains(r.Stderr, `invalid format "yaml"`) {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}
}

// What WORKDIR makes upon nothing comes from a cache as well: it is made again nowhere, so
// that its layer stays the same.
func TestWorkdirFromCache(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("workdir/base:1")
	factBase(t, b, base)
	dir := factContext(t, b, base, "WORKDIR /srv/app\nCOPY conf .\n")
	for _, kind := range []string{"inline", "min", "max"} {
		ref := b.Registry.Ref("workdir/" + kind + ":1")
		to, from := caching(kind, ref)
		m := newMachine(t, b)
		m.relink(t, dir, ref, "--cache-to", to)
		before := b.Image(t, ref, "").Layers()
		m.newBuilder(t)
		r := m.relink(t, dir, ref+"b", "--cache-from", from)
		if after := b.Image(t, ref+"b", "").Layers(); !slices.Equal(after, before) {
			t.Errorf("%s: layers %q, want %q\n%s", kind, after, before, r.Stderr)
		}
	}
}

// caching has an image's build keep a cache, of the kind "inline", "min" or "max", and
// another build read it.
func caching(kind, ref string) (to, from string) {
	if kind == "inline" {
		return "type=inline", "type=registry,ref=" + ref
	}
	return "type=registry,mode=" + kind + ",ref=" + ref + "-cache", "type=registry,ref=" + ref + "-cache"
}
