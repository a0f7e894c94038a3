package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// TestInterrupt sends what ctrl-C sends in the middle of a build step: the exit
// code is buildx's, and the step ends on the builder.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	for i, test := range []struct {
		name, plugin string
		// group is for a terminal, which sends the signal to all processes of
		// its foreground group; otherwise the Docker CLI alone gets it.
		group bool
	}{
		{"stock buildx", "buildx", false},
		{"to the Docker CLI", "relink", false},
		{"to the group", "relink", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// The time is the mark by which the step is known on the builder.
			seconds := fmt.Sprint(86401 + i)
			dir := t.TempDir()
			bed.WriteFiles(t, dir, bed.Text("Dockerfile",
				"FROM "+b.Base(t, "usrmerge")+"\nRUN sleep "+seconds+"\nCOPY Dockerfile /opt/link/\n"))
			code, output := interrupt(t, b, dir, test.group, func() bool { return sleeping(t, seconds) },
				test.plugin, "build", "--no-cache", ".")
			if code != 130 {
				t.Errorf("exit code %d, want 130:\n%s", code, output)
			}
			if !eventually(30*time.Second, func() bool { return !sleeping(t, seconds) }) {
				t.Error("the step still runs on the builder")
			}
		})
	}
}

// TestInterruptPull interrupts while relink reads the base for the facts that
// it needs: the download of the layer ends with the build.
func TestInterruptPull(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := "interrupted/base:1"
	image, err := bed.NewImage(nil, []bed.File{bed.Dir("opt", 0o755), bed.Text("opt/only", "in this base\n")})
	if err != nil {
		t.Fatal(err)
	}
	b.Push(t, b.Registry.Ref(base), image)
	layer := b.Image(t, b.Registry.Ref(base), "").Layers()[0]

	var waiting atomic.Int32
	proxy := startProxy(t, b.Registry.Host, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer) {
			return false
		}
		waiting.Add(1)
		defer waiting.Add(-1)
		<-r.Context().Done() // The builder has gone.
		return true
	})
	dir := t.TempDir()
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", "FROM "+proxy+"/"+base+"\nCOPY Dockerfile /opt/\n"))
	code, output := interrupt(t, b, dir, false, func() bool { return waiting.Load() > 0 }, "relink", "build", ".")
	if code != 130 {
		t.Errorf("exit code %d, want 130:\n%s", code, output)
	}
	if !eventually(30*time.Second, func() bool { return waiting.Load() == 0 }) {
		t.Error("the builder still downloads")
	}
}

// interrupt runs a build until it is busy with what the test waits for, and
// sends the signal.
func interrupt(t *testing.T, b *bed.Bed, dir string, group bool, busy func() bool, args ...string) (code int, output string) {
	t.Helper()
	var printed bytes.Buffer
	cmd := b.DockerCommand(t.Context(), dir, nil, args...)
	cmd.Stdout, cmd.Stderr = &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reached := eventually(time.Minute, busy)
	to := cmd.Process.Pid
	if group {
		to = -to
	}
	if err := syscall.Kill(to, syscall.SIGINT); err != nil {
		t.Error(err)
	}
	err := cmd.Wait()
	if !reached {
		t.Fatalf("the build did not get that far:\n%s", printed.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), printed.String()
}

// sleeping looks for the step among the processes of the machine, of which the
// builder's are a part.
func sleeping(t *testing.T, seconds string) bool {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		// A process may end while this looks at it.
		if command, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(command), "sleep\x00"+seconds) {
			return true
		}
	}
	return false
}

func eventually(timeout time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

// TestPushFails has a registry that turns a push away half way: the build
// fails, says so, and leaves no tag behind.
func TestPushFails(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	for _, test := range []struct {
		name, path string
		// let is how many such uploads pass before one is turned away.
		let int32
	}{
		{"second-blob", "/blobs/uploads/", 1},
		{"first-manifest", "/manifests/", 0},
		{"index", "/manifests/", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var uploads atomic.Int32
			proxy := startProxy(t, b.Registry.Host, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, test.path) || uploads.Add(1) <= test.let {
					return false
				}
				http.Error(w, "refused by the test", http.StatusForbidden)
				return true
			})
			dir := t.TempDir()
			bed.WriteFiles(t, dir, bed.Text("Dockerfile",
				"FROM "+b.Base(t, "usrmerge")+"\nCOPY Dockerfile /opt/link/\nCOPY Dockerfile /bin/tool\n"))
			name := "refused/" + test.name
			// With provenance the image comes in an index, which has the tag.
			result := b.Docker(t, dir, nil, "relink", "build", "--push", "--provenance=mode=min", "-t", proxy+"/"+name, ".")
			if result.Code != 1 {
				t.Errorf("exit code %d, want 1", result.Code)
			}
			if !strings.Contains(result.Stderr, "ERROR: ") || !strings.Contains(result.Stderr, "403 Forbidden") {
				t.Errorf("the error does not say that the push was refused:\n%s", result.Stderr)
			}
			if uploads.Load() <= test.let {
				t.Errorf("%d uploads, want more than %d", uploads.Load(), test.let)
			}
			expectNoTag(t, b, name)
		})
	}
}

// expectNoTag asks for all tags, not only for the one that was to be pushed.
func expectNoTag(t *testing.T, b *bed.Bed, repository string) {
	t.Helper()
	response, err := http.Get("http://" + b.Registry.Host + "/v2/" + repository + "/tags/list")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusNotFound && !strings.Contains(body.String(), `"tags":null`) && !strings.Contains(body.String(), `"tags":[]`) {
		t.Errorf("the push left tags: %s", body.String())
	}
}

// startProxy stands before a registry. Requests that answer says true to have
// been dealt with.
func startProxy(t *testing.T, registry string, answer func(http.ResponseWriter, *http.Request) bool) (host string) {
	t.Helper()
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: registry})
			r.Out.Host = r.In.Host // The registry names itself by it in its answers.
		},
		// Builds that are interrupted interrupt their requests.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}
