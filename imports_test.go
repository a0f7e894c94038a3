// Package relink_test holds the source tree to the plan of
// docs/architecture.md.
package relink_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/docker-relink/relink"

// heights give every package its place: imports go down. A name that ends in
// "/..." is a directory with all below it; the longest name that fits decides.
var heights = map[string]int{
	"internal/cliplugin":      0,
	"internal/errdefs":        0,
	"internal/version":        0,
	"internal/...":            1,
	"frontend/...":            2,
	"bake/...":                3,
	"progress/...":            3,
	"internal/clientfrontend": 3,
	"internal/embedded/...":   3,
	"internal/memory":         3,
	"internal/registry":       3,
	"commands/...":            4,
	"plugin/...":              5,
	"cmd/...":                 6,
	"docs/...":                6,
	"tests/...":               7,
}

// Only packages of these heights may import others of their own: what is pure
// may build on what is pure, and tests on the test bed.
var mutual = map[int]bool{1: true, 7: true}

// A package may import those below its own directory.
func inside(name, ours string) bool { return strings.HasPrefix(ours, name+"/") }

// hidings are the systems and the build tags for which files are left out, so
// that together they show every file.
var hidings = []struct{ os, tags string }{
	{"linux", ""}, {"darwin", ""}, {"windows", ""}, {"linux", "no_embedded"},
}

// What runs on the builder as well as in the client knows no command line, no
// other programs and no network of its own.
const (
	highestPure = 2
	impure      = "net net/http os/exec github.com/docker/cli github.com/docker/buildx github.com/spf13 golang.org/x/term"
)

type pkg struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
	IgnoredGoFiles                     []string
}

func (p pkg) name() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func TestImports(t *testing.T) {
	hidden := map[string]int{}
	for _, p := range packages(t) {
		if p.ImportPath == module {
			continue // Its only files are tests such as this one.
		}
		height, ok := heightOf(p.name())
		if !ok {
			t.Errorf("%s has no place in the direction of imports: give it one here and in docs/architecture.md", p.name())
			continue
		}
		for _, file := range p.IgnoredGoFiles {
			hidden[filepath.Join(p.Dir, file)]++
		}
		for _, imported := range p.Imports {
			checkImport(t, p.name(), height, imported)
		}
		for _, imported := range append(p.TestImports, p.XTestImports...) {
			if !strings.HasPrefix(imported, module+"/tests/") && imported != p.ImportPath {
				checkOurs(t, p.name()+" (tests)", height, imported)
			}
		}
	}
	for file, times := range hidden {
		if times == len(hidings) {
			t.Errorf("build constraints hide the imports of %s from this test", file)
		}
	}
}

func checkImport(t *testing.T, name string, height int, imported string) {
	t.Helper()
	checkOurs(t, name, height, imported)
	if height > highestPure {
		return
	}
	for _, not := range strings.Fields(impure) {
		if imported == not || strings.HasPrefix(imported, not+"/") && strings.Contains(not, ".") {
			t.Errorf("%s imports %s", name, imported)
		}
	}
}

func checkOurs(t *testing.T, name string, height int, imported string) {
	t.Helper()
	ours, ok := strings.CutPrefix(imported, module+"/")
	if !ok {
		return
	}
	below, ok := heightOf(ours)
	if !ok || below > height || below == height && !mutual[height] && !inside(name, ours) {
		t.Errorf("%s imports %s, which is not below it", name, ours)
	}
}

func heightOf(name string) (height int, ok bool) {
	longest := ""
	for pattern, h := range heights {
		dir, all := strings.CutSuffix(pattern, "/...")
		fits := name == dir || all && strings.HasPrefix(name, dir+"/")
		if fits && len(dir) > len(longest) {
			longest, height, ok = dir, h, true
		}
	}
	return height, ok
}

// TestNothingIsSkipped finds directories with Go files that the list of
// packages, and so every test and check, would pass over.
func TestNothingIsSkipped(t *testing.T) {
	listed := map[string]bool{}
	for _, p := range packages(t) {
		listed[p.Dir] = true
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && apart(path, entry.Name()) {
			return filepath.SkipDir
		}
		if dir := filepath.Dir(path); strings.HasSuffix(path, ".go") && !listed[dir] {
			t.Errorf("%s is in no package that go list finds", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// apart says whether a directory is none of this module's: what git and make
// keep, data, or a module of its own.
func apart(path, name string) bool {
	if strings.HasPrefix(name, ".") || name == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

// packages lists every package once for each system and set of tags.
func packages(t *testing.T) []pkg {
	t.Helper()
	var all []pkg
	for _, h := range hidings {
		all = append(all, list(t, h.os, h.tags)...)
	}
	return all
}

func list(t *testing.T, goos, tags string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", tags, "-json=ImportPath,Dir,Imports,TestImports,XTestImports,IgnoredGoFiles", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("reading the list of packages: %v", err)
		}
		all = append(all, p)
	}
}
