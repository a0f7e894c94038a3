package memory

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDockerfiles(t *testing.T) {
	d := Dockerfiles{Dir: filepath.Join(t.TempDir(), "dockerfiles"), At: "/work"}
	elsewhere := Dockerfiles{Dir: d.Dir, At: "/other"}
	want := func(when string, d Dockerfiles, want bool) {
		t.Helper()
		if got := d.HadNoRanges("Dockerfile"); got != want {
			t.Errorf("%s: %t, want %t", when, got, want)
		}
	}
	want("never seen", d, false)
	d.Keep("Dockerfile", false)
	want("seen", d, true)
	want("one of the name elsewhere", elsewhere, false)
	d.Keep("Dockerfile", true)
	want("it has ranges", d, false)
	d.Keep("Dockerfile", false)
	want("it had ranges", d, false)

	Dockerfiles{}.Keep("Dockerfile", false)
	want("nothing is remembered", Dockerfiles{}, false)
}

func TestDockerfilesAreForgotten(t *testing.T) {
	d := Dockerfiles{Dir: t.TempDir()}
	old := time.Now().Add(-maxAge - time.Hour)
	d.Keep("used", false)
	d.Keep("unused", false)
	for _, name := range []string{"used", "unused"} {
		if err := os.Chtimes(d.file(name, false), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if !d.HadNoRanges("used") {
		t.Error("it is forgotten before others are kept")
	}
	d.Keep("new", false)
	for name, want := range map[string]bool{"used": true, "unused": false, "new": true} {
		if got := d.HadNoRanges(name); got != want {
			t.Errorf("%s: %t, want %t", name, got, want)
		}
	}
}
