package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/delay"
)

// TestRebaseRoundTrips holds a rebase in a registry that is far away to few waits
// for it: connect, manifests, configs, begin blobs, blobs, manifests, index.
func TestRebaseRoundTrips(t *testing.T) {
	t.Parallel()
	r := newRebaseRepo(t, "far")
	far, err := delay.Listen(r.bed.Registry.Host, 150*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	at := func(what string) string { return strings.Replace(r.ref(what), r.bed.Registry.Host, far.Addr(), 1) }
	r.rebase(t, at("app:1"), "--onto", at("base:2"), "--from", at("base:1"), "--push", "-t", at("out:1")).MustSucceed(t)
	if trips := far.RoundTrips(); trips < 4 || trips > 8 {
		t.Errorf("%d round trips, want about 7", trips)
	}
	r.wantRebuilt(t, "out:1")
}
