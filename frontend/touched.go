package frontend

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/solver/pb"
)

// touched is what a step looks at and what it writes, as paths of the image.
type touched struct {
	// reads are the paths that are looked at, with all their components.
	reads []string
	// trees are the paths at and below which the step may write; with a slash at its
	// end, only those below it.
	trees []string
	// made are the directories that the step makes where they are not there, with the
	// owner and mode that it gives them.
	made []made
	// goal is the one of them that the step is there to make, "" for none: it does
	// nothing where that is there already.
	goal string
}

type made struct{ path, how string }

// how says with which owner and mode directories are made.
func how(owner *pb.ChownOpt, mode int32) string {
	return owner.String() + " " + strconv.FormatInt(int64(mode), 8)
}

// howCopy says how a copy makes the parents of its destination (fsutil's copy.Copy). What
// may be unpacked is like no other where it has a mode: an archive's parents do not get it.
func howCopy(cp *pb.FileActionCopy) string {
	switch {
	case cp.Mode == -1 || cp.ModeStr != "":
		return how(cp.Owner, 0o755)
	case cp.AttemptUnpackDockerCompatibility:
		return how(cp.Owner, cp.Mode) + ", or as is unpacked to " + cp.Dest
	default:
		return how(cp.Owner, cp.Mode)
	}
}

// makes says whether the step makes the directory, or finds it made.
func (t touched) makes(dir string) bool {
	return slices.ContainsFunc(t.made, func(m made) bool { return m.path == dir })
}

// needs says whether the step has to be built upon an earlier one: because they
// write in one place, because it looks at what the other writes or makes, or because
// both make a directory, and make it differently.
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
		if theirs.path == t.goal {
			return true
		}
		for _, r := range t.reads {
			if within(r, theirs.path) && !t.makes(theirs.path) {
				return true
			}
		}
		for _, mine := range t.made {
			if mine.path == theirs.path && mine.how != theirs.how {
				return true
			}
		}
		// What one makes as a directory, the other may write over.
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
