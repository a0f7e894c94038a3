package dockerfile

import (
	"bytes"
	"regexp"
	"unicode"
)

// span is a part of the text.
type span struct{ start, end int }

// lines are the lines of a text with their newlines.
func lines(text []byte) []span {
	var out []span
	for start := 0; start < len(text); {
		end := len(text)
		if i := bytes.IndexByte(text[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		out = append(out, span{start, end})
		start = end
	}
	return out
}

// joined is an instruction as the parser sees it: its lines put together,
// without what continues a line, comments and empty lines. at is where each of
// its bytes stands in the text.
type joined struct {
	text []byte
	at   []int
	// open is where the continuation of the last line stands when the text
	// ends before the instruction does, else -1.
	open int
}

// joinLines joins the lines of the instruction that begins at line first
// (from 0), by the rules of BuildKit's parser.
func joinLines(text []byte, all []span, first int, continuation *regexp.Regexp) joined {
	j := joined{open: -1}
	for n := first; n < len(all); n++ {
		l := all[n]
		line := text[l.start:l.end]
		if n == 0 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		line = bytes.TrimRight(line, "\r\n")
		blank := bytes.TrimLeftFunc(line, unicode.IsSpace)
		if n == first {
			line = blank
		} else if len(blank) == 0 || blank[0] == '#' {
			continue
		}
		start := l.start + bytes.LastIndex(text[l.start:l.end], line)
		end, more := cut(line, continuation)
		for i := range end {
			j.at = append(j.at, start+i)
		}
		j.text = append(j.text, line[:end]...)
		if !more {
			j.open = -1
			return j
		}
		j.open = start + end
	}
	return j
}

// cut says how much of a line is the instruction's, and whether it goes on.
func cut(line []byte, continuation *regexp.Regexp) (end int, more bool) {
	m := continuation.FindSubmatchIndex(line)
	if m == nil {
		return len(line), false
	}
	if m[3] < 0 {
		return m[0], true
	}
	return m[3], true
}

// continuationOf is the parser's own expression for a line that goes on.
func continuationOf(escape rune) *regexp.Regexp {
	e := regexp.QuoteMeta(string(escape))
	class := `[^\` + string(escape) + `]`
	return regexp.MustCompile(`(` + class + `)` + e + `[ \t]*$|^` + e + `[ \t]*$`)
}
