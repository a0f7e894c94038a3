package tests

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// carers are who has a builder that can do everything.
func carers(b *bed.Bed) map[string]station {
	return map[string]station{
		"root": {bed: b, programs: allPrograms},
		"user": {bed: b, ordinary: true, subIDs: true, programs: allPrograms},
	}
}

// held is what a build step asks for and waits for: the step is there when it is
// reached, and ends when it is released.
type held struct {
	url              string
	reached, release chan struct{}
}

func newHeld(t *testing.T) held {
	t.Helper()
	h := held{reached: make(chan struct{}, 1), release: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h.reached <- struct{}{}
		select {
		case <-h.release:
		case <-r.Context().Done():
		case <-time.After(time.Minute): // What should have ended it has not.
		}
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// heldBuild begins a build and returns when its step runs.
func (m station) heldBuild(t *testing.T, h held, dockerfile string) <-chan bed.Result {
	t.Helper()
	dir := embeddedContext(t, fmt.Sprintf("%s\nRUN wget -q -O /dev/null %s && true %s\n", dockerfile, h.url, filepath.Base(m.dir)))
	done := make(chan bed.Result, 1)
	go func() {
		done <- m.relink(t, dir, nil, "--builder", "embedded", "build", "--output", "type=cacheonly", ".")
	}()
	select {
	case <-h.reached:
	case result := <-done:
		t.Fatalf("the step was not run: exit code %d\n%s", result.Code, result.Stderr)
	}
	return done
}

// size is what the builder keeps, in bytes.
func (m station) size(t *testing.T) int {
	t.Helper()
	var status struct{ Size int }
	m.relink(t, "/", nil, "builder", "status", "--format", "json").JSON(t, &status)
	return status.Size
}

// TestEmbeddedPrune removes the builder's cache, and what the flags leave is left.
func TestEmbeddedPrune(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	const large = 20_000_000
	dockerfile := fmt.Sprintf("FROM %s\nRUN head -c %d /dev/urandom >/large && chown 65:65 /large && echo run $((1 + 1))", b.Base(t, "busybox"), large)
	for name, m := range carers(b) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := m.make(t)
			dir := embeddedContext(t, dockerfile+"\nCOPY page /\n")
			build := func() bed.Result {
				return m.relink(t, dir, nil, "--builder", "embedded", "build", "--output", "type=cacheonly", ".").MustSucceed(t)
			}
			build()
			for _, row := range []struct {
				args []string
				says string
				code int
			}{
				{says: "Are you sure you want to continue? [y/N]"}, // Nobody answers.
				{args: []string{"--force", "--filter", "until=24h"}, says: "Total:\t0B"},
				{args: []string{"--force", "--max-used-space", "1gb"}, says: "Total:\t0B"},
				{args: []string{"--force", "--builder", "mine"}, says: "docker buildx prune --builder mine", code: 1},
			} {
				result := m.relink(t, "/", nil, slices.Concat([]string{"builder", "prune"}, row.args)...)
				if result.Code != row.code || !strings.Contains(result.Stdout+result.Stderr, row.says) {
					t.Errorf("%q: exit code %d, want %d and %q:\n%s%s", row.args, result.Code, row.code, row.says, result.Stdout, result.Stderr)
				}
				if size := m.size(t); size < large {
					t.Errorf("%q: %d bytes are left", row.args, size)
				}
			}
			if again := build(); strings.Contains(again.Stderr, " run 2\n") {
				t.Errorf("the cache is not what it was:\n%s", again.Stderr)
			}
			// The daemon need not run.
			m.relink(t, "/", nil, "builder", "stop").MustSucceed(t)
			m.prunes(t, large)
			if again := build(); !strings.Contains(again.Stderr, " run 2\n") {
				t.Errorf("the cache is still there:\n%s", again.Stderr)
			}
			m.prunesBeside(t, dockerfile)
		})
	}
}

// prunes wants all to go, of which so much is one file.
func (m station) prunes(t *testing.T, large int) {
	t.Helper()
	pruned := m.relink(t, "/", nil, "builder", "prune", "--force").MustSucceed(t)
	if !strings.Contains(pruned.Stdout, "RECLAIMABLE") || !strings.Contains(pruned.Stdout, "20.0") || strings.Contains(pruned.Stdout, "Total:\t0B") {
		t.Errorf("what was removed:\n%s", pruned.Stdout)
	}
	if size := m.size(t); size > large/4 {
		t.Errorf("%d bytes are left", size)
	}
	if again := m.relink(t, "/", nil, "builder", "prune", "--force", "--all").MustSucceed(t); again.Stdout != "Total:\t0B\n" {
		t.Errorf("there was more to remove:\n%s", again.Stdout)
	}
}

