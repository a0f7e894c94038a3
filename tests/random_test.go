package tests

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

var (
	randomCases = flag.Int("random.cases", casesByDefault(), "number of random bases and tails to build")
	randomSeed  = flag.Uint64("random.seed", seedByDefault(), "seed of the random bases and tails; 0 takes one from the clock")
)

// seedByDefault is one seed for every run of CI, which is there to judge a change
// and not to search; elsewhere each run searches on.
func seedByDefault() uint64 {
	if os.Getenv("CI") != "" {
		return 3
	}
	return 0
}

func casesByDefault() int {
	if os.Getenv("CI") != "" {
		return 200
	}
	return 20
}

// TestRandom builds random tails on random bases with stock buildx and with
// relink. A case depends on the seed and its number only, so a failing one is
// repeated with -random.seed and -run.
func TestRandom(t *testing.T) {
	b := bed.Shared(t)
	seed := *randomSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	var failed atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d cases with -random.seed=%d, of which stock cannot build %d", *randomCases, seed, failed.Load())
	})
	for i := range *randomCases {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			stock := newRandomCase(rand.New(rand.NewPCG(seed, uint64(i)))).run(t, b, fmt.Sprintf("random/%d-%d", seed, i))
			if stock.Code != 0 {
				failed.Add(1)
			}
		})
	}
}

// randomCase is a base, a context and a Dockerfile that begins with the base.
// Names are drawn from a few, so that things meet.
type randomCase struct {
	*rand.Rand
	layers     [][]bed.File
	context    []bed.File
	dockerfile []string
}

func newRandomCase(r *rand.Rand) *randomCase {
	c := &randomCase{Rand: r}
	c.layers = append(c.layers, c.baseTree(10+r.IntN(15)))
	if r.IntN(3) == 0 {
		c.layers = append(c.layers, c.upperLayer())
	}
	c.context = c.contextTree(6 + r.IntN(10))
	c.dockerfile = c.tail()
	return c
}

func (c *randomCase) pick(from ...string) string { return from[c.IntN(len(from))] }

func (c *randomCase) name() string { return c.pick("a", "b", "c", "d", "e", "g", "h") }

// path is a path of one to three names.
func (c *randomCase) path() string {
	names := []string{c.name()}
	for c.IntN(2) == 0 && len(names) < 3 {
		names = append(names, c.name())
	}
	return strings.Join(names, "/")
}

// mode is often that of plain directories, upon which steps need no skeleton.
func (c *randomCase) mode(special bool) int64 {
	if c.IntN(2) == 0 {
		return 0o755
	}
	modes := []int64{0o755, 0o700, 0o711, 0o750, 0o775}
	if special {
		modes = append(modes, 0o2775, 0o1777, 0o2711)
	}
	return modes[c.IntN(len(modes))]
}

func (c *randomCase) owner(file bed.File) bed.File {
	if c.IntN(3) == 0 {
		return file.OwnedBy(c.IntN(3)*500, c.IntN(3)*500)
	}
	return file
}

// baseTree makes a tree in which a directory comes before what is in it.
func (c *randomCase) baseTree(size int) []bed.File {
	files := []bed.File{
		bed.Dir("etc", 0o755),
		bed.Text("etc/passwd", "root:x:0:0::/:/sh\none:x:500:500::/:/sh\ntwo:x:1000:500::/:/sh\n"),
		bed.Text("etc/group", "root:x:0:\none:x:500:\ntwo:x:1000:\n"),
	}
	return append(files, c.tree(size, true)...)
}

func (c *randomCase) contextTree(size int) []bed.File {
	files := c.tree(size, false)
	// Something that every tail can copy.
	return append(files, bed.Text("f", "file\n").WithMode(0o640), bed.Dir("t", 0o755), bed.Text("t/x", "x\n"))
}

func (c *randomCase) tree(size int, base bool) []bed.File {
	var files []bed.File
	kinds := map[string]string{}
	for range size {
		name := c.path()
		if _, taken := kinds[name]; taken || !c.parentsAreDirs(name, kinds) {
			continue
		}
		files = append(files, c.missingParents(name, kinds)...)
		file := c.entry(name, base)
		kinds[name] = kind(file)
		files = append(files, c.owner(file))
	}
	return files
}

func kind(file bed.File) string {
	switch {
	case file.Dir:
		return "dir"
	case file.Symlink != "":
		return "symlink"
	}
	return "file"
}

func (c *randomCase) entry(name string, special bool) bed.File {
	switch kind := c.IntN(10); {
	case kind < 5:
		return bed.Dir(name, c.mode(special))
	case kind < 8:
		return bed.Link(name, c.target(name))
	}
	return bed.Text(name, fmt.Sprintf("%s %d\n", name, c.IntN(100))).WithMode(c.mode(false) &^ 0o010)
}

// target makes the target of a symlink of every kind there is.
func (c *randomCase) target(from string) string {
	switch c.IntN(5) {
	case 0:
		return c.name()
	case 1:
		return "/" + c.path()
	case 2:
		return "../" + c.path()
	case 3:
		return strings.Repeat("../", strings.Count(from, "/")) + c.path()
	}
	return "nowhere"
}

func (c *randomCase) parentsAreDirs(name string, kinds map[string]string) bool {
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if kind, ok := kinds[dir]; ok && kind != "dir" {
			return false
		}
	}
	return true
}

func (c *randomCase) missingParents(name string, kinds map[string]string) []bed.File {
	var files []bed.File
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if _, ok := kinds[dir]; !ok {
			kinds[dir] = "dir"
			files = append(files, bed.Dir(dir, c.mode(false)))
		}
	}
	slices.Reverse(files)
	return files
}

