package tests

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

var randomChanges = flag.Int("random.changes", casesByDefault()/4, "number of random changes of a base to build")

// TestRandomBaseChange builds a random tail on a base, changes the base, and
// builds again. What rests on no inherited fact equals stock's; what does and
// does not equal stock's is refused by --verify.
func TestRandomBaseChange(t *testing.T) {
	b := bed.Shared(t)
	seed := *randomSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() { t.Logf("%d changes with -random.seed=%d", *randomChanges, seed) })
	for i := range *randomChanges {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := newRandomCase(rand.New(rand.NewPCG(seed, uint64(i)+1<<32)))
			baseChange{c, b, fmt.Sprintf("change/%d-%d", seed, i)}.run(t)
		})
	}
}

type baseChange struct {
	*randomCase
	bed  *bed.Bed
	name string
}

func (c baseChange) ref(tag string) string { return c.bed.Registry.Ref(c.name + ":" + tag) }

func (c baseChange) push(t *testing.T) {
	t.Helper()
	image, err := bed.NewImage(func(config *v1.ConfigFile) {
		config.Config.Env = append(config.Config.Env, "G=a")
	}, c.layers...)
	if err != nil {
		t.Fatal(err)
	}
	c.bed.Push(t, c.ref("base"), image)
}

func (c baseChange) run(t *testing.T) {
	dir := filepath.Join(t.TempDir(), slug(c.name))
	dockerfile := "FROM " + c.ref("base") + "\n" + strings.Join(c.dockerfile, "\n") + "\n"
	bed.WriteFiles(t, dir, append(c.context, bed.Text("Dockerfile", dockerfile))...)
	build := func(plugin, tag string, args ...string) bed.Result {
		args = append([]string{"build", "--provenance=false", "--push", "-t", c.ref(tag)}, args...)
		return c.bed.Plugin(t, dir, nil, plugin, append(args, ".")...)
	}
	c.push(t)
	build("relink", "one")
	c.layers = append(c.layers, c.upperLayer())
	c.push(t)

	began := time.Now().Truncate(time.Second)
	auto := build("relink", "auto")
	verified := build("relink", "verified", "--verify")
	stock := build("buildx", "stock")
	if stock.Code != 0 {
		return
	}
	refused := strings.Contains(verified.Stderr, "verifying the link to")
	if !refused {
		verified.MustSucceed(t)
		compareImages(t, c.bed, c.ref("stock"), c.ref("verified"), began)
	}
	if inherited := strings.Contains(auto.Stderr, "(inherited"); !inherited || !refused {
		auto.MustSucceed(t)
		compareImages(t, c.bed, c.ref("stock"), c.ref("auto"), began)
	}
	if t.Failed() {
		t.Logf("Dockerfile:\n%s\nbase: %s\ncontext: %s\n%s", dockerfile, listing(c.layers...), listing(c.context), auto.Stderr)
	}
}
