package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

// What a base update brings, against a plain comparison of the two trees.
func TestDiffOfDebians(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	bookworm, trixie := b.Base(t, "debian:bookworm"), b.Base(t, "debian:trixie")
	list, r := diffed(t, b, "", bookworm+".."+trixie)
	wantPlain(t, list, b.Image(t, bookworm, ""), b.Image(t, trixie, ""))
	t.Logf("%d changes in %s", len(list), r.Took)
}

// Random images on a base that they share, and on none, against a plain
// comparison of their trees. The builder has the base of some.
func TestDiffOfRandomImages(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	seed := *randomSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-random.seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	for i := range 6 {
		base := randomDiffLayer(rng, fmt.Sprint("base", i), nil)
		refs := [2]string{}
		for side := range refs {
			layers := [][]bed.File{base}
			if i%3 == 2 {
				layers[0] = randomDiffLayer(rng, fmt.Sprint("own", i, side), nil)
			}
			for range 1 + rng.IntN(3) {
				layers = append(layers, randomDiffLayer(rng, fmt.Sprint(i, side), layers))
			}
			image, err := bed.NewImage(nil, layers...)
			if err != nil {
				t.Fatal(err)
			}
			refs[side] = b.Registry.Ref(fmt.Sprintf("diff/random%d:%d", i, side))
			b.Push(t, refs[side], image)
		}
		list, _ := diffed(t, b, "", "--exact", refs[0]+".."+refs[1])
		wantPlain(t, list, b.Image(t, refs[0], ""), b.Image(t, refs[1], ""))
		if len(list) == 0 {
			t.Errorf("images %d do not differ, so nothing was compared", i)
		}
	}
}

// randomDiffLayer makes a layer of few names, so that layers often speak of the
// same path. It deletes only what may be there, and has no path twice.
func randomDiffLayer(rng *rand.Rand, mark string, below [][]bed.File) []bed.File {
	names := []string{"a", "b", "c", "dir", "link"}
	files := []bed.File{bed.Text("mark-"+mark, mark)}
	seen := map[string]bool{}
	var fill func(dir string, depth int)
	fill = func(dir string, depth int) {
		for _, n := range names {
			name := dir + n
			if rng.IntN(2) == 0 || seen[name] {
				continue
			}
			seen[name] = true
			file := bed.Text(name, fmt.Sprint(rng.IntN(3))).WithMode(0o600+int64(rng.IntN(2))*0o44).OwnedBy(rng.IntN(2), 0)
			switch kind := rng.IntN(8); {
			case kind == 0 && len(below) > 0:
				file = whiteout(name)
			case kind == 1:
				file = bed.Link(name, names[rng.IntN(len(names))])
			case kind == 2:
				file.Xattrs = map[string]string{"user.note": fmt.Sprint(rng.IntN(2))}
			case kind > 4 && depth < 2:
				files = append(files, bed.Dir(name, 0o755))
				if rng.IntN(5) == 0 && len(below) > 0 {
					files = append(files, bed.Text(name+"/.wh..wh..opq", ""))
				}
				fill(name+"/", depth+1)
				continue
			}
			files = append(files, file)
		}
	}
	fill("", 0)
	return files
}

// Ten thousand changed files are listed in seconds, and there is progress to see.
func TestDiffOfTenThousandFiles(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	const files = 10000
	refs := [2]string{}
	for side := range refs {
		var layer []bed.File
		for i := range files {
			layer = append(layer, bed.Text(fmt.Sprintf("srv/%d/%d/f%d", i%10, i%97, i), fmt.Sprint(side, "of", i)))
		}
		image, err := bed.NewImage(func(*v1.ConfigFile) {}, layer)
		if err != nil {
			t.Fatal(err)
		}
		refs[side] = b.Registry.Ref(fmt.Sprintf("diff/many:%d", side))
		b.Push(t, refs[side], image)
	}
	list, r := diffed(t, b, "", refs[0]+".."+refs[1])
	if len(list) != files {
		t.Errorf("%d changes, want %d", len(list), files)
	}
	if r.Took > 10*time.Second {
		t.Errorf("it took %s", r.Took)
	}
	t.Logf("%d changes in %s", len(list), r.Took)
	if !strings.Contains(r.Stderr, "exporting to oci image format") {
		t.Errorf("there is no progress to see:\n%s", r.Stderr)
	}
}

// What is in the files does not stay in memory.
func TestDiffMemory(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	const megabytes = 256
	image, err := bed.NewImage(nil, []bed.File{bed.Text("large", strings.Repeat("large\n", megabytes<<20/6))})
	if err != nil {
		t.Fatal(err)
	}
	ref := b.Registry.Ref("diff/large:1")
	b.Push(t, ref, image)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bed.Root(), "bin", "docker-relink"), "diff-build", "scratch.."+ref)
	cmd.Env = b.Env()
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	peak := 0
	for running := true; running; {
		select {
		case err = <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, peakOf(cmd.Process.Pid))
		}
	}
	if err != nil || !strings.HasPrefix(out.String(), "A /large (+268MB)") {
		t.Fatalf("the list is %q (%v)", out.String(), err)
	}
	t.Logf("it took %d MiB of memory", peak>>10)
	if peak == 0 || peak>>10 > megabytes*3/4 {
		t.Errorf("it took %d MiB of memory", peak>>10)
	}
}

// peakOf is the most memory that a process had so far, in KiB. What wait says of it
// counts what this process had when it began.
func peakOf(pid int) (kib int) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // It has ended.
	}
	if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
		_, _ = fmt.Sscan(after, &kib)
	}
	return kib
}