// upperLayer deletes and replaces some of what the first layer has at its top.
func (c *randomCase) upperLayer() []bed.File {
	var files []bed.File
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		switch c.IntN(6) {
		case 0:
			files = append(files, bed.Text(".wh."+name, ""))
		case 1:
			files = append(files, bed.Text(".wh."+name, ""), bed.Dir(name, c.mode(true)), bed.Text(name+"/new", "new\n"))
		case 2:
			files = append(files, bed.Text(".wh."+name, ""), bed.Link(name, c.target(name)))
		}
	}
	return append(files, bed.Text("upper", "upper\n"))
}

// tail makes the instructions after FROM.
func (c *randomCase) tail() []string {
	var lines []string
	for range 1 + c.IntN(4) {
		lines = append(lines, c.instruction())
	}
	return append(lines, "COPY f "+c.destination())
}

func (c *randomCase) instruction() string {
	switch c.IntN(12) {
	case 0:
		return "WORKDIR " + c.pick("/", "") + c.path()
	case 1:
		return "USER " + c.pick("one", "two", "7", "500:1000", "root")
	case 2:
		return fmt.Sprintf("ENV E=%s F=%d", c.name(), c.IntN(9))
	case 3:
		return "ARG G=" + c.path()
	case 4:
		return "LABEL l=" + c.name()
	case 5:
		return "ADD" + c.flags() + " " + c.source() + " " + c.destination()
	}
	return "COPY" + c.flags() + " " + c.source() + " " + c.destination()
}

func (c *randomCase) flags() string {
	var flags string
	if c.IntN(4) == 0 {
		flags += " --chown=" + c.pick("5:6", "500", "one", "two:root", "one:7", "stranger")
	}
	if c.IntN(5) == 0 {
		flags += " --chmod=" + c.pick("0600", "755", "2750", "4711")
	}
	return flags
}

// source names what is in the context for certain, or may be.
func (c *randomCase) source() string {
	switch c.IntN(8) {
	case 0, 1, 2:
		return "f"
	case 3, 4:
		return c.pick("t", "t/", "t/x")
	case 5:
		return c.pick("[a-c]*", "t/*", "?")
	}
	file := c.context[c.IntN(len(c.context))]
	return file.Path
}

func (c *randomCase) destination() string {
	destination := c.path()
	switch c.IntN(6) {
	case 0:
		destination = c.pick("$G", "${E:-x}/y", "n/$F")
	case 1:
		destination = "new/" + destination
	}
	return c.pick("/", "/", "./", "") + destination + c.pick("", "/")
}

// run builds the case with both and gives what stock made of it.
func (c *randomCase) run(t *testing.T, b *bed.Bed, name string) bed.Result {
	image, err := bed.NewImage(func(config *v1.ConfigFile) {
		config.Config.WorkingDir = c.pick("", "/a", "/b/c")
		config.Config.Env = append(config.Config.Env, "G="+c.name())
	}, c.layers...)
	if err != nil {
		t.Fatal(err)
	}
	base := b.Registry.Ref(name + ":base")
	b.Push(t, base, image)
	dockerfile := "FROM " + base + "\n" + strings.Join(c.dockerfile, "\n") + "\n"
	dir := filepath.Join(t.TempDir(), slug(name))
	bed.WriteFiles(t, dir, append(c.context, bed.Text("Dockerfile", dockerfile))...)

	began := time.Now().Truncate(time.Second)
	results := map[string]bed.Result{}
	// Relink comes first: the builder must not have unpacked the base for stock.
	for _, plugin := range []string{"relink", "buildx"} {
		results[plugin] = b.Plugin(t, dir, nil, plugin, "build", "--provenance=false", "--push", "-t", b.Registry.Ref(name+":"+plugin), ".")
	}
	c.judge(t, b, name, results, began)
	if t.Failed() {
		t.Logf("Dockerfile:\n%s\nbase: %s\ncontext: %s", dockerfile, listing(c.layers...), listing(c.context))
	}
	return results["buildx"]
}

// judge wants equal images, or a failure where stock fails. Which of several
// faults in one Dockerfile is told is the business of the table.
func (c *randomCase) judge(t *testing.T, b *bed.Bed, name string, results map[string]bed.Result, began time.Time) {
	t.Helper()
	stock, relink := results["buildx"], results["relink"]
	if stock.Code == 0 && relink.Code == 0 {
		stockRef, relinkRef := b.Registry.Ref(name+":buildx"), b.Registry.Ref(name+":relink")
		compareImages(t, b, stockRef, relinkRef, began)
		compareLayers(t, b, stockRef, relinkRef)
		return
	}
	if stock.Code != relink.Code {
		t.Errorf("exit code %d, want %d\nrelink: %s\nstock: %s", relink.Code, stock.Code, relink.Stderr, stock.Stderr)
		return
	}
	if b.Exists(t, b.Registry.Ref(name+":relink")) {
		t.Error("an image was pushed")
	}
}

func listing(layers ...[]bed.File) string {
	var out strings.Builder
	for i, files := range layers {
		for _, file := range files {
			fmt.Fprintf(&out, "\n\t%d %s %s %04o %d:%d", i, kind(file), file.Path, file.Mode, file.UID, file.GID)
			if file.Symlink != "" {
				fmt.Fprintf(&out, " -> %s", file.Symlink)
			}
		}
	}
	return out.String()
}
