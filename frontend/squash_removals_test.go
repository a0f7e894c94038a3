package frontend

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/docker-relink/relink/internal/layers"
)

func TestRemovalOf(t *testing.T) {
	stay := []string{"b\xfe"}
	if r, err := removalOf("/", "c", stay); err != nil || r.Pattern || r.Path != "/c" {
		t.Errorf("%+v, %v", r, err)
	}
	r, err := removalOf("/", "a\xff", stay)
	if err != nil || !r.Pattern {
		t.Fatalf("%+v, %v", r, err)
	}
	if fits, _ := filepath.Match(r.Path[1:], "a\xff"); !fits {
		t.Errorf("%q does not fit", r.Path)
	}
	if _, err := removalOf("/", "b\xff", stay); err == nil {
		t.Error("a name that cannot be told from one that stays is removed")
	}
}

// Removals remove what is gone and nothing else, and are few where names are alike.
func TestRemovalsIn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, test := range []struct {
		name       string
		gone, stay func(i int) string
		most       int
	}{
		{"by what they begin with", func(i int) string { return fmt.Sprint("gone-", i) }, func(i int) string { return fmt.Sprint("stay-", i) }, 1},
		{"by what they end with", func(i int) string { return fmt.Sprint(i, ".gone") }, func(i int) string { return fmt.Sprint(i, ".stay") }, 1},
		{"all", func(i int) string { return fmt.Sprint(i, "-", i) }, nil, 1},
		{"one begins like the others", func(i int) string { return "ab"[:1+i%2] + fmt.Sprint(i) }, func(int) string { return "a" }, 20},
		{"odd names", func(i int) string { return fmt.Sprintf(`[%d]*?\`, i) }, func(i int) string { return fmt.Sprintf("%d*", i) }, 1},
		{"cut in a letter", func(i int) string { return "\u00e4" + fmt.Sprint(i) }, func(i int) string { return "\u00e5" + fmt.Sprint(i) }, 1},
		{"not UTF-8 beside", func(i int) string { return "x" + fmt.Sprint(i) }, func(i int) string { return "\xff" + fmt.Sprint(i) + "x\xfe" }, 1},
		{"at random", func(int) string { return randomName(rnd) }, func(int) string { return randomName(rnd) }, 300},
	} {
		t.Run(test.name, func(t *testing.T) {
			base, above := map[string]*fstypes.Stat{}, map[string]*fstypes.Stat{}
			for i := range 300 {
				base[test.gone(i)] = &fstypes.Stat{}
				if test.stay != nil {
					name := test.stay(i)
					base[name], above[name] = &fstypes.Stat{}, &fstypes.Stat{}
				}
			}
			removals, _, err := removalsIn("/d", base, above)
			if err != nil {
				t.Fatal(err)
			}
			if len(removals) > test.most {
				t.Errorf("%d removals, want %d at most", len(removals), test.most)
			}
			for name := range base {
				if got, want := removes(removals, "/d/"+name), above[name] == nil; got != want {
					t.Errorf("%q is removed: %t, want %t", name, got, want)
				}
			}
		})
	}
}

func randomName(rnd *rand.Rand) string {
	var b strings.Builder
	for range 1 + rnd.IntN(5) {
		b.WriteRune([]rune("ab*\u00e4")[rnd.IntN(4)])
	}
	return b.String()
}

func removes(removals []layers.Removal, name string) bool {
	for _, r := range removals {
		if fits, _ := filepath.Match(r.Path, name); r.Path == name && !r.Pattern || r.Pattern && fits {
			return true
		}
	}
	return false
}