// prunesBeside wants a build that runs to keep what it uses.
func (m station) prunesBeside(t *testing.T, dockerfile string) {
	t.Helper()
	h := newHeld(t)
	done := m.heldBuild(t, h, dockerfile)
	m.relink(t, "/", nil, "builder", "prune", "--force", "--all").MustSucceed(t)
	close(h.release)
	(<-done).MustSucceed(t)
}

// TestEmbeddedStop stops the builder while a build runs: the build ends first, or
// fails by --force.
func TestEmbeddedStop(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	from := "FROM " + b.Base(t, "busybox")
	for name, m := range carers(b) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := m.make(t)
			m.relink(t, "/", nil, "builder", "stop").MustSucceed(t) // Nothing runs.
			t.Run("in turn", func(t *testing.T) { m.stopsInTurn(t, from) })
			t.Run("by force", func(t *testing.T) { m.stopsByForce(t, from) })
			t.Run("by force after all", func(t *testing.T) { m.stopsAfterAll(t, from) })
			m.together(t, 1, nil)
		})
	}
}

// stopping begins to stop the builder, and returns when nobody can connect any more.
func (m station) stopping(t *testing.T) <-chan bed.Result {
	t.Helper()
	stopped := make(chan bed.Result, 1)
	go func() { stopped <- m.relink(t, "/", nil, "builder", "stop") }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", filepath.Join(m.place(), "run", "builder.sock"))
		if err != nil {
			return stopped
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the builder listens on")
		}
	}
}

func (m station) stopsInTurn(t *testing.T, dockerfile string) {
	h := newHeld(t)
	built := m.heldBuild(t, h, dockerfile)
	stopped := m.stopping(t)
	select {
	case result := <-stopped:
		t.Errorf("the build was not waited for: exit code %d\n%s", result.Code, result.Stderr)
	default:
	}
	if pids := m.daemons(t); len(pids) != 1 {
		t.Errorf("processes %d, want the one that builds", pids)
	}
	close(h.release)
	(<-built).MustSucceed(t)
	(<-stopped).MustSucceed(t)
	m.isGone(t)
}

func (m station) stopsByForce(t *testing.T, dockerfile string) {
	built := m.heldBuild(t, newHeld(t), dockerfile)
	m.relink(t, "/", nil, "builder", "stop", "--force").MustSucceed(t)
	m.isGone(t)
	m.wantOneError(t, <-built, "Unavailable")
}

func (m station) stopsAfterAll(t *testing.T, dockerfile string) {
	built := m.heldBuild(t, newHeld(t), dockerfile)
	stopped := m.stopping(t)
	m.relink(t, "/", nil, "builder", "stop", "-f").MustSucceed(t)
	(<-stopped).MustSucceed(t)
	m.isGone(t)
	m.wantOneError(t, <-built, "Unavailable")
}

// isGone wants nothing of the builder to run, nor anything that it ran.
func (m station) isGone(t *testing.T) {
	t.Helper()
	if pids := m.daemons(t); len(pids) > 0 {
		t.Errorf("processes %d are left", pids)
	}
	wantNoStep(t, filepath.Base(m.dir))
	if status := m.relink(t, "/", nil, "builder", "status").MustSucceed(t); !strings.Contains(status.Stdout, "Running:  no\n") {
		t.Errorf("the status:\n%s", status.Stdout)
	}
}

// TestEmbeddedSBOM has the builder run a scanner, which lists what stock's lists.
func TestEmbeddedSBOM(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	sbom := "--sbom=generator=" + pushLister(t, b, "embedded/lister:1")
	dir := embeddedContext(t, "FROM "+b.Base(t, "usrmerge")+"\nRUN touch /made\nCOPY page /opt/link/x\nCOPY page /bin/y\n")
	stock := b.Registry.Ref("embedded/sbom:stock")
	b.Docker(t, dir, nil, "buildx", "build", "--push", sbom, "-t", stock, ".").MustSucceed(t)
	want := scanned(t, b, stock)
	for name, m := range carers(b) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := m.make(t)
			m.relink(t, dir, nil, "--builder", "embedded", "build", "--push", sbom, "-t", m.ref("sbom", name), ".").MustSucceed(t)
			if got := scanned(t, b, m.ref("sbom", name)); len(want) < 10 || !slices.Equal(got, want) {
				t.Errorf("the SBOM lists %q\nwant %q", got, want)
			}
		})
	}
	t.Run("without runc", func(t *testing.T) {
		t.Parallel()
		m := station{bed: b}.make(t)
		copies := embeddedContext(t, "FROM scratch\nCOPY page /\n")
		result := m.relink(t, copies, nil, "--builder", "embedded", "build", "--push", sbom, "-t", m.ref("sbom", "none"), ".")
		m.wantOneError(t, result, "no runc in PATH")
	})
}
