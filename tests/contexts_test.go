package tests

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// TestContexts builds from every kind of context, and with the Dockerfile from
// every kind of place: by relink everything is linked, and the images are equal.
func TestContexts(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Base(t, "usrmerge")
	dockerfile := "FROM " + base + "\nCOPY f /opt/link/x\nWORKDIR /srv/new\nCOPY --chown=app f .\n"
	alone := "FROM " + base + "\nCOPY <<EOF /opt/link/x\nhere\nEOF\nWORKDIR /srv/new\n"
	f := bed.Text("f", "of the contexts\n")
	web, webAlone := serveContexts(t, dockerfile, f), serveContexts(t, alone)
	// Of other content: what a repository has is as old as its checkout, and BuildKit
	// takes a copy of the same content for the same.
	git := serveContexts(t, dockerfile, bed.Text("f", "of a repository\n")) + "/git/repo.git"
	began := time.Now().Truncate(time.Second)
	archive, err := bed.Tar(bed.Text("Dockerfile", dockerfile), f)
	if err != nil {
		t.Fatal(err)
	}
	dir, elsewhere := filepath.Join(t.TempDir(), "context"), filepath.Join(t.TempDir(), "Other.dockerfile")
	bed.WriteFiles(t, dir, f)
	if err := os.WriteFile(elsewhere, []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		stdin string
		args  []string
	}{
		{name: "a repository", args: []string{git}},
		{name: "a directory of a branch of a repository", args: []string{git + "#main:sub"}},
		{name: "an archive by URL", args: []string{web + "/context.tar"}},
		{name: "a Dockerfile by URL", args: []string{webAlone + "/Dockerfile"}},
		{name: "a Dockerfile from the input", stdin: alone, args: []string{"-"}},
		{name: "an archive from the input", stdin: string(archive), args: []string{"-"}},
		{name: "a directory and a Dockerfile from the input", stdin: dockerfile, args: []string{"-f", "-", dir}},
		{name: "a directory and a Dockerfile outside of it", args: []string{"-f", elsewhere, dir}},
		{name: "a directory and a Dockerfile by URL", args: []string{"-f", web + "/Dockerfile", dir}},
		{name: "a repository and a Dockerfile from the input", stdin: dockerfile, args: []string{"-f", "-", git}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			refs, metadata := map[string]string{}, filepath.Join(t.TempDir(), "metadata.json")
			for _, plugin := range []string{"buildx", "relink"} {
				refs[plugin] = b.Registry.Ref("contexts/" + slug(tt.name) + ":" + plugin)
				args := append([]string{plugin, "build", "--push", "-t", refs[plugin], "--metadata-file", metadata}, tt.args...)
				withInput(t, b, tt.stdin, args...)
			}
			compareImages(t, b, refs["buildx"], refs["relink"], began)
			platforms := readReport(t, metadata).Link.Platforms
			if len(platforms) != 1 || len(platforms[0].Instructions) < 2 {
				t.Fatalf("the report is %+v", platforms)
			}
			for _, instruction := range platforms[0].Instructions {
				if !instruction.Linked {
					t.Errorf("%s is not linked: %s", instruction.Instruction, instruction.Reason)
				}
			}
		})
	}
}

// withInput runs the Docker CLI with something on its standard input.
func withInput(t *testing.T, b *bed.Bed, stdin string, args ...string) {
	t.Helper()
	cmd := b.DockerCommand(t.Context(), t.TempDir(), nil, args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = io.Reader(strings.NewReader(stdin)), &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out.String())
	}
}
