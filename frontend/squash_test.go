package frontend

import (
	"slices"
	"testing"

	"github.com/moby/patternmatcher"
	fstypes "github.com/tonistiigi/fsutil/types"
)

func TestParseSquashMode(t *testing.T) {
	for in, want := range map[string]SquashMode{
		"": SquashNone, "base": SquashBase, "all": SquashAll, "true": SquashBase, "false": SquashNone, "build": "build", "1": "1", "t": "t",
	} {
		if got := ParseSquashMode(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// TestIgnorePattern holds a pattern to fit the path that it is made of, and no
// other.
func TestIgnorePattern(t *testing.T) {
	for _, name := range []string{"/a", "/a b/c", "/a*", "/a?/b", "/[a]", "/!a", `/a\b`, "/a^b", "/ä/b", "/#a", "/a.b", "/a+(b)|c$"} {
		pattern, ok := ignorePattern(name)
		if !ok {
			t.Errorf("%q has no pattern", name)
			continue
		}
		m, err := patternmatcher.New([]string{pattern})
		if err != nil {
			t.Fatalf("%q: %v", pattern, err)
		}
		for path, want := range map[string]bool{name[1:]: true, "a": name == "/a", "axb": false, "bb": false} {
			got, err := m.MatchesOrParentMatches(path)
			if err != nil || got != want {
				t.Errorf("the pattern %q of %q fits %q: %t (%v), want %t", pattern, name, path, got, err, want)
			}
		}
	}
	for _, name := range []string{"/a\xff", "/ a", "/a "} {
		if pattern, ok := ignorePattern(name); ok {
			t.Errorf("%q has the pattern %q", name, pattern)
		}
	}
}

func TestLinksOf(t *testing.T) {
	list := map[string]*fstypes.Stat{
		"a": {}, "b": {Linkname: "dir/a"}, "c": {Linkname: "a"}, "d": {}, "e": {Linkname: "gone"},
		"s": {Linkname: "a", Mode: 1 << 27}, // a symbolic link
	}
	got := linksOf(list)
	if len(got) != 1 || !slices.Equal(got["a"], []string{"a", "b", "c"}) {
		t.Errorf("links %q", got)
	}
}
