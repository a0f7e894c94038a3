package changes

import (
	"archive/tar"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// layerOf makes a layer of lines "path", "path=content", "path/", "path->target",
// "path=>hard link", with ":mode" behind.
func layerOf(t *testing.T, lines ...string) Layer {
	t.Helper()
	layer, err := ReadLayer(bytes.NewReader(tarOf(t, lines...)))
	if err != nil {
		t.Fatal(err)
	}
	// As it is remembered, it is the same.
	var text bytes.Buffer
	if err := layer.Encode(&text); err != nil {
		t.Fatal(err)
	}
	if layer, err = DecodeLayer(&text); err != nil {
		t.Fatal(err)
	}
	return layer
}

func tarOf(t *testing.T, lines ...string) []byte {
	t.Helper()
	var data bytes.Buffer
	out := tar.NewWriter(&data)
	for _, line := range lines {
		h := &tar.Header{Mode: 0o644, Typeflag: tar.TypeReg}
		if what, mode, ok := strings.Cut(line, ":"); ok {
			line = what
			if _, err := fmt.Sscanf(mode, "%o", &h.Mode); err != nil {
				t.Fatal(err)
			}
		}
		content := ""
		if name, target, ok := strings.Cut(line, "=>"); ok {
			h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeLink
		} else if name, target, ok := strings.Cut(line, "->"); ok {
			h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeSymlink
		} else if name, is := strings.CutSuffix(line, "/"); is {
			h.Name, h.Typeflag = name+"/", tar.TypeDir
		} else {
			h.Name, content, _ = strings.Cut(line, "=")
			h.Size = int64(len(content))
		}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

func brief(list []Change) []string {
	var out []string
	for _, c := range list {
		s := fmt.Sprintf("%s %s", c.Kind, c.Path)
		for _, w := range c.What {
			s += " " + string(w)
		}
		if c.Size != 0 {
			s += fmt.Sprintf(" %+d", c.Size)
		}
		if c.Assumed {
			s += " ?"
		}
		out = append(out, s)
	}
	return out
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		name                string
		base, lower, upper  []string
		known, aboveUnknown []string
	}{
		{name: "nothing"},
		{
			name: "a file that is new, or takes the place of one below",
			base: []string{"etc/", "etc/a=1"}, upper: []string{"etc/", "etc/a=22", "etc/b=1"},
			known:        []string{"C /etc/a content +1", "A /etc/b +1"},
			aboveUnknown: []string{"A /etc/a +2 ?", "A /etc/b +1 ?"},
		},
		{
			name: "the same content again is no change",
			base: []string{"a=1"}, upper: []string{"a=1"},
			aboveUnknown: []string{"A /a +1 ?"},
		},
		{
			name: "deleted", base: []string{"d/", "d/a=1", "d/b/", "d/b/c=22", "e=1"}, upper: []string{".wh.d", ".wh.e"},
			known: []string{"D /d -3", "D /e -1"}, aboveUnknown: []string{"D /d", "D /e"},
		},
		{
			name: "deleted below, and there above", base: []string{"e=1"}, lower: []string{".wh.e"},
			known: []string{"A /e +1"}, aboveUnknown: []string{"A /e"},
		},
		{
			name: "deleted on both sides", base: []string{"e=1"}, lower: []string{".wh.e"}, upper: []string{".wh.e"},
		},
		{
			name: "both sides have it", base: []string{"a=0"}, lower: []string{"a=1"}, upper: []string{"a=2:600"},
			known: []string{"C /a content mode"}, aboveUnknown: []string{"C /a content mode"},
		},
		{
			name: "a directory made anew", base: []string{"d/", "d/a=1"}, upper: []string{"d/", "d/.wh..wh..opq", "d/b=2"},
			known: []string{"D /d/a -1", "A /d/b +1"}, aboveUnknown: []string{"C /d ?", "A /d/b +1 ?"},
		},
		{
			name: "a directory becomes a file", base: []string{"d/", "d/a=1"}, upper: []string{"d=file"},
			known: []string{"C /d type +3"}, aboveUnknown: []string{"A /d +4 ?"},
		},
		{
			name: "a file becomes a directory", base: []string{"d=file"}, upper: []string{"d/:755", "d/a=1"},
			known: []string{"C /d type mode -4", "A /d/a +1"}, aboveUnknown: []string{"A /d/a +1 ?"},
		},
		{
			name: "links", base: []string{"a->x", "b=1"}, upper: []string{"a->y", "c=1", "d=>c"},
			known: []string{"C /a link", "A /c +1", "A /d +1"}, aboveUnknown: []string{"A /a ?", "A /c +1 ?", "A /d +1 ?"},
		},
		{
			name: "what a layer hides under a file is not there", base: []string{"d/", "d/a=1"}, lower: []string{"d=file"}, upper: []string{"d=file"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lower, upper := layerOf(t, tt.lower...), layerOf(t, tt.upper...)
			for _, below := range []struct {
				tree *Tree
				want []string
			}{{NewTree(layerOf(t, tt.base...)), tt.known}, {NewTreeAbove(), tt.aboveUnknown}} {
				list := Compare(below.tree.With(lower), below.tree.With(upper))
				if got := brief(list); !slices.Equal(got, below.want) {
					t.Errorf("got %q, want %q", got, below.want)
				}
				if back := Compare(below.tree.With(upper), below.tree.With(lower)); len(back) == 0 != (len(list) == 0) {
					t.Errorf("the other way round it is %q", brief(back))
				}
			}
		})
	}
}

// A tree is not changed by what is put on it.
func TestWithLeavesTheTree(t *testing.T) {
	base := NewTree(layerOf(t, "d/", "d/a=1"))
	_ = base.With(layerOf(t, ".wh.d", "b=1"))
	if got := Compare(NewTree(layerOf(t, "d/", "d/a=1")), base); len(got) != 0 {
		t.Errorf("the tree has changed: %q", brief(got))
	}
}

func TestReadTrees(t *testing.T) {
	trees, err := ReadTrees(bytes.NewReader(tarOf(t, "lower/", "lower/a=1", "lower/.wh.x=1", "upper/", "upper/a=1", "upper/b=>upper/a")))
	if err != nil {
		t.Fatal(err)
	}
	got := brief(Compare(NewTree(trees["lower"]), NewTree(trees["upper"])))
	if want := []string{"D /.wh.x -1", "A /b +1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadContent(t *testing.T) {
	layer := tarOf(t, "d/", "d/a=text", "d/l->a", "d/h=>d/a", ".wh.gone", "o/", "o/.wh..wh..opq", "f=file")
	for _, tt := range []struct {
		name, content, link string
		found               Found
		fails               bool
	}{
		{name: "/d/a", content: "text", found: Present},
		{name: "d/h", link: "/d/a", found: Present},
		{name: "/d/l", found: Present, fails: true},
		{name: "/d", found: Present, fails: true},
		{name: "/gone/below", found: Gone},
		{name: "/o/below", found: Gone},
		{name: "/f/below", found: Gone},
		{name: "/d/other", found: Silent},
	} {
		content, link, found, err := ReadContent(bytes.NewReader(layer), tt.name, 10)
		if string(content) != tt.content || link != tt.link || found != tt.found || (err != nil) != tt.fails {
			t.Errorf("%s: %q %q %v %v", tt.name, content, link, found, err)
		}
	}
	if _, _, _, err := ReadContent(bytes.NewReader(layer), "/d/a", 3); err == nil {
		t.Error("a file that is too large was read")
	}
}

// A layer of many files and whiteouts is read and compared in no time: nothing
// looks at all paths for each of them.
func TestManyPaths(t *testing.T) {
	var files, gone []string
	for i := range 20000 {
		files = append(files, fmt.Sprintf("d%d/f%d=%d", i%100, i, i))
		gone = append(gone, fmt.Sprintf("d%d/.wh.f%d", i%100, i))
	}
	base := layerOf(t, files...)
	if n := len(Compare(NewTree(base), NewTree(base, layerOf(t, gone...)))); n != 20000 {
		t.Errorf("%d changes", n)
	}
}
