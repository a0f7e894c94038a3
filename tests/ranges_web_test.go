package tests

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// serveContexts serves build contexts with a Dockerfile: an archive, a
// repository, whose directory sub has the same in it, and a Dockerfile alone.
func serveContexts(t *testing.T, dockerfile string) string {
	t.Helper()
	content := []bed.File{bed.Text("Dockerfile", dockerfile), bed.Text("in/tar", "in\n")}
	tarball, err := bed.Tar(content...)
	if err != nil {
		t.Fatal(err)
	}
	base, _, _ := strings.Cut(strings.TrimPrefix(dockerfile, "FROM "), " ")
	plain := "FROM " + base + " AS base\nFROM base AS x\nRUN echo > /plain\nFROM base..x\n"
	mux := http.NewServeMux()
	mux.HandleFunc("/context.tar", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(tarball) })
	mux.HandleFunc("/Dockerfile.plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(plain)) })
	root := t.TempDir()
	serveRepository(t, root, content)
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("looking for git: %v", err)
	}
	mux.Handle("/git/", &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Root: "/git",
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func serveRepository(t *testing.T, root string, content []bed.File) {
	t.Helper()
	work := filepath.Join(root, "work")
	bed.WriteFiles(t, work, content...)
	for _, f := range content {
		f.Path = "sub/" + f.Path
		bed.WriteFiles(t, work, f)
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "."},
		{"add", "."},
		{"commit", "-q", "-m", "all"},
		{"clone", "-q", "--bare", ".", filepath.Join(root, "repo.git")},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
}
