package bed

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestAloneEndsAtTheFirstFatal(t *testing.T) {
	a := &alone{ctx: context.Background()}
	var order []string
	failing := func(tb testing.TB) {
		dir := tb.TempDir()
		tb.Cleanup(func() {
			if _, err := os.Stat(dir); err != nil {
				tb.Errorf("the directory went before what was made in it: %v", err)
			}
			order = append(order, "second")
		})
		tb.Cleanup(func() {
			order = append(order, "first")
			tb.Fatal("a clean-up failed")
		})
		tb.Fatalf("stopped at %d", 1)
		order = append(order, "never")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.cleanUp()
		failing(a)
	}()
	<-done
	if !slices.Equal(order, []string{"first", "second"}) {
		t.Errorf("what ran is %q", order)
	}
	if len(a.errs) != 2 || a.errs[0].Error() != "stopped at 1" || a.errs[1].Error() != "a clean-up failed" {
		t.Errorf("the errors are %q", a.errs)
	}
}

func TestUploadLine(t *testing.T) {
	const line = `127.0.0.1 - - [21/Nov/2026:22:00:00 +0000] "PUT /v2/app/1/blobs/uploads/7c?_state=abc&digest=sha256%3Af00 HTTP/1.1" 201 0 "" "buildkit/v0.33"`
	match := uploadLine.FindStringSubmatch(line)
	if match == nil || match[1] != "_state=abc&digest=sha256%3Af00" || match[2] != "buildkit/v0.33" {
		t.Errorf("got %q", match)
	}
	for _, other := range []string{
		strings.Replace(line, " 201 ", " 404 ", 1),
		strings.Replace(line, "PUT", "PATCH", 1),
		strings.Replace(line, "blobs/uploads/7c", "manifests/latest", 1),
	} {
		if uploadLine.MatchString(other) {
			t.Errorf("%s is taken for an upload", other)
		}
	}
}
