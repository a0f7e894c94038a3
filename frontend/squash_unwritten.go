package frontend

import (
	"fmt"
	"slices"
	"strings"

	fstypes "github.com/tonistiigi/fsutil/types"
)

// unwritten is what BuildKit writes into no layer that it makes.
type unwritten struct {
	paths      []string // that have extended attributes, or have them no more
	attributes []string // their names
	times      []string // paths with times that are no whole seconds
	links      []string // names of files that have others in other directories
	root       bool     // mode or owner of the root directory
}

func (u unwritten) any() bool {
	return len(u.paths) > 0 || len(u.times) > 0 || len(u.links) > 0 || u.root
}

func (u *unwritten) add(other unwritten) {
	u.paths = append(u.paths, other.paths...)
	u.attributes = append(u.attributes, other.attributes...)
	u.times = append(u.times, other.times...)
	u.links = append(u.links, other.links...)
	u.root = u.root || other.root
}

// String names it, after "BuildKit cannot write".
func (u unwritten) String() string {
	var what []string
	if u.root {
		what = append(what, "the mode and owner of the root directory")
	}
	if len(u.paths) > 0 {
		names := slices.Compact(slices.Sorted(slices.Values(u.attributes)))
		what = append(what, fmt.Sprintf("the extended attributes of %s (%s)", first(u.paths), strings.Join(names, ", ")))
	}
	if len(u.times) > 0 {
		what = append(what, "the fractions of a second of the times of "+first(u.times))
	}
	if len(u.links) > 0 {
		what = append(what, "the hard links of "+first(u.links))
	}
	return strings.Join(what, " and ")
}

// first names one of several paths, which can be there more than once.
func first(paths []string) string {
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	if len(paths) == 1 {
		return paths[0]
	}
	return fmt.Sprintf("%d paths, the first of them %s", len(paths), paths[0])
}

// attributesOf are the names of the extended attributes that BuildKit does not write.
func attributesOf(st *fstypes.Stat) (names []string) {
	for name := range st.GetXattrs() {
		if !machines(name) {
			names = append(names, name)
		}
	}
	return names
}

// machines says whether an attribute is one that a machine gives its files by itself,
// which are none of an image's, or the one that BuildKit writes.
func machines(attribute string) bool {
	return slices.ContainsFunc([]string{
		"security.capability", "security.selinux", "security.SMACK64", "security.apparmor", "security.evm",
		"trusted.overlay.", "user.overlay.",
	}, func(prefix string) bool { return strings.HasPrefix(attribute, prefix) })
}
