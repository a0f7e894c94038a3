package frontend

import (
	"cmp"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/layers"
)

// removalsIn removes from a directory of the base what is gone, and what is of another
// type; names are what that is.
func removalsIn(dir string, base, above map[string]*fstypes.Stat) (removals []layers.Removal, names []string, err error) {
	var plain, stay []string
	for _, name := range slices.Sorted(maps.Keys(base)) {
		if st := above[name]; st != nil && isDir(st) == isDir(base[name]) {
			stay = append(stay, name)
			continue
		}
		names = append(names, name)
	}
	for _, name := range names {
		if utf8.ValidString(name) && utf8.ValidString(dir) && !strings.ContainsAny(dir, wildcards) {
			plain = append(plain, name)
			continue
		}
		removal, err := removalOf(dir, name, stay)
		if err != nil {
			return nil, nil, err
		}
		removals = append(removals, removal)
	}
	return append(removals, grouped(dir, plain, stay)...), names, nil
}

// fewNames is a number of names that are removed one by one. Each removal has the
// builder mount the file system; for a pattern it walks all of the directory, too.
const fewNames = 16

// grouped removes names of a directory with few patterns, of what begins or of what ends
// like the names; they fit none that stays.
func grouped(dir string, names, stay []string) []layers.Removal {
	byStart := cover(dir, names, stay, affix{byteAt, strings.HasPrefix, start, func(s string) string { return patternOf(s) + "*" }})
	if len(byStart) < fewNames {
		return byStart
	}
	byEnd := cover(dir, slices.SortedFunc(slices.Values(names), compareEnds), stay, affix{byteFromEnd, strings.HasSuffix, ending, func(s string) string { return "*" + patternOf(s) }})
	if len(byEnd) < len(byStart) {
		return byEnd
	}
	return byStart
}

// affix is what names have in common at one of their ends.
type affix struct {
	at      func(name string, n int) int // the nth byte from that end, -1 behind the other
	has     func(name, common string) bool
	text    func(name string, n int) string // at most n bytes of that end
	pattern func(common string) string
}

// cover removes names, which are in the order of that end.
func cover(dir string, names, stay []string, end affix) (removals []layers.Removal) {
	if len(names) < fewNames {
		for _, name := range names {
			removals = append(removals, layers.Removal{Path: path.Join(dir, name)})
		}
		return removals
	}
	n, last := 0, names[len(names)-1]
	for end.at(names[0], n) == end.at(last, n) {
		n++
	}
	common := end.text(last, n)
	if !slices.ContainsFunc(stay, func(name string) bool { return end.has(name, common) }) {
		return []layers.Removal{{Path: patternOf(dir) + "/" + end.pattern(common), Pattern: true}}
	}
	for len(names) > 0 {
		next := slices.IndexFunc(names, func(name string) bool { return end.at(name, n) != end.at(names[0], n) })
		if next < 0 {
			next = len(names)
		}
		removals = append(removals, cover(dir, names[:next], stay, end)...)
		names = names[next:]
	}
	return removals
}

func byteAt(name string, n int) int {
	if n < len(name) {
		return int(name[n])
	}
	return -1
}

func byteFromEnd(name string, n int) int {
	if n < len(name) {
		return int(name[len(name)-n-1])
	}
	return -1
}

// start is at most n bytes of a name's start that are whole letters.
func start(name string, n int) string {
	for !utf8.ValidString(name[:n]) {
		n--
	}
	return name[:n]
}

// ending is at most n bytes of a name's end that are whole letters.
func ending(name string, n int) string {
	for !utf8.ValidString(name[len(name)-n:]) {
		n--
	}
	return name[len(name)-n:]
}

// compareEnds is the order of names from their ends on.
func compareEnds(a, b string) int {
	for i := 1; i <= min(len(a), len(b)); i++ {
		if c := cmp.Compare(a[len(a)-i], b[len(b)-i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// removalOf is the removal of a name from a directory. A definition cannot have
// names that are not UTF-8: such a name is removed by a pattern, if it fits no
// other name of the directory that stays.
func removalOf(dir, name string, stay []string) (layers.Removal, error) {
	full := path.Join(dir, name)
	if utf8.ValidString(full) {
		return layers.Removal{Path: full}, nil
	}
	pattern := patternOf(name)
	if strings.ContainsAny(dir, wildcards) {
		return layers.Removal{}, errdefs.Unsupportedf("Rename the directory.", "removing %q: its name is not UTF-8, and that of its directory is a pattern", full)
	}
	for _, other := range stay {
		if fits, _ := filepath.Match(pattern, other); fits { // The pattern is well-formed.
			return layers.Removal{}, errdefs.Unsupportedf("Rename one of them.", "removing %q: its name is not UTF-8, and cannot be told from %q, which stays", full, other)
		}
	}
	return layers.Removal{Path: patternOf(dir) + "/" + pattern, Pattern: true}, nil
}

// wildcards are what has a meaning in a pattern.
const wildcards = `*?[\`

// patternOf is a pattern for a path, in which a byte that is not UTF-8 is any
// such byte.
func patternOf(name string) string {
	const noText = "[^\x00-\ufffc]" // A byte that is not UTF-8 is read as U+FFFD.
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(noText)
		case strings.ContainsRune(wildcards, r):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return strings.TrimSuffix(b.String(), "/")
}
