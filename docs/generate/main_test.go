package main

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"testing"
)

// TestReference holds the committed reference to what the commands say of
// themselves: every page is there and up to date, and there is no other.
func TestReference(t *testing.T) {
	log.SetOutput(io.Discard) // The tool names each page there.
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	// Settings of the machine must not show; one that would is set here.
	t.Setenv("RELINK_LINK", "never")
	committed, made := filepath.Join("..", "reference"), t.TempDir()
	if err := generate(committed, made); err != nil {
		t.Fatal(err)
	}
	want, got := pages(t, made), pages(t, committed)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("docs/reference/%s is not what the commands say; run: make docs", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("docs/reference/%s is about no command", name)
		}
	}
}

func pages(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		texts[entry.Name()] = string(data)
	}
	return texts
}
