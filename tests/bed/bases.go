package bed

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// bases remembers which base images are in the registry already.
type bases struct {
	mu   sync.Mutex
	refs map[string]string
}

// makers are the base images there are, by name.
var makers = map[string]func() (v1.Image, error){
	"busybox":         func() (v1.Image, error) { return treeImage(busyboxTree) },
	"usrmerge":        func() (v1.Image, error) { return treeImage(usrmergeTree) },
	"debian:bookworm": func() (v1.Image, error) { return debianImage("bookworm") },
	"debian:trixie":   func() (v1.Image, error) { return debianImage("trixie") },
}

// Base gives the reference of a base image in the registry, and makes it when
// it is the first to ask. The names are busybox, usrmerge (a small tree with
// all that a copy can trip over), debian:bookworm and debian:trixie.
func (b *Bed) Base(t testing.TB, base string) string {
	t.Helper()
	maker, ok := makers[base]
	if !ok {
		t.Fatalf("there is no base image %q", base)
	}
	b.bases.mu.Lock()
	defer b.bases.mu.Unlock()
	if ref, ok := b.bases.refs[base]; ok {
		return ref
	}
	image, err := maker()
	if err != nil {
		t.Fatalf("making the base image %s: %v", base, err)
	}
	ref := b.Registry.Ref("base/" + base)
	b.Push(t, ref, image)
	if b.bases.refs == nil {
		b.bases.refs = map[string]string{}
	}
	b.bases.refs[base] = ref
	return ref
}

// Rebuilt puts the image under ref once more in the same repository, under the
// tag, as one of another digest: it says to have been created later, and nothing
// else differs. It gives the new reference.
func (b *Bed) Rebuilt(t testing.TB, ref, tag string) string {
	t.Helper()
	image := b.Pull(t, ref)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatalf("reading the config of %s: %v", ref, err)
	}
	// No two are of one digest: the tag decides by how much it is later.
	later := time.Duration(crc32.ChecksumIEEE([]byte(tag))) * time.Second
	if image, err = mutate.CreatedAt(image, v1.Time{Time: config.Created.Add(later)}); err != nil {
		t.Fatalf("making %s anew: %v", ref, err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatalf("making %s anew: %v", ref, err)
	}
	repository := parse(t, ref).Context()
	b.Push(t, repository.Tag(tag).Name(), image)
	return repository.Digest(digest.String()).Name()
}

// Push puts an image in the registry.
func (b *Bed) Push(t testing.TB, ref string, image v1.Image) {
	t.Helper()
	if err := pushImage(ref, image); err != nil {
		t.Fatal(err)
	}
}

func pushImage(ref string, image v1.Image) error {
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return fmt.Errorf("parsing the reference: %w", err)
	}
	if err := remote.Write(parsed, image, remote.WithUserAgent(userAgent)); err != nil {
		return fmt.Errorf("pushing %s: %w", ref, err)
	}
	return nil
}

// PushIndex puts an index of the images in the registry.
func (b *Bed) PushIndex(t testing.TB, ref string, images ...v1.Image) {
	t.Helper()
	index := mutate.AppendManifests(empty.Index)
	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatalf("reading the config for %s: %v", ref, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: config.Platform()},
		})
	}
	if err := remote.WriteIndex(parse(t, ref), index, remote.WithUserAgent(userAgent)); err != nil {
		t.Fatalf("pushing %s: %v", ref, err)
	}
}

// NewImage makes an image of layers, the lowest first, for the platform of the
// machine. Change may alter its config; nil is the config of the bases.
func NewImage(change func(*v1.ConfigFile), layers ...[]File) (v1.Image, error) {
	var made []v1.Layer
	for _, files := range layers {
		data, err := Tar(files...)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		})
		if err != nil {
			return nil, fmt.Errorf("making a layer: %w", err)
		}
		made = append(made, layer)
	}
	return newImage(change, made...)
}

func newImage(change func(*v1.ConfigFile), layers ...v1.Layer) (v1.Image, error) {
	config := &v1.ConfigFile{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Created:      v1.Time{Time: oldTime},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Cmd: []string{"sh"},
		},
	}
	if change != nil {
		change(config)
	}
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		return nil, fmt.Errorf("setting the config: %w", err)
	}
	for i, layer := range layers {
		image, err = mutate.Append(image, mutate.Addendum{
			Layer:   layer,
			History: v1.History{Created: config.Created, CreatedBy: fmt.Sprintf("base layer %d", i)},
		})
		if err != nil {
			return nil, fmt.Errorf("appending a layer: %w", err)
		}
	}
	return image, nil
}

func treeImage(tree func() ([]File, error)) (v1.Image, error) {
	files, err := tree()
	if err != nil {
		return nil, err
	}
	return NewImage(nil, files)
}

