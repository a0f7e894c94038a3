package frontend

import (
	"strconv"
	"strings"

	"github.com/docker-relink/relink/internal/errdefs"
)

// The build arguments by which the frontend is told what to do. As environment
// variables of the command line they set the defaults.
const (
	// LinkArg chooses how copies are built; its values are the link modes.
	LinkArg = "RELINK_LINK"

	// VerifyArg, when it is a true value, has inherited facts checked against
	// the base before the result is given out.
	VerifyArg = "RELINK_VERIFY"
	// AnnotateArg, when it is a false value, keeps the facts and the base's name
	// out of the image's annotations.
	AnnotateArg = "RELINK_ANNOTATE"

	// ExplainArg, when it is a true value, has the plan reported and nothing
	// built.
	ExplainArg = "RELINK_EXPLAIN"

	buildArgPrefix = "build-arg:"
)

// LinkMode says how the copies at the end of the target stage are built.
type LinkMode string

const (
	// LinkAuto builds them on a skeleton of their base, where that is exact.
	LinkAuto LinkMode = "auto"
	// LinkStrict is LinkAuto by no other facts than those that this machine read
	// from the very base that is built upon.
	LinkStrict LinkMode = "strict"
	// LinkAlways takes every destination as a plain directory, as COPY --link
	// does, and never looks at the base.
	LinkAlways LinkMode = "always"
	// LinkNever builds as the Dockerfile frontend does.
	LinkNever LinkMode = "never"
)

// LinkModes are the values that ParseLinkMode takes.
func LinkModes() []string {
	return []string{string(LinkAuto), string(LinkStrict), string(LinkAlways), string(LinkNever)}
}

// ParseLinkMode reads a link mode; "" is auto. Anything else is an error of
// kind Invalid that names the modes.
func ParseLinkMode(s string) (LinkMode, error) {
	if s == "" {
		return LinkAuto, nil
	}
	for _, m := range LinkModes() {
		if s == m {
			return LinkMode(m), nil
		}
	}
	return "", errdefs.Invalidf("Use one of "+strings.Join(LinkModes(), ", ")+".", "invalid link mode %q", s)
}

// flag reads a build argument that is a truth value.
func flag(opts map[string]string, name string, otherwise bool) (bool, error) {
	v, ok := opts[buildArgPrefix+name]
	if !ok || v == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, errdefs.Invalidf("Use true or false.", "invalid value %q of %s", v, name)
	}
	return b, nil
}
