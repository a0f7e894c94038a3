package tests

import (
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// attributed is a file with extended attributes, of which BuildKit writes none into
// a layer.
func attributed(name string, attributes ...string) bed.File {
	f := bed.Text(name, name)
	f.Xattrs = map[string]string{}
	for _, a := range attributes {
		f.Xattrs[a] = "of " + name
	}
	return f
}

// asDir makes a directory of a file.
func asDir(f bed.File) bed.File {
	f.Dir, f.Content = true, ""
	return f
}

// keeping are stacks of layers on a base of one, some of which BuildKit cannot write
// again.
var keeping = []struct {
	name string
	base []bed.File
	own  [][]bed.File
	args []string // besides what names the base
	// want are the layers of the result: the number of a layer that stays, counted
	// from 1, or 0 for one that was made.
	want []int
	says []string
}{
	{
		name: "between", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{bed.Text("a", "1")}, {bed.Text("a", "2"), bed.Text("b", "1")}, {bed.Text("b", "2"), attributed("x", "user.x"), asDir(attributed("d", "user.y", "user.x"))}, {bed.Text("c", "1"), bed.Text(".wh.a", "")}, {bed.Text("c", "2")}},
		want: []int{1, 0, 4, 0},
		says: []string{"layer 4 is kept as it is: BuildKit cannot write the extended attributes of 2 paths, the first of them /d (user.x, user.y)", "layers after: 4 (", "pushed with 4 layers"},
	},
	{
		name: "beside one layer", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{bed.Text("a", "1")}, {attributed("x", "user.x")}, {bed.Text("c", "1"), bed.Text("base", "2")}, {bed.Text("c", "2"), bed.Text(".wh.base", "")}},
		want: []int{1, 2, 3, 0},
		says: []string{"layer 3 is kept as it is: BuildKit cannot write the extended attributes of /x (user.x)"},
	},
	{
		name: "all that there is", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{bed.Text("a", "1")}, {attributed("x", "trusted.x")}},
		want: []int{1, 2, 3},
		says: []string{"nothing to squash: ", "layer 3 is kept as it is", "trusted.x"},
	},
	{
		name: "first and last", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{attributed("x", "user.x")}, {bed.Text("a", "1")}, {bed.Text("a", "2")}, {bed.Text("b", "1"), attributed("x", "user.y")}},
		want: []int{1, 2, 0, 5},
	},
	{
		name: "taken away again", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{attributed("x", "user.x")}, {bed.Text(".wh.x", ""), bed.Text("a", "1")}},
		want: []int{1, 0},
	},
	{
		name: "of the base", base: []bed.File{attributed("x", "user.x"), attributed("same", "user.x"), asDir(attributed("d", "user.y"))},
		own:  [][]bed.File{{bed.Text("x", "x")}, {bed.Text("a", "1")}, {bed.Text("a", "2")}, {asDir(attributed("d", "user.y")), bed.Text("d/f", "1")}},
		want: []int{1, 2, 0, 5},
		says: []string{"layer 2 is kept", "layer 5 is kept"},
	},
	{
		name: "leaves nothing", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{attributed("x", "user.x")}, {bed.Text("a", "1")}, {bed.Text(".wh.a", "")}},
		want: []int{1, 2},
	},
	{
		name: "nothing but attributes", base: []bed.File{bed.Text("base", "1"), attributed("taken", "user.x"), bed.Dir("d", 0o755), bed.Text("d/f", "d/f"), bed.Text("d/g", "d/g")},
		own:  [][]bed.File{{bed.Text("a", "1")}, {attributed("d/f", "user.x")}, {bed.Text("a", "2")}, {attributed("d/g", "trusted.x")}, {bed.Text("taken", "taken")}},
		want: []int{1, 2, 3, 4, 5, 6}, // The last one is one layer.
		says: []string{"layer 3 is kept as it is", "layer 5 is kept as it is: BuildKit cannot write the extended attributes of /d/g (trusted.x)", "nothing to squash"},
	},
	{
		name: "times", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{bed.Text("a", "1")}, {bed.Text("a", "2")}, {{Path: "t", ModTime: early.Add(1500)}}},
		want: []int{1, 0, 4},
		says: []string{"layer 4 is kept as it is: BuildKit cannot write the fractions of a second of the times of /t"},
	},
	{
		name: "another name stays", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{bed.Text("a", "1")}, {{Path: "t", ModTime: early.Add(1)}, {Path: "u", Hardlink: "t"}, attributed("x", "user.x"), {Path: "y", Hardlink: "x"}}, {bed.Text("t", "2"), bed.Text(".wh.x", "")}, {bed.Text("a", "2")}},
		want: []int{1, 2, 3, 0},
	},
	{
		name: "hard links of odd names", base: []bed.File{bed.Dir("d", 0o755), bed.Text("d/a", "1"), bed.Text("other", "1")},
		own: [][]bed.File{
			{bed.Text("b", "1")}, {bed.Text("b", "2")},
			{bed.Dir("d", 0o755), bed.Text("d/a", "1"), {Path: "a\xff", Hardlink: "d/a"}},
			{bed.Dir("d", 0o755), bed.Text("other", "1"), {Path: "d/other", Hardlink: "other"}}, {bed.Text("b", "3")},
		},
		want: []int{1, 0, 4, 0},
		says: []string{`layer 4 is kept as it is: BuildKit cannot write the hard links of "/a\xff"`},
	},
	{
		name: "the root directory", base: []bed.File{bed.Text("base", "1")},
		own:  [][]bed.File{{bed.Text("a", "1")}, {bed.Text("a", "2")}, {bed.Dir(".", 0o1700).OwnedBy(3, 4)}, {bed.Text("b", "1")}, {bed.Text("b", "2")}},
		want: []int{1, 0, 4, 0},
		says: []string{"layer 4 is kept as it is: BuildKit cannot write the mode and owner of the root directory"},
	},
	{
		name: "from the first on", base: []bed.File{bed.Text("base", "1"), attributed("x", "user.x"), bed.Dir(".", 0o711)},
		own: [][]bed.File{{bed.Text("a", "1")}, {bed.Text("a", "2")}, {attributed("y", "user.y")}}, args: []string{"--all"},
		want: []int{1, 0, 4},
		says: []string{"layer 1 is kept as it is: BuildKit cannot write the mode and owner of the root directory and the extended attributes of /x (user.x)"},
	},
	{
		name: "all below", base: []bed.File{bed.Text("base", "1")},
		own: [][]bed.File{{bed.Text("a", "1")}, {attributed("y", "user.y")}, {bed.Text("b", "1")}}, args: []string{"--all"},
		want: []int{0, 3, 4},
	},
	{
		name: "from a layer", base: []bed.File{attributed("x", "user.x")},
		own: [][]bed.File{{bed.Text("a", "1")}, {bed.Text("b", "1")}, {bed.Text("c", "1")}}, args: []string{"--from-layer", "3"},
		want: []int{1, 2, 0},
	},
}

