package commands

import (
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/errdefs"
)

// squashValue is the value of build's --squash, which buildx has as a switch that
// does nothing.
type squashValue struct{ mode frontend.SquashMode }

// bind puts the value in the place of buildx's.
func (v *squashValue) bind(flags *pflag.FlagSet) error {
	flag := flags.Lookup("squash")
	if flag == nil {
		return errdefs.Internalf("buildx's build has no --squash")
	}
	flag.Value, flag.DefValue, flag.NoOptDefVal = v, "", string(frontend.SquashBase)
	flag.Usage = `Make one layer of what the build adds ("base", "all" or a stage: what stays below it)`
	flag.Hidden, flag.Annotations = false, nil
	return nil
}

func (v *squashValue) String() string { return string(v.mode) }

// Set reads the value.
func (v *squashValue) Set(s string) error {
	v.mode = frontend.ParseSquashMode(s)
	return nil
}

// Type is the value's name in the help.
func (v *squashValue) Type() string { return "string" }
