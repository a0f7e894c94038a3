package bed

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestParseAccess(t *testing.T) {
	line := `127.0.0.1 - - [21/Nov/2026:22:00:00 +0000] "GET /v2/base/debian/blobs/sha256:abc HTTP/1.1" 200 1234 "" "buildkit/v0.33"`
	got, ok := parseAccess(line)
	want := Request{Method: "GET", Repo: "base/debian", Kind: "blobs", Ref: "sha256:abc", Status: 200, Bytes: 1234, UserAgent: "buildkit/v0.33"}
	if !ok || got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestBed builds with stock buildx, twice on one builder and once on a second
// one, and checks what the bed says about it.
func TestBed(t *testing.T) {
	b := Shared(t)
	base := b.Base(t, "usrmerge")
	dir := t.TempDir()
	WriteFiles(t, dir, Text("f", "hello"), Text("Dockerfile", "FROM "+base+"\nCOPY f /opt/link2/f\nRUN echo made >/run/made\n"))
	build := func(name string, args ...string) Image {
		ref := b.Registry.Ref(name)
		args = append([]string{"buildx", "build", "--push", "--provenance=false", "-t", ref}, args...)
		b.Docker(t, dir, nil, append(args, ".")...).MustSucceed(t)
		return b.Image(t, ref, "")
	}

	mark := b.Registry.Mark(t)
	first := build("bed/first")
	if entry := first.Tree["/opt/real/f"]; entry.Type != "file" {
		t.Errorf("the copied file is %s", entry)
	}
	pulled := b.Registry.Since(t, mark).BlobDownloads()
	if len(pulled.Of(b.Image(t, base, "").Layers()...)) != 1 || pulled.BytesPulled() == 0 {
		t.Errorf("downloads are %v, want the layer of the base once", pulled)
	}
	second := build("bed/second", "--builder", b.NewBuilder(t).Name)
	first.ClockFrom, second.ClockFrom = oldTime, oldTime
	expectOnly(t, Compare(first, second), "")
	if b.Exists(t, b.Registry.Ref("bed/third")) || !b.Exists(t, b.Registry.Ref("bed/second")) {
		t.Error("the registry has what was not pushed, or not what was")
	}
}

func TestDebianBases(t *testing.T) {
	b := Shared(t)
	for _, suite := range []string{"bookworm", "trixie"} {
		image := b.Image(t, b.Base(t, "debian:"+suite), "")
		if entry := image.Tree["/bin"]; entry.Linkname != "usr/bin" {
			t.Errorf("%s: /bin is %s", suite, entry)
		}
		if entry := image.Tree["/"]; entry.Mode != 0o755 {
			t.Errorf("%s: / is %s", suite, entry)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	Shared(t) // Skips or fails where engines are missing.
	b, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Clean(b.dir)); !os.IsNotExist(err) {
		t.Errorf("the bed left its directory: %v", err)
	}
	for _, engine := range []*process{b.Registry.daemon, b.Builder.daemon} {
		if engine.cmd.ProcessState == nil {
			t.Errorf("%s still runs", engine.name)
		}
	}
}
