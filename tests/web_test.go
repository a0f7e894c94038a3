package tests

import (
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-relink/relink/tests/bed"
)

// startWeb serves what ADD gets from elsewhere: files below /files and a git
// repository at /git/repo.git.
func startWeb(t *testing.T) string {
	t.Helper()
	tarball, err := bed.Tar(bed.Dir("in", 0o750), bed.Text("in/tar", "from a tar\n"))
	if err != nil {
		t.Fatal(err)
	}
	modified := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	mux := http.NewServeMux()
	mux.HandleFunc("/files/", func(w http.ResponseWriter, r *http.Request) {
		content := "from the web\n"
		if strings.HasSuffix(r.URL.Path, ".tar") {
			content = string(tarball)
		}
		http.ServeContent(w, r, filepath.Base(r.URL.Path), modified, strings.NewReader(content))
	})
	serveRepository(t, mux,
		bed.Text("README", "a repository\n"),
		bed.Text("sub/script", "#!/bin/sh\n").WithMode(0o755),
		bed.Link("sub/link", "../README"),
	)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// serveContexts serves build contexts with a Dockerfile: an archive, a
// repository, whose directory sub has the same in it, and the Dockerfile alone.
func serveContexts(t *testing.T, dockerfile string, files ...bed.File) string {
	t.Helper()
	files = append(files, bed.Text("Dockerfile", dockerfile))
	tarball, err := bed.Tar(files...)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/context.tar", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(tarball) })
	mux.HandleFunc("/Dockerfile", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, dockerfile) })
	for _, file := range files {
		file.Path = "sub/" + file.Path
		files = append(files, file)
	}
	serveRepository(t, mux, files...)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// serveRepository serves a git repository of the files at /git/repo.git.
func serveRepository(t *testing.T, mux *http.ServeMux, files ...bed.File) {
	t.Helper()
	root := t.TempDir()
	makeRepository(t, root, files...)
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("looking for git: %v", err)
	}
	mux.Handle("/git/", &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Root: "/git",
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	})
}

func makeRepository(t *testing.T, root string, files ...bed.File) {
	t.Helper()
	work := filepath.Join(root, "work")
	bed.WriteFiles(t, work, files...)
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "."},
		{"add", "."},
		{"commit", "-q", "-m", "all"},
		{"clone", "-q", "--bare", ".", filepath.Join(root, "repo.git")},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(),
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
			"GIT_AUTHOR_DATE=2021-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2021-01-01T00:00:00Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
}
