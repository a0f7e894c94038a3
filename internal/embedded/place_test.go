//go:build !no_embedded

package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSocketFits(t *testing.T) {
	short, long := Place{Dir: "/home/someone/.local/share/docker-relink"}, Place{Dir: "/" + strings.Repeat("long/", 40)}
	if got := short.Socket(); filepath.Dir(filepath.Dir(got)) != short.Dir {
		t.Errorf("the socket is %s, want it in %s", got, short.Dir)
	}
	t.Setenv("TMPDIR", "/tmp")
	other := Place{Dir: long.Dir + "er"}
	if got := long.Socket(); len(got) > longestSocket || got == other.Socket() {
		t.Errorf("the socket is %s, of another place %s", got, other.Socket())
	}
}

func TestPlaceIsClosed(t *testing.T) {
	p := Place{Dir: filepath.Join(t.TempDir(), "place")}
	if err := os.MkdirAll(p.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := p.make(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{p.Dir, filepath.Dir(p.Socket())} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

func TestPlaceIsNoLink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := (Place{Dir: link}).make(); err == nil {
		t.Error("a link was taken for the folder of the builder")
	}
}

func TestIdleTime(t *testing.T) {
	for _, row := range []struct {
		ci, idle string
		want     time.Duration
		fails    bool
	}{
		{want: 5 * time.Minute},
		{ci: "true"},
		{ci: "false", want: 5 * time.Minute},
		{ci: "true", idle: "2m", want: 2 * time.Minute},
		{idle: "soon", fails: true},
		{idle: "-1s", fails: true},
	} {
		t.Setenv("CI", row.ci)
		t.Setenv(IdleVar, row.idle)
		got, err := idleTime()
		if got != row.want || (err != nil) != row.fails {
			t.Errorf("CI=%q %s=%q: %s, %v; want %s", row.ci, IdleVar, row.idle, got, err, row.want)
		}
	}
}
