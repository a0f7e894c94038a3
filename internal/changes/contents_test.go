package changes_test

import (
	"archive/tar"
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/docker-relink/relink/internal/changes"
)

func contents(t *testing.T, headers ...tar.Header) *changes.Contents {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := changes.ReadContents(&buf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReadContents(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
	dir := func(name string, mode int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
	}
	attributed, timed := file("d/x"), file("t")
	attributed.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "1", "SCHILY.xattr.security.capability": "2"}
	timed.ModTime = time.Unix(7, 5)

	c := contents(t, dir("./", 0o755), dir("d", 0o755), attributed, timed, file("d/a"), link("d/b", "d/a"), link("e/c", "./d/b"), file("f/a"), link("f/b", "f/a"))
	if want := map[string][]string{"/d/x": {"security.capability", "user.a"}}; !reflect.DeepEqual(c.Attributes, want) {
		t.Errorf("attributes %v, want %v", c.Attributes, want)
	}
	if !slices.Equal(c.Fractions, []string{"/t"}) {
		t.Errorf("fractions %q", c.Fractions)
	}
	if want := [][]string{{"/d/a", "/d/b", "/e/c"}}; !reflect.DeepEqual(c.Links, want) {
		t.Errorf("links %q, want %q", c.Links, want)
	}
	if got, want := c.Names("/f/b"), []string{"/f/a", "/f/b"}; !slices.Equal(got, want) || !slices.Equal(c.Names("/t"), []string{"/t"}) {
		t.Errorf("names %q, want %q", got, want)
	}
	if !c.Root || c.OddRoot {
		t.Errorf("root %t, odd %t", c.Root, c.OddRoot)
	}
	if c := contents(t, dir(".", 0o1755)); !c.OddRoot {
		t.Error("the mode of the root directory is not seen")
	}
}

func TestContentsHide(t *testing.T) {
	c := contents(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, tar.Header{Typeflag: tar.TypeReg, Name: "d/f"}, tar.Header{Typeflag: tar.TypeReg, Name: "d/.wh.gone"},
		tar.Header{Typeflag: tar.TypeReg, Name: "o/.wh..wh..opq"}, tar.Header{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "d"})
	for name, want := range map[string]bool{
		"/d": true, "/d/f": true, "/d/gone": true, "/d/gone/below": true, "/d/stays": false, "/o": false, "/o/f": true, "/o/p/f": true, "/s/f": true, "/x": false,
	} {
		if got := c.Hides(name); got != want {
			t.Errorf("%s is hidden: %t, want %t", name, got, want)
		}
	}
}
