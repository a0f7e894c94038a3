package frontend

import (
	"path"
	"slices"

	"github.com/moby/buildkit/solver/pb"
)

// isBare says whether the step makes upon nothing just what it makes upon the head: all
// that it looked at there are directories on the way to its destinations, each as the
// step makes it where it is not there. Then it needs no skeleton, and its result is its
// layer.
func (s step) isBare() bool {
	dirs, plain := s.saw.PlainDirs()
	if !plain {
		return false
	}
	for _, a := range s.Actions() {
		for _, dir := range dirs {
			if !makesDir(a, dir) {
				return false
			}
		}
	}
	return true
}

// copiesSomething says whether the step has an input besides its ground.
func (s step) copiesSomething() bool {
	return len(s.Extras()) > 0 || slices.ContainsFunc(s.Actions(), func(a *pb.FileAction) bool { return s.Source(a) != nil })
}

// makesDir says whether the action makes the directory on the way to its destination
// where it is not there, as root's and with mode 0755: a copy does with all before the
// last slash (fsutil's copy.Copy), and makes of what follows what it copies.
func makesDir(a *pb.FileAction, dir string) bool {
	if mk := a.GetMkdir(); mk != nil {
		return mk.MakeParents && how(mk.Owner, mk.Mode) == how(nil, 0o755) && within(path.Dir(path.Clean(mk.Path)), dir)
	}
	cp := a.GetCopy()
	if cp == nil || !cp.CreateDestPath || cp.AttemptUnpackDockerCompatibility || howCopy(cp) != how(nil, 0o755) {
		return false
	}
	way, _ := path.Split(cp.Dest)
	return within(path.Clean("/"+way), dir)
}
