package image

import (
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
)

// ids makes DiffIDs of the letters of s, so that stacks of layers can be written
// as words.
func ids(s string) []digest.Digest {
	var out []digest.Digest
	for _, r := range s {
		out = append(out, digest.FromString(string(r)))
	}
	return out
}

func TestCheckPrefix(t *testing.T) {
	for _, tc := range []struct {
		name, image, base string
		layer             int // -1: it is a prefix
		want              string
	}{
		{name: "prefix", image: "abcd", base: "ab", layer: -1},
		{name: "equal", image: "ab", base: "ab", layer: -1},
		{name: "base without layers", image: "ab", base: "", layer: -1},
		{name: "first differs", image: "xb", base: "ab", layer: 0,
			want: "the image is not based on this base: they part at layer 1 of the base's 2: the image has " +
				digest.FromString("x").String() + ", the base " + digest.FromString("a").String()},
		{name: "last differs", image: "abxd", base: "abc", layer: 2,
			want: "the image is not based on this base: they part at layer 3 of the base's 3: the image has " +
				digest.FromString("x").String() + ", the base " + digest.FromString("c").String()},
		{name: "base on top of the image", image: "ab", base: "abcd", layer: 2,
			want: "the image is not based on this base: its 2 layers are the base's first ones, but the base has 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := CheckPrefix(ids(tc.image), ids(tc.base))
			if tc.layer < 0 {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			var e *PrefixError
			if !errors.As(err, &e) || e.Layer != tc.layer || e.Error() != tc.want {
				t.Errorf("error %v, want at layer %d: %s", err, tc.layer, tc.want)
			}
		})
	}
}

func TestMatchPrefix(t *testing.T) {
	for _, tc := range []struct {
		name       string
		image      string
		candidates []string
		index, n   int
		ok         bool
	}{
		{name: "longest", image: "abcd", candidates: []string{"a", "abc", "ab"}, index: 1, n: 3, ok: true},
		{name: "first of equals", image: "abcd", candidates: []string{"x", "ab", "ab"}, index: 1, n: 2, ok: true},
		{name: "part of a candidate is none", image: "abcd", candidates: []string{"abx"}},
		{name: "longer than the image", image: "ab", candidates: []string{"abc"}},
		{name: "no layers say nothing", image: "ab", candidates: []string{""}},
		{name: "no candidates", image: "ab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var candidates [][]digest.Digest
			for _, c := range tc.candidates {
				candidates = append(candidates, ids(c))
			}
			index, n, ok := MatchPrefix(ids(tc.image), candidates)
			if index != tc.index || n != tc.n || ok != tc.ok {
				t.Errorf("got %d, %d, %v; want %d, %d, %v", index, n, ok, tc.index, tc.n, tc.ok)
			}
		})
	}
}
