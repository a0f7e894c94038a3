package frontend

import (
	"strconv"

	"github.com/docker-relink/relink/internal/errdefs"
)

// BaseContext is the build context of a squash that names the image's base. The
// image itself is ImageContext.
const BaseContext = "base"

// The build arguments of a squash.
const (
	// SquashArg says what becomes one layer: SquashBase, SquashAll, or in a build
	// what stands above the stage of that name. A true value is SquashBase, and a
	// false one squashes nothing.
	SquashArg = "RELINK_SQUASH"
	// FromLayerArg is the number of the first layer of an image, counted from 1,
	// that is squashed.
	FromLayerArg = "RELINK_FROM_LAYER"
)

// SquashMode says what becomes one layer. Any other value than these is the name
// of a stage.
type SquashMode string

const (
	// SquashNone squashes nothing.
	SquashNone SquashMode = ""
	// SquashBase keeps the base's layers.
	SquashBase SquashMode = "base"
	// SquashAll keeps none.
	SquashAll SquashMode = "all"
)

// ParseSquashMode reads the value of --squash: a mode, a truth value as buildx has
// it there, or the name of a stage.
func ParseSquashMode(s string) SquashMode {
	if yes, err := strconv.ParseBool(s); err == nil && len(s) > 1 {
		if yes {
			return SquashBase
		}
		return SquashNone
	}
	return SquashMode(s)
}

// stage is the name of the stage above which the layers are squashed, "" for none.
func (m SquashMode) stage() string {
	switch m {
	case SquashNone, SquashBase, SquashAll:
		return ""
	}
	return string(m)
}

// squashOptions is what the user of a squash of an image chose besides.
type squashOptions struct {
	mode      SquashMode
	fromLayer int // 0 when it was not said
}

func newSquashOptions(opts map[string]string) (o squashOptions, err error) {
	o.mode = ParseSquashMode(opts[buildArgPrefix+SquashArg])
	switch {
	case o.mode == SquashNone:
		o.mode = SquashBase
	case o.mode.stage() != "":
		return o, errdefs.Invalidf("Use base or all. An image has no stages.", "invalid value %q of %s", o.mode, SquashArg)
	}
	if v := opts[buildArgPrefix+FromLayerArg]; v != "" {
		if o.fromLayer, err = strconv.Atoi(v); err != nil || o.fromLayer < 1 {
			return o, errdefs.Invalidf("Use the number of the first layer to squash; the lowest is 1.", "invalid layer %q", v)
		}
	}
	return o, nil
}
