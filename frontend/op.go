package frontend

import (
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/layers"
)

// OpArg is the build argument that asks for something else than the build of a
// Dockerfile; its values are below.
const (
	OpArg    = "RELINK_OP"
	OpRebase = "rebase"
	OpDiff   = "diff"
	OpSquash = "squash"
)

// operation is the function that answers a request for something else than the
// build of a Dockerfile, nil when the request is for that.
func (f *Frontend) operation(opts map[string]string) (gateway.BuildFunc, error) {
	switch op := opts[buildArgPrefix+OpArg]; op {
	case "":
		return nil, nil
	case OpRebase:
		return f.rebase, nil
	case OpDiff:
		return f.diff, nil
	case OpSquash:
		return f.squash, nil
	default:
		return nil, errdefs.Invalidf("Use one of "+strings.Join([]string{OpRebase, OpDiff, OpSquash}, ", ")+", or leave it out.", "invalid value %q of %s", op, OpArg)
	}
}

// Leftovers are filters of the records that should be taken out of the builder's
// cache when the request with these options is done, nil for none.
func Leftovers(opts map[string]string) []string {
	switch opts[buildArgPrefix+OpArg] {
	case OpRebase:
		return layers.Leftovers()
	case OpDiff:
		return layers.DifferenceLeftovers()
	case OpSquash:
		return layers.SquashLeftovers()
	}
	if ParseSquashMode(opts[buildArgPrefix+SquashArg]) != SquashNone {
		return layers.SquashLeftovers()
	}
	return nil
}
