package frontend

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/skeleton"
)

// maxCompared bounds how many directories of a copied tree are compared with
// the base's: beyond it, building on the base itself costs less.
const maxCompared = 500

// maxCompleted bounds how much of the base a skeleton has below one destination
// when the source is not looked at: the skeleton changes with all of it.
const maxCompleted = 300

// lookAt surveys what a step looks at in the head. An error of type
// skeleton.UnfitError says that a skeleton cannot have it, or that this is not known.
func (p *plan) lookAt(ctx context.Context, i int, vouched bool) error {
	s := &p.steps[i]
	s.touched, s.Instruction = touched{}, Instruction{Instruction: s.Instruction.Instruction, Line: s.Step.Line}
	if err := p.lookNames(ctx, s, vouched); err != nil {
		return err
	}
	s.assumed = map[int]bool{}
	for n, a := range s.Actions() {
		var err error
		switch o := a.Action.(type) {
		case *pb.FileAction_Mkdir:
			err = p.lookMkdir(ctx, i, o.Mkdir)
		case *pb.FileAction_Copy:
			err = p.lookCopy(ctx, i, n, o.Copy)
		}
		if err != nil {
			return err
		}
	}
	for _, in := range s.Extras() {
		p.lookExtra(s, in)
	}
	return nil
}

// lookNames surveys the users and groups that a step names.
func (p *plan) lookNames(ctx context.Context, s *step, vouched bool) error {
	users, groups := s.Names()
	if vouched && len(users)+len(groups) > 0 {
		return &skeleton.UnfitError{Path: "its owner", Reason: "is a name, which has to be looked up in the base"}
	}
	for file, names := range map[string][]string{skeleton.Passwd: users, skeleton.Group: groups} {
		for _, name := range names {
			if err := p.survey.Name(ctx, file, name); err != nil {
				return err
			}
			real, _, err := p.survey.Resolve(ctx, file)
			if err != nil {
				return err
			}
			s.touched.reads = append(s.touched.reads, file, real)
		}
	}
	return nil
}

// lookPath surveys a path with all its components and links.
func (p *plan) lookPath(ctx context.Context, i int, name string) (string, skeleton.Entry, error) {
	real, e, err := p.survey.Resolve(ctx, name)
	if err != nil {
		return "", e, err
	}
	s := &p.steps[i]
	s.touched.reads = append(s.touched.reads, path.Clean("/"+name), real)
	return real, e, p.redirected(ctx, i, real)
}

func (p *plan) lookMkdir(ctx context.Context, i int, mk *pb.FileActionMkDir) error {
	real, e, err := p.lookPath(ctx, i, mk.Path)
	if err != nil {
		return err
	}
	s := &p.steps[i]
	s.Destinations = append(s.Destinations, real)
	if e.Kind == skeleton.Dir {
		return nil
	}
	s.touched.goal = real
	return p.makes(ctx, s, real, how(mk.Owner, mk.Mode))
}

// makes notes the directories on the way to one, and that itself, that the head does not
// have.
func (p *plan) makes(ctx context.Context, s *step, dir, how string) error {
	for _, d := range append([]string{dir}, parents(dir)...) {
		_, e, err := p.survey.Resolve(ctx, d)
		if err != nil {
			return err
		}
		if e.Kind != skeleton.Absent {
			return nil
		}
		s.touched.made = append(s.touched.made, made{d, how})
	}
	return nil
}

// lookExtra notes the destinations of a COPY --link, which looks at nothing.
// Layers that no copy makes, as those of a range, may be anywhere.
func (p *plan) lookExtra(s *step, in *pb.Input) {
	if p.graph.Op(in).GetFile() == nil {
		s.touched.trees = append(s.touched.trees, "/")
		s.Destinations = append(s.Destinations, "/")
		return
	}
	for _, a := range p.graph.Op(in).GetFile().GetActions() {
		if cp := a.GetCopy(); cp != nil {
			s.touched.trees = append(s.touched.trees, path.Clean("/"+cp.Dest))
			s.Destinations = append(s.Destinations, path.Clean("/"+cp.Dest))
		}
	}
}