// TestSquashKeepsLayers squashes around the layers that BuildKit cannot write again.
func TestSquashKeepsLayers(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "kept")
	for _, k := range keeping {
		t.Run(k.name, func(t *testing.T) {
			tag := ":" + slug(k.name)
			r.push(t, "base"+tag, nil, k.base)
			r.push(t, "app"+tag, nil, append([][]bed.File{k.base}, k.own...)...)
			if k.args == nil {
				k.args = []string{"--base", r.ref("base" + tag)}
			}
			result := r.squash(t, append(k.args, r.ref("app"+tag), "--provenance=false", "--push", "-t", r.ref("out"+tag))...).MustSucceed(t)
			was, is := r.bed.Image(t, r.ref("app"+tag), ""), r.bed.Image(t, r.ref("out"+tag), "")
			wantSameTree(t, was, is)
			wantValid(t, r.ref("out"+tag))
			if got := origins(was.Layers(), is.Layers()); !slices.Equal(got, k.want) {
				t.Errorf("the layers are %v, want %v", got, k.want)
			}
			for _, want := range k.says {
				if !strings.Contains(result.Stderr, want) {
					t.Errorf("the report does not say %q", want)
				}
			}
			if t.Failed() {
				t.Log(result.Stderr)
			}
		})
	}
	t.Run("again", func(t *testing.T) {
		// What the first squash left on the builder must not be taken for the image.
		r.squash(t, r.ref("app:between"), "--base", r.ref("base:between"), "--provenance=false", "--push", "-t", r.ref("again:1")).MustSucceed(t)
		builder := r.bed.NewBuilder(t)
		r.squash(t, r.ref("app:between"), "--builder", builder.Name, "--base", r.ref("base:between"), "--provenance=false", "--push", "-t", r.ref("again:2")).MustSucceed(t)
		if left := r.bed.Docker(t, "", nil, "buildx", "du", "--builder", builder.Name, "--filter", `description~="^.squash. what "`, "--format", "{{.Description}}").MustSucceed(t).Stdout; left != "" {
			t.Errorf("the builder still has\n%s", left)
		}
		want := r.bed.Image(t, r.ref("out:between"), "").Digest
		for _, tag := range []string{"again:1", "again:2"} {
			if got := r.bed.Image(t, r.ref(tag), "").Digest; got != want {
				t.Errorf("%s is %s, want %s", tag, got, want)
			}
		}
		r.build(t, "buildx", "upon:1", "FROM "+r.ref("out:between")+"\nCOPY file /upon\n").MustSucceed(t)
		is := r.bed.Image(t, r.ref("upon:1"), "")
		delete(is.Tree, "/upon")
		for _, diff := range bed.Compare(r.bed.Image(t, r.ref("app:between"), ""), is) {
			if strings.HasPrefix(diff, "/") {
				t.Error(diff)
			}
		}
	})
	t.Run("a build", func(t *testing.T) {
		dockerfile := "FROM " + r.ref("base:of-the-base") + "\nCOPY file /1\nCOPY file /2\n"
		const unwritten = "BuildKit cannot write the extended attributes of 3 paths, the first of them /d (user.x, user.y)"
		if result := r.build(t, "relink", "built:1", dockerfile, "--squash").MustSucceed(t); strings.Contains(result.Stderr, unwritten) {
			t.Errorf("the report speaks of what is in the base:\n%s", result.Stderr)
		}
		if result := r.build(t, "relink", "built:2", dockerfile, "--squash=all").MustSucceed(t); !strings.Contains(result.Stderr, "the base's layers are kept as they are: "+unwritten) {
			t.Errorf("the report does not say %q:\n%s", unwritten, result.Stderr)
		}
		r.build(t, "buildx", "built:3", dockerfile).MustSucceed(t)
		base, stock, all := r.bed.Image(t, r.ref("base:of-the-base"), ""), r.bed.Image(t, r.ref("built:3"), ""), r.bed.Image(t, r.ref("built:2"), "")
		wantSameTree(t, stock, all)
		if got, want := len(all.Layers()), len(base.Layers())+1; got != want || !slices.Equal(all.Layers()[:want-1], base.Layers()) {
			t.Errorf("layers %q, want one on %q", all.Layers(), base.Layers())
		}
		r.squash(t, r.ref("built:3"), "--all", "--provenance=false", "--push", "-t", r.ref("built:4")).MustSucceed(t)
		wantSameTree(t, r.bed.Image(t, r.ref("built:3"), ""), r.bed.Image(t, r.ref("built:4"), ""))
	})
	t.Run("history", func(t *testing.T) {
		var got []string
		for _, h := range r.bed.Image(t, r.ref("out:between"), "").Config.History {
			got = append(got, h.CreatedBy)
		}
		was := r.bed.Image(t, r.ref("app:between"), "").Config.History
		on := " on " + r.ref("base:between")
		if want := []string{was[0].CreatedBy, "squash layers 2 to 3" + on, was[3].CreatedBy, "squash layers 5 to 6" + on}; !slices.Equal(got, want) {
			t.Errorf("the history is %q, want %q", got, want)
		}
	})
}

