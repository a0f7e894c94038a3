package image

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// steps reads a history written as words: "+x" is an entry with a layer, "-x"
// one without, "*" one that BuildKit's exporter made up.
func steps(s string) []ocispecs.History {
	var out []ocispecs.History
	for _, w := range strings.Fields(s) {
		h := ocispecs.History{CreatedBy: w[1:], EmptyLayer: w[0] == '-'}
		if w == "*" {
			h.Comment = exporterComment
		}
		out = append(out, h)
	}
	return out
}

// words is the inverse of steps; "?" is an entry made up by SpliceHistory.
func words(history []ocispecs.History) string {
	var out []string
	for _, h := range history {
		switch {
		case h.Comment == synthesizedComment && !h.EmptyLayer:
			out = append(out, "?")
		case h.Comment == exporterComment && !h.EmptyLayer:
			out = append(out, "*")
		case h.EmptyLayer:
			out = append(out, "-"+h.CreatedBy)
		default:
			out = append(out, "+"+h.CreatedBy)
		}
	}
	return strings.Join(out, " ")
}

func TestSpliceHistory(t *testing.T) {
	for _, tc := range []struct {
		name      string
		image     string
		layers, n int
		old, base string
		newLayers int
		want      string
		gone      bool
	}{
		{name: "empty entries of the base go, the image's stay",
			image: "+fs -CMD -ENV +COPY -USER", layers: 2, n: 1, old: "+fs -CMD", base: "+fs2 +fix -CMD2", newLayers: 2,
			want: "+fs2 +fix -CMD2 -ENV +COPY -USER"},
		{name: "an own entry like the base's stays",
			image: "+fs -CMD -CMD +COPY", layers: 2, n: 1, old: "+fs -CMD", base: "+fs2", newLayers: 1,
			want: "+fs2 -CMD +COPY"},
		{name: "old base gone: doubtful entries are the image's",
			image: "+fs -CMD -ENV +COPY", layers: 2, n: 1, gone: true, base: "+fs2", newLayers: 1,
			want: "+fs2 -CMD -ENV +COPY"},
		{name: "old base gone: the new base ends alike",
			image: "+fs -CMD -ENV +COPY", layers: 2, n: 1, gone: true, base: "+fs2 -CMD", newLayers: 1,
			want: "+fs2 -CMD -ENV +COPY"},
		{name: "other words for the old base's layers: its end still counts",
			image: "+fs -CMD -ENV +COPY", layers: 2, n: 1, old: "+FS -CMD", base: "+fs2", newLayers: 1,
			want: "+fs2 -ENV +COPY"},
		{name: "no history at all",
			layers: 3, n: 1, gone: true, newLayers: 2,
			want: "? ? ? ?"},
		{name: "a short history",
			image: "+fs +COPY", layers: 3, n: 1, old: "+fs", base: "+fs2", newLayers: 1,
			want: "+fs2 +COPY ?"},
		{name: "counting, where the old base's history is not in the image's",
			image: "-ENV +COPY *", layers: 2, n: 1, old: "-MADE", base: "+fs2", newLayers: 1,
			want: "+fs2 *"},
		{name: "an old base with a short history, completed at the end by BuildKit's exporter",
			image: "-MADE +COPY *", layers: 2, n: 1, old: "-MADE", base: "+fs2", newLayers: 1,
			want: "+fs2 +COPY"},
		{name: "an old base without history, completed at the end",
			image: "-ENV +COPY *", layers: 2, n: 1, base: "+fs2", newLayers: 1,
			want: "+fs2 -ENV +COPY"},
		{name: "an old base without history, completed at the start",
			image: "+made -ENV +COPY", layers: 2, n: 1, base: "+fs2", newLayers: 1,
			want: "+fs2 -ENV +COPY"},
		{name: "an old base without history, not completed",
			image: "-ENV +COPY", layers: 2, n: 1, base: "+fs2", newLayers: 1,
			want: "+fs2 -ENV +COPY"},
		{name: "the same words with and without a layer are two steps",
			image: "+fs +DIR +COPY", layers: 3, n: 1, old: "+fs -DIR", base: "+fs2", newLayers: 1,
			want: "+fs2 +DIR +COPY"},
		{name: "more entries than layers",
			image: "+fs +COPY +MORE", layers: 2, n: 1, old: "+fs", base: "+fs2 +more", newLayers: 1,
			want: "+fs2 -more +COPY -MORE"},
		{name: "a new base without layers",
			image: "+fs -CMD +COPY", layers: 2, n: 1, old: "+fs -CMD", newLayers: 0,
			want: "+COPY"},
		{name: "an old base without layers",
			image: "-ENV +COPY", layers: 1, n: 0, old: "-ENV", base: "+fs2", newLayers: 1,
			want: "+fs2 +COPY"},
		{name: "an image without layers of its own",
			image: "+fs -CMD -ENV", layers: 1, n: 1, old: "+fs -CMD", base: "+fs2", newLayers: 1,
			want: "+fs2 -ENV"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := HistoryInput{Image: steps(tc.image), ImageLayers: tc.layers, OldBaseLayers: tc.n, OldBase: steps(tc.old), NewBase: steps(tc.base), NewBaseLayers: tc.newLayers}
			in.OldBaseGone = tc.gone
			got, err := SpliceHistory(in)
			if err != nil || words(got) != tc.want {
				t.Errorf("got %q, %v; want %q", words(got), err, tc.want)
			}
		})
	}
}

