//go:build !no_embedded

package embedded

import "testing"

func TestParseRange(t *testing.T) {
	for _, row := range []struct {
		line, owner string
		r           idRange
		ok          bool
	}{
		{line: "someone:100000:65536\n", owner: "someone", r: idRange{100000, 65536}, ok: true},
		{line: "1000:1:2", owner: "1000", r: idRange{1, 2}, ok: true},
		{line: "# a comment"},
		{line: "someone:x:65536"},
		{line: "someone:1:0"},
		{line: ""},
	} {
		owner, r, ok := parseRange(row.line)
		if ok != row.ok || ok && (owner != row.owner || r != row.r) {
			t.Errorf("%q: %q, %v, %t", row.line, owner, r, ok)
		}
	}
}