// origins are the places that the layers of an image have in another, counted from
// 1; 0 for those that it does not have.
func origins(was, is []string) []int {
	out := make([]int, len(is))
	for i, layer := range is {
		out[i] = slices.Index(was, layer) + 1
	}
	return out
}

// TestSquashLayouts squashes an image of an OCI layout on the disk. Its layers are read
// on the builder only.
func TestSquashLayouts(t *testing.T) {
	t.Parallel()
	r := newSquashRepo(t, "layouts")
	base, own := hazardLayers()
	base = slices.DeleteFunc(base, func(f bed.File) bool { return strings.Contains(f.Path, "elsewhere") })
	for i := range own {
		own[i] = slices.DeleteFunc(own[i], func(f bed.File) bool { return strings.Contains(f.Path, "elsewhere") })
	}
	r.push(t, "base:1", nil, base)
	r.push(t, "app:1", nil, append([][]bed.File{base}, own...)...)
	dir := t.TempDir()
	app, from := writeLayout(t, dir, r.ref("app:1")), writeLayout(t, dir, r.ref("base:1"))
	for tag, args := range map[string][]string{"registry:1": {"--base", r.ref("base:1")}, "layout:1": {"--base", from}, "layer:1": {"--from-layer", "2"}} {
		result := r.squash(t, append(args, app, "--provenance=false", "--push", "-t", r.ref(tag))...).MustSucceed(t)
		r.wantSquashed(t, "app:1", tag, 1)
		if !strings.Contains(result.Stderr, "the layers could not be read (there is no registry to read them from)") {
			t.Errorf("the report does not say what was not looked for:\n%s", result.Stderr)
		}
	}
	r.squash(t, app, "--all", "--provenance=false", "--push", "-t", r.ref("all:1")).MustSucceed(t)
	r.wantSquashed(t, "app:1", "all:1", 0)

	r.push(t, "odd:1", nil, []bed.File{bed.Text("a", "1")}, []bed.File{bed.Text("a", "2")}, []bed.File{attributed("x", "user.x"), attributed("y", "user.x")}, []bed.File{bed.Text(".wh.y", "")}, []bed.File{bed.Text("a", "3")})
	r.squash(t, writeLayout(t, dir, r.ref("odd:1")), "--from-layer", "2", "--provenance=false", "--push", "-t", r.ref("odd:2")).MustSucceed(t)
	was, is := r.bed.Image(t, r.ref("odd:1"), ""), r.bed.Image(t, r.ref("odd:2"), "")
	wantSameTree(t, was, is)
	if got := origins(was.Layers(), is.Layers()); !slices.Equal(got, []int{1, 2, 3, 0}) {
		t.Errorf("the layers are %v", got)
	}
}