// debianImage takes the file system from debootstrap, which a script keeps.
func debianImage(suite string) (v1.Image, error) {
	output, err := exec.Command(filepath.Join(Root(), "tools", "bases.sh"), suite).Output()
	if err != nil {
		return nil, fmt.Errorf("making the file system of %s: %w", suite, err)
	}
	layer, err := tarball.LayerFromFile(strings.TrimSpace(string(output)))
	if err != nil {
		return nil, fmt.Errorf("reading the file system of %s: %w", suite, err)
	}
	return newImage(func(config *v1.ConfigFile) {
		config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		config.Config.Cmd = []string{"bash"}
	}, layer)
}

// applets are what the RUN instructions of the tests call.
var applets = []string{
	"sh", "cat", "ls", "echo", "mkdir", "ln", "chmod", "chown", "rm", "touch",
	"cp", "mv", "stat", "find", "true", "test", "sleep", "tar", "id", "env",
}

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/sbin/nologin
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
`

const group = `root:x:0:
daemon:x:1:
staff:x:50:app
app:x:1000:
nogroup:x:65534:
`

// busybox gives the program and its names, as files of the directory bin.
func busybox(bin string) ([]File, error) {
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("reading busybox (the package busybox-static has it): %w", err)
	}
	files := []File{Text(bin+"/busybox", string(program)).WithMode(0o755)}
	for _, applet := range applets {
		files = append(files, Link(bin+"/"+applet, "busybox"))
	}
	return files, nil
}

func busyboxTree() ([]File, error) {
	programs, err := busybox("bin")
	if err != nil {
		return nil, err
	}
	files := append([]File{Dir("bin", 0o755)}, programs...)
	return append(files,
		Dir("dev", 0o755),
		Dir("etc", 0o755),
		Text("etc/passwd", passwd),
		Text("etc/group", group),
		Dir("home", 0o755),
		Dir("root", 0o700),
		Dir("tmp", 0o1777),
		Dir("usr", 0o755),
		Dir("usr/lib", 0o755),
		Dir("var", 0o755),
	), nil
}

// usrmergeTree looks like a Debian of today, with traps added.
func usrmergeTree() ([]File, error) {
	programs, err := busybox("usr/bin")
	if err != nil {
		return nil, err
	}
	files := append([]File{Dir("usr", 0o755), Dir("usr/bin", 0o755)}, programs...)
	return append(files,
		Link("bin", "usr/bin"),
		Link("sbin", "usr/sbin"),
		Link("lib", "usr/lib"),
		Link("lib64", "/usr/lib64"),
		Dir("dev", 0o755),
		Dir("etc", 0o755),
		Text("etc/passwd", passwd),
		Text("etc/group", group),
		Text("etc/os-release", "ID=usrmerge\n"),
		Dir("etc/app.d", 0o750).OwnedBy(1000, 50),
		Text("etc/app.d/default.conf", "base\n").WithMode(0o640).OwnedBy(1000, 50),
		Dir("home", 0o755),
		Dir("home/app", 0o700).OwnedBy(1000, 1000),
		Text("home/app/.profile", "# base\n").OwnedBy(1000, 1000),
		Dir("opt", 0o755),
		Dir("opt/real", 0o755),
		Text("opt/real/file", "real\n"),
		Link("opt/link", "real"),
		Link("opt/link2", "link"),
		Link("opt/absolute", "/opt/real"),
		Link("opt/dangling", "/nowhere/at/all"),
		Link("opt/up", "../srv"),
		Link("opt/filelink", "real/file"),
		Dir("opt/setgid", 0o2775).OwnedBy(0, 50),
		Dir("opt/nobody", 0o711).OwnedBy(65534, 65534),
		Text("opt/one", "shared\n"),
		File{Path: "opt/two", Hardlink: "opt/one"},
		Text("opt/suid", "suid\n").WithMode(0o4755),
		File{Path: "opt/attributes", Content: "x\n", Xattrs: map[string]string{"user.note": "base"}},
		Dir("root", 0o700),
		Dir("run", 0o755),
		Dir("srv", 0o755),
		Dir("tmp", 0o1777),
		Dir("usr/lib", 0o755),
		Text("usr/lib/libbase.so", "base\n"),
		Dir("usr/lib64", 0o755),
		Dir("usr/local", 0o755),
		Dir("usr/local/bin", 0o755),
		Dir("usr/sbin", 0o755),
		Dir("var", 0o755),
		Dir("var/lib", 0o755),
		Link("var/run", "/run"),
		Dir("var/tmp", 0o1777),
		Dir("var/mail", 0o2775).OwnedBy(0, 8),
	), nil
}
