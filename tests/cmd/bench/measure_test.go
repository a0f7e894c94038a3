package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("median of %v is %v, want %v", tc.values, got, tc.want)
		}
	}
}

func TestRatioIsOfPairs(t *testing.T) {
	r := result{stock: []float64{1, 2, 10}, relink: []float64{2, 2, 10}}
	if got := r.ratio(); got != 1 {
		t.Errorf("the ratio is %v, want 1", got)
	}
}

func TestWriteTableKeepsTheText(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+begin("x")+"old\n"+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeTable(page, "x", "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + begin("x") + "\nnew\n\n" + end + "after\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.WriteFile(page, []byte(strings.ReplaceAll(string(got), end, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if writeTable(page, "x", "new\n") == nil {
		t.Error("a page without a place for the table was written")
	}
}