// lookCopy surveys the destination of a copy, and, where that is a directory,
// every path below it that the copy brings as well.
func (p *plan) lookCopy(ctx context.Context, i, n int, cp *pb.FileActionCopy) error {
	s := &p.steps[i]
	in := s.Source(s.Actions()[n])
	real, e, err := p.lookPath(ctx, i, cp.Dest)
	if err != nil {
		return err
	}
	s.Destinations = append(s.Destinations, real)
	dir, at := path.Dir(real), real
	if e.Kind == skeleton.Absent && strings.HasSuffix(cp.Dest, "/") && !cp.AttemptUnpackDockerCompatibility {
		// It makes the directory as it makes parents, and writes into it.
		dir, at = real, real+"/"
	}
	if err := p.makes(ctx, s, dir, howCopy(cp)); err != nil {
		return err
	}
	if e.Kind != skeleton.Dir {
		s.touched.trees = append(s.touched.trees, at)
		if e.Kind == skeleton.File && (p.atHand(in) || p.ofBase(in)) {
			return p.lookSources(ctx, s, in, cp, real)
		}
		return nil
	}
	if done, err := p.lookUnseen(ctx, s, n, in, cp, real); done || err != nil {
		return err
	}
	return p.lookSources(ctx, s, in, cp, real)
}

// lookUnseen surveys a destination that is a directory without looking at the
// source, which would have to be built for that: as for a file, with the copy
// made to fail if it is none, or all that is there. It is false where the
// source has to be looked at.
func (p *plan) lookUnseen(ctx context.Context, s *step, n int, in *pb.Input, cp *pb.FileActionCopy, dest string) (bool, error) {
	if p.atHand(in) || cp.AttemptUnpackDockerCompatibility {
		return false, nil
	}
	at := dest
	if p.assumes(s, cp) {
		at = path.Join(dest, path.Base(cp.Src))
		if _, err := p.survey.Lstat(ctx, at); err != nil {
			return false, err
		}
	} else if done, err := p.survey.Complete(ctx, dest, maxCompleted); !done || err != nil {
		return false, err
	}
	if p.survey.Facts().HasFiles(at) && p.ofBase(in) {
		return false, nil
	}
	s.touched.trees = append(s.touched.trees, at)
	if s.assumed[n] = at != dest; !s.assumed[n] {
		p.survey.NoteTree(s.Instruction.Instruction)
	}
	return true, nil
}

