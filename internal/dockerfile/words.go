package dockerfile

import (
	"regexp"
	"strings"
	"unicode"
)

// word is a word of an instruction with its quotes and escapes taken off. from
// is where each of its bytes comes from, escapes included.
type word struct {
	text string
	from []span
}

var whitespace = regexp.MustCompile(`[\t\v\f\r ]+`)

// flags returns the flags of an instruction (--x) and where the rest of it
// begins, by the rules of BuildKit's parser.
func flags(line string, escape byte) (words []word, rest int) {
	pos := 0
	if m := whitespace.FindStringIndex(strings.TrimRightFunc(line, unicode.IsSpace)); m != nil {
		pos = m[1]
	} else {
		return nil, len(line)
	}
	for {
		for pos < len(line) && unicode.IsSpace(rune(line[pos])) {
			pos++
		}
		if !strings.HasPrefix(line[pos:], "--") {
			return words, pos
		}
		w, next := readFlag(line, pos, escape)
		pos = next
		if w.text == "--" {
			return words, pos
		}
		words = append(words, w)
	}
}

func readFlag(line string, pos int, escape byte) (w word, next int) {
	var b strings.Builder
	quote := byte(0)
	for ; pos < len(line); pos++ {
		ch := line[pos]
		switch {
		case quote == 0 && unicode.IsSpace(rune(ch)):
			w.text = b.String()
			return w, pos
		case quote == 0 && (ch == '\'' || ch == '"'):
			quote = ch
			continue
		case quote != 0 && ch == quote:
			quote = 0
			continue
		}
		start := pos
		if ch == escape {
			if pos+1 == len(line) {
				continue
			}
			pos++
		}
		b.WriteByte(line[pos])
		w.from = append(w.from, span{start, pos + 1})
	}
	w.text = b.String()
	return w, pos
}
