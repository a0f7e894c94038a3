package frontend

import (
	"path"
	"strconv"
	"strings"

	"github.com/moby/buildkit/solver/pb"
)

// touched is what a step looks at and what it writes, as paths of the image.
type touched struct {
	// reads are the paths that are looked at, with all their components.
	reads []string
	// trees are the paths at and below which the step may write.
	trees []string
	// made are the parents that the step makes, with the owner and mode that it
	// gives them.
	made []made
}

type made struct{ path, how string }

// how says with which owner and mode a copy makes the parents of its
// destination.
func how(cp *pb.FileActionCopy) string {
	return cp.Owner.String() + " " + cp.ModeStr + " " + strconv.Itoa(int(cp.Mode))
}

// needs says whether the step has to be built upon an earlier one: because they
// write in one place, because it looks at what the other writes, or because
// both make a parent, and make it differently.
func (t touched) needs(earlier touched) bool {
	for _, w := range earlier.trees {
		for _, mine := range t.trees {
			if within(w, mine) || within(mine, w) {
				return true
			}
		}
		for _, r := range t.reads {
			if within(r, w) {
				return true
			}
		}
	}
	for _, theirs := range earlier.made {
		for _, mine := range t.made {
			if mine.path == theirs.path && mine.how != theirs.how {
				return true
			}
		}
		// What one makes as a parent, the other may write over.
		for _, mine := range t.trees {
			if within(theirs.path, mine) {
				return true
			}
		}
	}
	for _, mine := range t.made {
		for _, w := range earlier.trees {
			if within(mine.path, w) {
				return true
			}
		}
	}
	return false
}

// within says whether a path is dir or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// parents are the directories above a path, without the root.
func parents(name string) []string {
	var out []string
	for d := path.Dir(name); d != "/" && d != "."; d = path.Dir(d) {
		out = append(out, d)
	}
	return out
}