func TestSpliceHistoryStampsWhatItMakesUp(t *testing.T) {
	created := time.Unix(1700000000, 0).UTC()
	got, err := SpliceHistory(HistoryInput{ImageLayers: 1, Created: &created})
	if err != nil || len(got) != 1 || got[0].Created == nil || !got[0].Created.Equal(created) {
		t.Errorf("got %v, %v; want one entry of %v", got, err, created)
	}
}

func TestSpliceHistoryErrors(t *testing.T) {
	for _, in := range []HistoryInput{
		{ImageLayers: 1, OldBaseLayers: 2},
		{ImageLayers: 1, OldBaseLayers: -1},
		{ImageLayers: -1},
		{NewBaseLayers: -1},
	} {
		if got, err := SpliceHistory(in); err == nil {
			t.Errorf("%+v: got %v, want an error", in, got)
		}
	}
}

// Random histories, as broken as they come: the result agrees with its layers,
// the arguments are as before, and where image and base are consistent the
// result is the new base's history and then just the image's own entries.
func TestSpliceHistoryProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(name string, most int) []ocispecs.History {
		var out []ocispecs.History
		for i := range rng.IntN(most) {
			out = append(out, ocispecs.History{CreatedBy: fmt.Sprintf("%s%d", name, i), EmptyLayer: rng.IntN(2) == 0})
		}
		return out
	}
	for range 5000 {
		old, own, base := random("old", 6), random("own", 6), random("new", 6)
		in := HistoryInput{
			Image: slices.Concat(old, own), ImageLayers: CountLayers(old) + CountLayers(own),
			OldBase: old, OldBaseLayers: CountLayers(old),
			NewBase: base, NewBaseLayers: CountLayers(base),
		}
		got, err := SpliceHistory(in)
		if want := slices.Concat(base, own); err != nil || words(got) != words(want) {
			t.Fatalf("%q below %q: got %q, %v; want %q", words(old), words(own), words(got), err, words(want))
		}
		in.ImageLayers = rng.IntN(6)
		in.OldBaseLayers = rng.IntN(in.ImageLayers + 1)
		in.NewBaseLayers = rng.IntN(6)
		in.OldBaseGone = rng.IntN(2) == 0
		before := words(in.Image) + words(in.NewBase)
		got, err = SpliceHistory(in)
		if want := in.NewBaseLayers + in.ImageLayers - in.OldBaseLayers; err != nil || CountLayers(got) != want {
			t.Fatalf("%+v: got %q, %v; want %d layers", in, words(got), err, want)
		}
		if words(in.Image)+words(in.NewBase) != before {
			t.Fatalf("the argument was changed: %q", before)
		}
	}
}
