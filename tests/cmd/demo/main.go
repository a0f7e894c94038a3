// Command demo builds an application with stock buildx and with relink, moves
// the base image that it stands on, builds it again on a builder that has
// nothing, and prints what each of them had to do.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return bed.AloneWithoutDaemon(ctx, func(t testing.TB, b *bed.Bed) {
		(&demo{
			t: t, bed: b, out: os.Stdout, began: time.Now(),
			app: filepath.Join(bed.Root(), "tests", "cmd", "demo", "app"),
		}).run()
	})
}

// The base of the application, and the image that it is compiled in, which is
// the same Debian under a name of its own and does not move.
const (
	baseName      = "base/debian:bookworm"
	toolchainName = "toolchain/debian:bookworm"
)

// way is a way to build: a column of the table.
type way struct {
	name    string
	command []string
}

var ways = []way{
	{"stock", []string{"buildx", "build"}},
	{"relink", []string{"relink", "build"}},
	{"relink --link=always", []string{"relink", "build", "--link=always"}},
}

// builder is the name of the builder for the way: stock buildx cannot bring one
// along, and uses relink's.
func (w way) builder(e bed.Embedded) string {
	if w.command[0] == "buildx" {
		return e.Shared
	}
	return "embedded"
}

type demo struct {
	t   testing.TB
	bed *bed.Bed
	out io.Writer
	app string // the build context
	// began is when no image had been built yet: what is compiled later has
	// its time from the clock.
	began time.Time
}

func (d *demo) run() {
	d.say("Making the base image: Debian bookworm, by debootstrap.")
	base := d.bed.Base(d.t, "debian:bookworm")
	image := d.bed.Pull(d.t, base)
	d.bed.Push(d.t, d.bed.Registry.Ref(toolchainName), image)
	d.showDockerfile()

	d.say("First build: a builder without state for each, nothing in the registry but the bases.")
	first := d.buildAll()

	d.say("The base moves: %s is a newer image now.\n", baseName)
	d.bed.Push(d.t, base, d.bed.Newer(d.t, image))

	d.say("Base swap: again a builder without state for each; the last image is the cache (inline).")
	second := d.buildAll()

	d.say("First build")
	printTable(d.out, first)
	d.say("Base swap, Dockerfile unmodified")
	printTable(d.out, second)
	d.checkEqual(first)
	d.checkEqual(second)
	d.say("Every image of relink's equals stock's in tree, config and history, before and after the swap.")
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) showDockerfile() {
	text, err := os.ReadFile(filepath.Join(d.app, "Dockerfile"))
	if err != nil {
		d.t.Fatalf("reading the Dockerfile: %v", err)
	}
	d.say("\n%s", text)
}

func (d *demo) buildAll() []outcome {
	var outcomes []outcome
	for i, w := range ways {
		o := d.build(w, d.bed.Registry.Ref(fmt.Sprintf("app/%d:latest", i)))
		d.say("  %-22s %s", w.name, seconds(o.took))
		outcomes = append(outcomes, o)
	}
	d.say("")
	return outcomes
}

// checkEqual holds the images to the law: stock's is the first.
func (d *demo) checkEqual(outcomes []outcome) {
	stock := outcomes[0].image
	for _, o := range outcomes[1:] {
		diffs := append(bed.Compare(stock, o.image), bed.CompareLayers(stock, o.image)...)
		for _, diff := range diffs {
			d.t.Errorf("%s made another image than %s: %s", o.way.name, outcomes[0].way.name, diff)
		}
		if len(diffs) > 0 {
			d.t.FailNow()
		}
	}
}
