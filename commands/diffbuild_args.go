package commands

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/errdefs"
)

// diffSides is what the arguments of diff-build name.
type diffSides struct {
	lower, upper string // "" for the upper's own base, and for the target
	path         string // "" when none was given
}

// readDiffArgs reads [LOWER..UPPER] [PATH]. A single argument with no range in it
// is the path.
func readDiffArgs(args []string) (s diffSides, err error) {
	sides := ""
	switch len(args) {
	case 2:
		sides, s.path = args[0], args[1]
	case 1:
		if len(rangeDots(args[0])) == 0 {
			s.path = args[0]
			return s, nil
		}
		sides = args[0]
	default:
		return s, nil
	}
	s.lower, s.upper, err = splitRange(sides)
	return s, err
}

// rangeDots finds the two dots between the sides: dots that are part of a path
// are none. A third one at either end is the side ".".
func rangeDots(arg string) (at []int) {
	for i := 0; i < len(arg); {
		n := len(arg[i:]) - len(strings.TrimLeft(arg[i:], "."))
		if n == 0 {
			i++
			continue
		}
		inPath := i > 0 && arg[i-1] == '/' || i+n < len(arg) && arg[i+n] == '/'
		switch {
		case inPath || n == 1:
		case n == 2 && arg != "..":
			at = append(at, i)
		case n == 3 && i == 0:
			at = append(at, 1)
		case n == 3 && i+n == len(arg):
			at = append(at, i)
		case n > 2:
			at = append(at, i, i)
		}
		i += n
	}
	return at
}

func splitRange(arg string) (lower, upper string, err error) {
	at := rangeDots(arg)
	if len(at) != 1 {
		return "", "", errdefs.Invalidf("Write LOWER..UPPER: two dots, and at either side a stage, an image, oci-layout://dir[:tag], or nothing.",
			"%q is not a range", arg)
	}
	return arg[:at[0]], arg[at[0]+2:], nil
}

// apply turns the sides into the build contexts and arguments by which the
// frontend knows them. targets are those of bake files.
func (s diffSides) apply(flags *pflag.FlagSet, targets []string) error {
	for _, side := range []struct{ name, context, arg string }{
		{s.lower, frontend.LowerContext, frontend.LowerArg},
		{s.upper, frontend.UpperContext, frontend.UpperArg},
	} {
		var err error
		switch {
		case side.name == "":
		case slices.Contains(targets, side.name):
			err = flags.Set("build-context", side.context+"=target:"+side.name)
		case strings.Contains(side.name, "://"):
			err = flags.Set("build-context", side.context+"="+side.name)
		default:
			err = flags.Set("build-arg", side.arg+"="+side.name)
		}
		if err != nil {
			return fmt.Errorf("naming the side %s: %w", side.name, err)
		}
	}
	return nil
}

// context is the build context: the path, or without one the current directory
// where it has a Dockerfile, or else an empty one. done removes what was made.
func (s diffSides) context(file string) (dir string, done func(), err error) {
	done = func() {}
	if s.path != "" {
		return s.path, done, nil
	}
	if file == "" {
		file = "Dockerfile"
	}
	if _, err := os.Stat(file); err == nil {
		return ".", done, nil
	}
	if s.upper == "" || s.upper == "." || s.lower == "." {
		return "", done, errdefs.Invalidf("Name the build context: docker relink diff-build [LOWER..UPPER] PATH.", "there is no %s here", file)
	}
	dir, err = emptyContext()
	return dir, func() { _ = os.RemoveAll(dir) }, err
}
