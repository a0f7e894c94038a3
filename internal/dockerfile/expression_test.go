package dockerfile

import (
	"strings"
	"testing"

	"github.com/docker-relink/relink/internal/errdefs"
)

func TestParseExpression(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := []struct {
		word, lower, upper string // no lower: not a range
		err                string
	}{
		{word: "base..app", lower: "base", upper: "app"},
		{word: "Base..App", lower: "Base", upper: "App"},
		{word: "0..1", lower: "0", upper: "1"},
		{word: "scratch..app", lower: "scratch", upper: "app"},
		{word: "debian:12.5..debian:12.6-slim", lower: "debian:12.5", upper: "debian:12.6-slim"},
		{word: "h.example:5000/a/b:1.2..h.example:5000/a/b:1.3", lower: "h.example:5000/a/b:1.2", upper: "h.example:5000/a/b:1.3"},
		{word: "127.0.0.1:5000/a..b", lower: "127.0.0.1:5000/a", upper: "b"},
		{word: "a@" + digest + "..b:1@" + digest, lower: "a@" + digest, upper: "b:1@" + digest},
		{word: "my-stage_1.x..my-stage_2.x", lower: "my-stage_1.x", upper: "my-stage_2.x"},
		{word: "${A}..$B", lower: "${A}", upper: "$B"},
		{word: "${A:-x..y}..b", lower: "${A:-x..y}", upper: "b"},
		{word: "img:${TAG}..app", lower: "img:${TAG}", upper: "app"},
		{word: `"a..b"`, lower: `"a"`, upper: `"b"`},
		{word: `'a..b'`, lower: `'a'`, upper: `'b'`},
		{word: `"a".."b"`, lower: `"a"`, upper: `"b"`},
		{word: "base"},
		{word: ""},
		{word: "debian:12.5"},
		{word: "${A:-x..y}"},
		{word: "a..b..c", err: "3 sides instead of two: name a stage in between"},
		{word: "a..b..", err: "3 sides instead of two"},
		{word: "..b", err: "nothing before the dots"},
		{word: "a..", err: "nothing after the dots"},
		{word: "..", err: "nothing before the dots"},
		{word: `""..b`, err: "nothing before the dots"},
		{word: "a...b", err: "3 dots in a row"},
		{word: "a..b/", err: "neither a stage nor an image"},
		{word: "../dir", err: "nothing before the dots"},
		{word: "a:..b", err: "neither a stage nor an image"},
	}
	for _, tt := range tests {
		t.Run(tt.word, func(t *testing.T) {
			e, ok, err := ParseExpression(tt.word)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !errdefs.Is(err, errdefs.Invalid) || errdefs.Hint(err) == "" {
					t.Fatalf("error %v (hint %q), want one with %q", err, errdefs.Hint(err), tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if ok != (tt.lower != "") || e.Lower != tt.lower || e.Upper != tt.upper {
				t.Errorf("%v %q %q, want %q %q", ok, e.Lower, e.Upper, tt.lower, tt.upper)
			}
		})
	}
}

func FuzzParseExpression(f *testing.F) {
	for _, s := range []string{"a..b", "a..b..c", "..", "a...b", "${A:-x..y}..b", `"a..b"`, "h:5/x:1.2@sha256:ab..c", "a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		e, ok, err := ParseExpression(word)
		switch {
		case ok && err != nil:
			t.Fatalf("%q is a range and an error: %v", word, err)
		case err != nil && errdefs.Hint(err) == "":
			t.Fatalf("%q: no hint with %v", word, err)
		case err != nil && !strings.Contains(word, ".."):
			t.Fatalf("%q has no dots and an error: %v", word, err)
		case !ok:
			return
		}
		if e.Lower == "" || e.Upper == "" {
			t.Fatalf("%q has an empty side", word)
		}
		// What it is written as is the same range again.
		again, ok, err := ParseExpression(e.String())
		if err != nil || !ok || again != e {
			t.Fatalf("%q is %q, which is %v %v %v", word, e, again, ok, err)
		}
	})
}
