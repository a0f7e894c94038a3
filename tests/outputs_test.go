package tests

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/docker-relink/relink/tests/bed"
)

const outputsDockerfile = `FROM @base@ AS build
RUN mkdir -p /made/dir && echo made >/made/dir/f && ln -s f /made/dir/link && ln /made/dir/f /made/dir/hard && chmod 4755 /made/dir/f
FROM @base@
WORKDIR /srv/app
COPY --chown=app f /bin/
COPY --from=build /made /opt/link/made
COPY --chmod=600 f .
WORKDIR /new/place
COPY f ./
COPY f sub/
`

// TestOutputs builds for every exporter: what it writes is what it writes of stock's
// build.
func TestOutputs(t *testing.T) {
	t.Parallel()
	b, began := bed.Shared(t), time.Now().Truncate(time.Second)
	dir := filepath.Join(t.TempDir(), "outputs")
	bed.WriteFiles(t, dir, bed.Text("f", "content\n"), bed.Text("Dockerfile", strings.ReplaceAll(outputsDockerfile, "@base@", b.Base(t, "usrmerge"))))
	for name, tt := range map[string]struct {
		args []string
		read func(t *testing.T, dir, stdout string) written
	}{
		"a directory":                 {[]string{"-o", "out"}, filesOf("out")},
		"a directory with provenance": {[]string{"-o", "type=local,dest=out", "--provenance=mode=max"}, filesOf("out")},
		"an archive":                  {[]string{"-o", "type=tar,dest=out.tar"}, archived("out.tar")},
		"an archive on the output":    {[]string{"-o", "-"}, piped},
		"an OCI archive":              {[]string{"-o", "type=oci,dest=out.tar", "-t", "a:1"}, unpackedLayout("out.tar")},
		"an OCI layout":               {[]string{"-o", "type=oci,tar=false,dest=out", "-t", "a:1"}, ociLayout("out")},
		"a Docker archive":            {[]string{"-o", "type=docker,dest=out.tar", "-t", "a:1", "--provenance=false"}, dockerArchive("out.tar")},
		"several": {
			[]string{"-o", "type=tar,dest=out.tar", "-o", "type=local,dest=out", "-o", "type=cacheonly"}, archived("out.tar"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wrote [2]written
			for i, plugin := range []string{"buildx", "relink"} {
				to := t.TempDir()
				result := b.Docker(t, to, nil, append(append([]string{plugin, "build"}, tt.args...), dir)...).MustSucceed(t)
				wrote[i] = tt.read(t, to, result.Stdout)
			}
			if wrote[0].image != nil {
				pushAndCompare(t, b, wrote[0].image, wrote[1].image, began)
				return
			}
			compareFiles(t, wrote[0].files, wrote[1].files)
		})
	}
}

// written is what a build has written: files, or an image.
type written struct {
	files map[string]string
	image v1.Image
}

func compareFiles(t *testing.T, stock, relink map[string]string) {
	t.Helper()
	if len(stock) < 10 {
		t.Errorf("stock wrote %d files", len(stock))
	}
	for _, path := range slices.Sorted(maps.Keys(stock)) {
		if relink[path] != stock[path] {
			t.Errorf("%s: %s, want %s", path, relink[path], stock[path])
		}
		delete(relink, path)
	}
	for _, path := range slices.Sorted(maps.Keys(relink)) {
		t.Errorf("%s: %s, want nothing", path, relink[path])
	}
}

func pushAndCompare(t *testing.T, b *bed.Bed, stock, relink v1.Image, began time.Time) {
	t.Helper()
	ref := b.Registry.Ref("outputs/" + slug(t.Name()))
	b.Push(t, ref+":stock", stock)
	b.Push(t, ref+":relink", relink)
	compareImages(t, b, ref+":stock", ref+":relink", began)
}

func filesOf(name string) func(*testing.T, string, string) written {
	return func(t *testing.T, dir, _ string) written {
		t.Helper()
		data, err := exec.Command("tar", "-C", filepath.Join(dir, name), "-c", ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		return written{files: listed(t, bytes.NewReader(data))}
	}
}

func archived(name string) func(*testing.T, string, string) written {
	return func(t *testing.T, dir, _ string) written {
		t.Helper()
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return written{files: listed(t, f)}
	}
}

func piped(t *testing.T, _, stdout string) written {
	t.Helper()
	return written{files: listed(t, strings.NewReader(stdout))}
}

func unpackedLayout(name string) func(*testing.T, string, string) written {
	return func(t *testing.T, dir, _ string) written {
		t.Helper()
		if out, err := exec.Command("tar", "-C", dir, "-xf", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return ociLayout(".")(t, dir, "")
	}
}

func ociLayout(name string) func(*testing.T, string, string) written {
	return func(t *testing.T, dir, _ string) written {
		t.Helper()
		path, err := layout.FromPath(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		index, err := path.ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		return written{image: imageIn(t, index)}
	}
}

// imageIn is the first image of an index, which may be in an index of its own.
func imageIn(t *testing.T, index v1.ImageIndex) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	first := manifest.Manifests[0]
	if first.MediaType.IsIndex() {
		inner, err := index.ImageIndex(first.Digest)
		if err != nil {
			t.Fatal(err)
		}
		return imageIn(t, inner)
	}
	image, err := index.Image(first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func dockerArchive(file string) func(*testing.T, string, string) written {
	return func(t *testing.T, dir, _ string) written {
		t.Helper()
		tag, err := name.NewTag("a:1")
		if err != nil {
			t.Fatal(err)
		}
		image, err := tarball.ImageFromPath(filepath.Join(dir, file), &tag)
		if err != nil {
			t.Fatal(err)
		}
		return written{image: image}
	}
}

// listed says all of each file but the times of directories and links, which differ
// from build to build, and all but the path of provenance.
func listed(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	files := map[string]string{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Clean(h.Name)
		if strings.HasSuffix(path, ".json") {
			files[path] = "a statement"
			continue
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, archive); err != nil {
			t.Fatal(err)
		}
		said := fmt.Sprintf("%c %o %d:%d %s %d:%d", h.Typeflag, h.Mode, h.Uid, h.Gid, filepath.Clean(h.Linkname), h.Devmajor, h.Devminor)
		if h.Typeflag == tar.TypeReg {
			said += fmt.Sprintf(" %x %d", sum.Sum(nil), h.ModTime.Unix())
		}
		files[path] = said
	}
}
