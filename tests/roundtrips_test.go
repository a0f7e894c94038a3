package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
	"github.com/docker-relink/relink/tests/delay"
)

// TestFactsRoundTrips counts what a client far from its builder waits for. Half
// a second at 40 ms is twelve round trips: that is what ten copies may cost when
// everything that they look at has to be read.
func TestFactsRoundTrips(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	builder := b.NewBuilder(t)
	base := b.Base(t, "usrmerge")
	// Each looks somewhere else.
	destinations := []string{
		"/bin/f", "/sbin/f", "/lib/f", "/lib64/f", "/etc/app.d/f",
		"/home/app/f", "/opt/link/f", "/opt/up/d/f", "/opt/setgid/f", "/usr/local/bin/f",
	}
	context := func(copies int) string {
		var text strings.Builder
		fmt.Fprintf(&text, "FROM %s\nLABEL copies=%d\n", base, copies)
		for _, destination := range destinations[:copies] {
			fmt.Fprintf(&text, "COPY --chown=app f %s\n", destination)
		}
		dir := filepath.Join(t.TempDir(), fmt.Sprint("copies", copies))
		bed.WriteFiles(t, dir, bed.Text("f", "content\n"), bed.Text("Dockerfile", text.String()))
		return dir
	}
	without, with := context(0), context(len(destinations))
	// The progress of a build on a busy machine takes some more, so it is the best
	// of a few that counts; the first of them builds, the others do not have to.
	for range 8 {
		none, ten := roundTrips(t, b, builder, without), roundTrips(t, b, builder, with)
		t.Logf("%d round trips without a copy, %d with ten", none, ten)
		if none >= 5 && ten-none <= 12 {
			return
		}
	}
	t.Error("ten copies cost more than twelve round trips")
}

// roundTrips counts those of a build by a machine that remembers nothing.
func roundTrips(t *testing.T, b *bed.Bed, builder *bed.Builder, dir string) int {
	t.Helper()
	far, err := delay.Listen(builder.Address, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	env := []string{"BUILDX_CONFIG=" + t.TempDir()}
	b.Plugin(t, "", env, "buildx", "create", "--use", "--name", "far", "--driver", "remote", "tcp://"+far.Addr()).MustSucceed(t)
	far.Reset()
	result := b.Plugin(t, dir, env, "relink", "build", "--progress=plain", ".").MustSucceed(t)
	if strings.Contains(dir, "copies10") && !strings.Contains(result.Stderr, "read now") {
		t.Errorf("nothing was read:\n%s", result.Stderr)
	}
	return far.RoundTrips()
}
