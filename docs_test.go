package relink_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// reason finds the reasons for which an instruction is not linked where they
// are given, and in what variables they are.
var reason = regexp.MustCompile(`(?:Reason: (?:fmt\.Sprintf\()?|errLinks = errors\.New\()"([^"]+)"`)

// TestReasons holds docs/linking.md to have every reason that the report gives.
func TestReasons(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "linking.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"frontend", filepath.Join("internal", "skeleton")} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range reason.FindAllStringSubmatch(string(source), -1) {
				found++
				// What is before a number and after it has to be there.
				for part := range strings.SplitSeq(match[1], "%d") {
					if !strings.Contains(string(page), part) {
						t.Errorf("%s gives the reason %q, which docs/linking.md does not explain", file, match[1])
					}
				}
			}
		}
	}
	if found == 0 {
		t.Error("no reasons were found, so nothing was checked")
	}
}
