package bed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Registry is a real registry on the loopback interface, and the account of
// what was asked of it.
type Registry struct {
	// Host is what a reference to an image in it starts with.
	Host string

	daemon *process
	fences chan int
}

const registryConfig = `
version: 0.1
log:
  level: info
  accesslog:
    disabled: false
storage:
  delete:
    enabled: true
  filesystem:
    rootdirectory: %s
http:
  addr: 127.0.0.1:0
`

var listening = regexp.MustCompile(`listening on ([0-9.]+:[0-9]+)`)

func startRegistry(_ context.Context, program, dir string) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the registry's directory: %w", err)
	}
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(dir, "data")), 0o600); err != nil {
		return nil, fmt.Errorf("writing the registry's configuration: %w", err)
	}
	daemon, err := startProcess("registry", filepath.Join(dir, "log"), []string{"OTEL_TRACES_EXPORTER=none"}, program, "serve", config)
	if err != nil {
		return nil, err
	}
	r := &Registry{daemon: daemon, fences: make(chan int, 1)}
	r.fences <- 0
	err = daemon.waitFor(func() bool {
		match := listening.FindStringSubmatch(daemon.output())
		if match != nil {
			r.Host = match[1]
		}
		return match != nil
	}, 30*time.Second)
	if err != nil {
		return nil, fmt.Errorf("waiting for the registry: %w", err)
	}
	return r, nil
}

// Close stops the registry.
func (r *Registry) Close() error { return r.daemon.stop() }

// Ref is a reference to an image of this registry.
func (r *Registry) Ref(name string) string { return r.Host + "/" + name }

// Mark is a place in the account.
type Mark int64

// Request is one request that the registry answered.
type Request struct {
	Method string
	// Repo is the repository, Kind "blobs", "manifests", "tags" or "uploads",
	// and Ref the digest or tag.
	Repo, Kind, Ref string
	Status          int
	Bytes           int64
	UserAgent       string
}

// Requests is an account of requests.
type Requests []Request

// Mark gives the present end of the account.
func (r *Registry) Mark(t testing.TB) Mark {
	t.Helper()
	return Mark(len(r.readLog(t)))
}

// Since gives the requests answered after the mark, those of the bed itself
// left out.
func (r *Registry) Since(t testing.TB, mark Mark) Requests {
	t.Helper()
	var requests Requests
	for line := range strings.Lines(r.readLog(t)[mark:]) {
		if request, ok := parseAccess(line); ok && !strings.HasPrefix(request.UserAgent, userAgent) {
			requests = append(requests, request)
		}
	}
	return requests
}

// readLog reads the access log up to now. The registry writes a line when it
// has finished with a request, which may be after its client has; a request of
// our own whose line is waited for, and a little time, close the gap.
func (r *Registry) readLog(t testing.TB) string {
	t.Helper()
	fence := <-r.fences
	r.fences <- fence + 1
	time.Sleep(50 * time.Millisecond)
	path := fmt.Sprintf("/v2/?fence=%d", fence)
	response, err := http.Get("http://" + r.Host + path)
	if err != nil {
		t.Fatalf("asking the registry: %v", err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	for range 200 {
		data, err := os.ReadFile(r.daemon.stdout)
		if err != nil {
			t.Fatalf("reading the registry's access log: %v", err)
		}
		if log := string(data); strings.Contains(log, path+" ") {
			return log
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the registry did not log %s", path)
	return ""
}

var (
	accessLine = regexp.MustCompile(`"([A-Z]+) ([^ "]+) [^"]*" ([0-9]{3}) ([0-9]+|-) "[^"]*" "([^"]*)"`)
	accessPath = regexp.MustCompile(`^/v2/(.+)/(blobs/uploads|blobs|manifests|tags|referrers)/?([^?]*)`)
)

func parseAccess(line string) (Request, bool) {
	match := accessLine.FindStringSubmatch(line)
	if match == nil {
		return Request{}, false
	}
	path := accessPath.FindStringSubmatch(match[2])
	if path == nil {
		return Request{}, false
	}
	request := Request{Method: match[1], Repo: path[1], Kind: path[2], Ref: path[3], UserAgent: match[5]}
	if request.Kind == "blobs/uploads" {
		request.Kind = "uploads"
	}
	// Both are digits by the expression; a size of "-" is none.
	request.Status, _ = strconv.Atoi(match[3])
	request.Bytes, _ = strconv.ParseInt(match[4], 10, 64)
	return request, true
}

// Of gives the requests that named one of the digests, to tell layers from
// configs, which the registry does not.
func (r Requests) Of(digests ...string) Requests {
	var of Requests
	for _, request := range r {
		for _, digest := range digests {
			if request.Ref == digest {
				of = append(of, request)
			}
		}
	}
	return of
}

// BlobDownloads gives the downloads of blobs, of layers and configs alike.
func (r Requests) BlobDownloads() Requests {
	var downloads Requests
	for _, request := range r {
		if request.Method == http.MethodGet && request.Kind == "blobs" && request.Status < 300 {
			downloads = append(downloads, request)
		}
	}
	return downloads
}

// BlobUploads gives the uploads of blobs that were completed.
func (r Requests) BlobUploads() Requests {
	var uploads Requests
	for _, request := range r {
		if request.Method == http.MethodPut && request.Kind == "uploads" && request.Status == http.StatusCreated {
			uploads = append(uploads, request)
		}
	}
	return uploads
}

// BytesPulled is the number of bytes of the downloads of blobs.
func (r Requests) BytesPulled() int64 {
	var sum int64
	for _, request := range r.BlobDownloads() {
		sum += request.Bytes
	}
	return sum
}
