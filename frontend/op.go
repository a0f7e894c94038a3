package frontend

import (
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/docker-relink/relink/internal/errdefs"
)

// OpArg is the build argument that asks for something else than the build of a
// Dockerfile; OpRebase is its one value.
const (
	OpArg    = "RELINK_OP"
	OpRebase = "rebase"
)

// operation is the function that answers a request for something else than the
// build of a Dockerfile, nil when the request is for that.
func (f *Frontend) operation(opts map[string]string) (gateway.BuildFunc, error) {
	switch op := opts[buildArgPrefix+OpArg]; op {
	case "":
		return nil, nil
	case OpRebase:
		return f.rebase, nil
	default:
		return nil, errdefs.Invalidf("Use "+OpRebase+", or leave it out.", "invalid value %q of %s", op, OpArg)
	}
}
