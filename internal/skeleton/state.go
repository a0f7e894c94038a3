package skeleton

import (
	"os"
	"path"
	"sort"
	"time"

	"github.com/moby/buildkit/client/llb"
)

// HasSymlinks says whether the state needs the capability to make symbolic
// links.
func (f Facts) HasSymlinks() bool {
	for _, e := range f.Paths {
		if e.Kind == Symlink {
			return true
		}
	}
	return false
}

// present are the paths that the skeleton has, parents first.
func (f Facts) present() []string {
	var out []string
	for p, e := range f.Paths {
		if e.Kind != Absent {
			out = append(out, p)
		}
	}
	sort.Strings(out)
	return out
}

// PlainDirs are the paths that are there, parents first, where all of them are
// directories as operations make them: root's, with mode 0755. It is false where
// anything else is there.
func (f Facts) PlainDirs() (dirs []string, all bool) {
	for _, p := range f.present() {
		if e := f.Paths[p]; e.Kind != Dir || e.Mode != 0o755 || e.UID != 0 || e.GID != 0 {
			return nil, false
		}
		dirs = append(dirs, p)
	}
	return dirs, true
}

// epoch is the skeleton's only time: its layer is never part of an image, and
// must be the same whenever it is made.
var epoch = time.Unix(0, 0).UTC()

// State is the skeleton as one file operation.
func (f Facts) State(opts ...llb.ConstraintsOpt) llb.State {
	var fa *llb.FileAction // a nil one begins a chain
	for _, p := range f.present() {
		fa = f.action(fa, p, f.Paths[p])
	}
	if fa == nil {
		return llb.Scratch()
	}
	return llb.Scratch().File(fa, opts...)
}

func (f Facts) action(fa *llb.FileAction, p string, e Entry) *llb.FileAction {
	created := llb.WithCreatedTime(epoch)
	switch e.Kind {
	case Dir:
		return mkdir(fa, p, e, f.Paths[path.Dir(p)].Mode&setgid != 0)
	case Symlink:
		return fa.Symlink(e.Target, p, created)
	default:
		return fa.Mkfile(p, 0o644, f.content(p), created)
	}
}

// setgid is the bit that a directory inherits from its parent when it is made.
const setgid = 0o2000

// mkdir makes a directory. Mkdir masks the mode with 0777, and an engine may
// mask it with its own umask besides, and the kernel adds what is inherited: a
// mode that a umask of 022 or the parent would change is made by a copy, which
// sets it explicitly.
func mkdir(fa *llb.FileAction, p string, e Entry, inherits bool) *llb.FileAction {
	if e.Mode&^0o755 == 0 && !inherits {
		return fa.Mkdir(p, os.FileMode(e.Mode), llb.WithUIDGID(int(e.UID), int(e.GID)), llb.WithCreatedTime(epoch))
	}
	return fa.Copy(seed, "/d", p, &llb.CopyInfo{
		Mode:        &llb.ChmodOpt{Mode: os.FileMode(e.Mode)},
		ChownOpt:    &llb.ChownOpt{User: &llb.UserOpt{UID: int(e.UID)}, Group: &llb.UserOpt{UID: int(e.GID)}},
		CreatedTime: &epoch,
	})
}

// seed has the directory that mkdir copies.
var seed = llb.Scratch().File(
	llb.Mkdir("/d", 0o755, llb.WithCreatedTime(epoch)),
	llb.WithCustomName("[relink] directory for the skeleton"),
)