// lookSources surveys every path below a directory that the copy brings.
func (p *plan) lookSources(ctx context.Context, s *step, in *pb.Input, cp *pb.FileActionCopy, dest string) error {
	srcs, err := p.sources.of(ctx, in, cp)
	if err != nil {
		return err
	}
	_, e, err := p.survey.Resolve(ctx, dest)
	if err != nil {
		return err
	}
	for _, src := range srcs {
		at := dest
		if e.Kind == skeleton.Dir && (!src.isDir || !cp.DirCopyContents) {
			at = path.Join(dest, src.name)
		}
		s.touched.trees = append(s.touched.trees, at)
		if src.isDir {
			err = p.compare(ctx, src, at, cp.IncludePatterns)
		} else {
			err = p.overwrite(ctx, at, src.entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// atHand says whether a source is there to be looked at, without anything being
// built: what comes from the client, or from the network as it is.
func (p *plan) atHand(in *pb.Input) bool {
	src := p.graph.Op(in).GetSource()
	return in == nil || src != nil && !strings.HasPrefix(src.Identifier, "docker-image://")
}

// ofBase says whether a source may have files of the base, just as they are.
func (p *plan) ofBase(in *pb.Input) bool {
	return p.graph.Reaches(in, p.graph.Bottom(p.head))
}

// overwrite surveys a path that a copy writes a file to. A file of the same size
// and time is refused: the engine may take the base's to be unchanged, and what
// that leaves cannot be told by looking.
func (p *plan) overwrite(ctx context.Context, at string, with skeleton.Entry) error {
	e, err := p.survey.Lstat(ctx, at)
	if err != nil {
		return err
	}
	if e.Kind == skeleton.File && with.Kind == skeleton.File && e.Size == with.Size && e.ModTime == with.ModTime {
		return &skeleton.UnfitError{Path: at, Reason: "is in the base with the size and time of what is copied there"}
	}
	return nil
}

// assumes says whether the copy's source is held to be a file, so that it need
// not be built to find out. A source that was a directory before is not, nor one
// that has the destination's own name, as copies of directories often have.
func (p *plan) assumes(s *step, cp *pb.FileActionCopy) bool {
	return !p.certain && definition.CanAssumeFile(cp) &&
		path.Base(cp.Src) != path.Base(cp.Dest) &&
		(p.trees == nil || !p.trees(s.Instruction.Instruction))
}

// compare surveys the paths that a copied tree and the head have both.
func (p *plan) compare(ctx context.Context, src source, dest string, include []string) error {
	type pair struct{ src, dest, rel string }
	todo := []pair{{src.path, dest, ""}}
	for n := 0; len(todo) > 0; n++ {
		if n == maxCompared {
			return &skeleton.UnfitError{Path: dest, Reason: fmt.Sprintf("has more than %d directories in common with what is copied there", maxCompared)}
		}
		at := todo[0]
		todo = todo[1:]
		real, e, err := p.survey.Resolve(ctx, at.dest)
		if err != nil {
			return err
		}
		if e.Kind != skeleton.Dir {
			continue
		}
		entries, err := src.tree.ReadDir(ctx, at.src)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			se, rel := entries[name], path.Join(at.rel, name)
			if !mayInclude(include, rel) {
				continue
			}
			if err := p.overwrite(ctx, path.Join(real, name), se); err != nil {
				return err
			}
			de, err := p.survey.Lstat(ctx, path.Join(real, name))
			if err != nil {
				return err
			}
			if se.Kind == skeleton.Dir && de.Kind != skeleton.Absent {
				todo = append(todo, pair{path.Join(at.src, name), path.Join(real, name), rel})
			}
		}
	}
	return nil
}

// mayInclude says whether a path of a source, or one below it, can match the
// include patterns: by their components up to the first one with a wildcard.
func mayInclude(patterns []string, rel string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range patterns {
		literal := strings.Trim(p, "/")
		if i := strings.IndexAny(literal, `*?[\`); i >= 0 {
			literal = literal[:i]
			literal = strings.Trim(literal[:strings.LastIndex(literal, "/")+1], "/")
		}
		if literal == "" || within(rel, literal) || within(literal, rel) {
			return true
		}
	}
	return false
}

// redirected refuses a step whose path an earlier copy may lead elsewhere, by a
// symbolic link that it brought: what the step then looks at is not where the
// head's own links lead.
func (p *plan) redirected(ctx context.Context, i int, name string) error {
	for _, s := range p.steps[:i] {
		for n, a := range s.Actions() {
			cp, dest := a.GetCopy(), s.Destinations[n]
			if cp == nil || name == dest || !within(name, dest) {
				continue
			}
			if err := p.brings(ctx, s.Source(a), cp, strings.TrimPrefix(strings.TrimPrefix(name, dest), "/"), name); err != nil {
				return err
			}
		}
	}
	return nil
}

// brings returns an error when the copy has a symbolic link on the way to rel.
func (p *plan) brings(ctx context.Context, in *pb.Input, cp *pb.FileActionCopy, rel, name string) error {
	srcs, err := p.sources.of(ctx, in, cp)
	if err != nil {
		return err
	}
	for _, src := range srcs {
		at, parts := src.path, strings.Split(rel, "/")
		if !src.isDir {
			// A file has nothing below it, and is a link only when links are
			// copied as such; then its own name is the first on the way.
			if !cp.FollowSymlink && src.name == parts[0] {
				return &skeleton.UnfitError{Path: name, Reason: "may lead through a symbolic link that an earlier instruction copied"}
			}
			continue
		}
		for _, part := range parts {
			at = path.Join(at, part)
			e, err := src.tree.lstat(ctx, at)
			if err != nil {
				return err
			}
			if e.Kind == skeleton.Symlink {
				return &skeleton.UnfitError{Path: name, Reason: "leads through a symbolic link that an earlier instruction copied"}
			}
			if e.Kind != skeleton.Dir {
				break
			}
		}
	}
	return nil
}
