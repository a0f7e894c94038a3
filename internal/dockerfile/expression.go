// Package dockerfile reads and rewrites the text of a Dockerfile: it finds the
// ranges in it and puts names in their place. It does no I/O and never moves a
// line, so that what is said of a line of the rewritten text is true of the
// user's own.
package dockerfile

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"

	"github.com/docker-relink/relink/internal/errdefs"
)

// Expression is a range: the files of Upper that are not in Lower as they are
// in Upper. Each side is a stage, a build context or an image reference as it
// stands in the Dockerfile.
type Expression struct {
	Lower, Upper string
}

// String is the expression as it is written.
func (e Expression) String() string { return e.Lower + ".." + e.Upper }

// ParseExpression reads a word that stands where a stage can be named. ok says
// whether it is a range; an error, of kind Invalid, that it looks like one and
// is none.
func ParseExpression(word string) (e Expression, ok bool, err error) {
	inner, quote := unquote(word)
	sides, err := split(inner)
	if err != nil || len(sides) < 2 {
		return Expression{}, false, err
	}
	if len(sides) > 2 {
		last := len(sides) - 1
		return Expression{}, false, errdefs.Invalidf(
			fmt.Sprintf("Name a stage in between: FROM %s AS name, then name..%s.", strings.Join(sides[:last], ".."), sides[last]),
			"range %s has %d sides instead of two: name a stage in between", word, len(sides))
	}
	for i, s := range sides {
		if err := checkSide(word, s, [...]string{"before", "after"}[i]); err != nil {
			return Expression{}, false, err
		}
	}
	return Expression{Lower: quote + sides[0] + quote, Upper: quote + sides[1] + quote}, true, nil
}

// unquote takes a pair of quotes off that is around a whole word.
func unquote(word string) (inner, quote string) {
	if len(word) < 2 || word[0] != '"' && word[0] != '\'' || word[0] != word[len(word)-1] {
		return word, ""
	}
	if inner := word[1 : len(word)-1]; strings.IndexByte(inner, word[0]) < 0 {
		return inner, word[:1]
	}
	return word, ""
}

// split splits a word at its double dots, those in a variable's braces left
// alone: ${BASE:-a..b} is no range.
func split(word string) ([]string, error) {
	var sides []string
	depth, start := 0, 0
	for i := 0; i < len(word); i++ {
		switch {
		case strings.HasPrefix(word[i:], "${"):
			depth++
			i++
		case word[i] == '}' && depth > 0:
			depth--
		case word[i] == '.' && depth == 0:
			dots := len(word[i:]) - len(strings.TrimLeft(word[i:], "."))
			if dots > 2 {
				return nil, errdefs.Invalidf("Write A..B.", "range %s has %d dots in a row instead of two", word, dots)
			}
			if dots == 2 {
				sides = append(sides, word[start:i])
				start = i + 2
			}
			i += dots - 1
		}
	}
	return append(sides, word[start:]), nil
}

var (
	stageName = regexp.MustCompile(`^[a-z][a-z0-9-_.]*$`)
	number    = regexp.MustCompile(`^[0-9]+$`)
)

func checkSide(word, side, where string) error {
	switch plain, _ := unquote(side); {
	case side == "" || plain == "":
		return errdefs.Invalidf("Write the stage, build context or image "+where+" the dots; scratch is the empty one.",
			"range %s has nothing %s the dots: name a stage, a build context or an image there", word, where)
	case strings.ContainsAny(plain, `$"'`), stageName.MatchString(strings.ToLower(plain)), number.MatchString(plain):
		return nil
	default:
		if _, err := reference.ParseNormalizedNamed(plain); err != nil {
			return errdefs.Invalidf("Write the name of a stage, of a build context or of an image "+where+" the dots.",
				"range %s: %q is neither a stage nor an image: %w", word, side, err)
		}
		return nil
	}
}
