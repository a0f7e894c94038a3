package frontend

import (
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
)

// The names of the build contexts that are the sides of a difference.
const (
	LowerContext = "lower"
	UpperContext = "upper"
)

// The build arguments of a difference.
const (
	// LowerArg and UpperArg name the sides where no build context does: by a
	// build context, a stage or an image, "scratch" for nothing, or "." for what
	// the Dockerfile's target is. Without either, the upper side is the target
	// and the lower one the upper's own base.
	LowerArg = "RELINK_LOWER"
	UpperArg = "RELINK_UPPER"
	// FlattenArg, when it is a true value, makes the difference one layer.
	FlattenArg = "RELINK_FLATTEN"
	// DiffPartsArg asks for the layers that a list of changes is made from instead
	// of the difference; its values are below.
	DiffPartsArg = "RELINK_DIFF_PARTS"
)

// The values of DiffPartsArg.
const (
	// DiffNoParts asks for the report alone.
	DiffNoParts = "none"
	// DiffOwnParts asks for the layers that only one of the sides has, and for
	// those below where the builder has their files.
	DiffOwnParts = "own"
	// DiffAllParts asks for all layers, pulled or not.
	DiffAllParts = "all"
)

const (
	targetSide = "."
	emptySide  = "scratch"
)

// diffOptions is what the user chose.
type diffOptions struct {
	lower, upper string
	flatten      bool
	parts        string // "" asks for the difference itself
	platforms    []ocispecs.Platform
	multi        bool // the result is an index in any case
	resolveMode  string
}

func newDiffOptions(opts map[string]string) (o diffOptions, err error) {
	if opts["requestid"] != "" {
		return o, errdefs.Unsupportedf("", "a difference has no answer to %q", opts["requestid"])
	}
	o.lower, o.upper = opts[buildArgPrefix+LowerArg], opts[buildArgPrefix+UpperArg]
	o.resolveMode = opts["image-resolve-mode"]
	switch o.parts = opts[buildArgPrefix+DiffPartsArg]; o.parts {
	case "", DiffNoParts, DiffOwnParts, DiffAllParts:
	default:
		return o, errdefs.Invalidf("Use one of "+strings.Join([]string{DiffNoParts, DiffOwnParts, DiffAllParts}, ", ")+", or leave it out.",
			"invalid value %q of %s", o.parts, DiffPartsArg)
	}
	if o.flatten, err = flag(opts, FlattenArg, false); err != nil {
		return o, err
	}
	o.platforms, o.multi, err = readPlatforms(opts)
	return o, err
}

// buildOpts are the options with which a side that a Dockerfile makes is built:
// the user's, without what is about the difference.
func buildOpts(opts map[string]string, target string) map[string]string {
	out := withoutSBOM(opts)
	for _, name := range []string{OpArg, LowerArg, UpperArg, FlattenArg, DiffPartsArg} {
		delete(out, buildArgPrefix+name)
	}
	delete(out, "target")
	if target != "" {
		out["target"] = target
	}
	return out
}
