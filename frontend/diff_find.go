package frontend

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"github.com/docker-relink/relink/internal/dockerfile"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
)

// findSides finds what the user named, for all platforms.
func (d *diffing) findSides(ctx context.Context) (err error) {
	upper := d.o.upper
	if upper == "" {
		upper = targetSide
	}
	if d.upper, err = d.findSide(ctx, UpperContext, upper); err != nil {
		return err
	}
	if d.o.lower == "" && !d.hasContext(LowerContext) {
		return nil
	}
	d.lower, err = d.findSide(ctx, LowerContext, d.o.lower)
	return err
}

func (d *diffing) hasContext(name string) bool {
	for key := range d.opts {
		if key == "context:"+name || strings.HasPrefix(key, "context:"+name+"::") {
			return true
		}
	}
	return false
}

// findSide resolves a name as a Dockerfile would: a build context, a stage, or
// else an image. The build context of the side's own name comes before all.
func (d *diffing) findSide(ctx context.Context, role, name string) (*diffSide, error) {
	switch {
	case d.hasContext(role):
		return d.contextSide(ctx, role, role)
	case name == targetSide:
		shown := d.opts["target"]
		if shown == "" {
			shown = "the target"
		}
		return d.buildSide(ctx, shown, d.opts["target"])
	case name == emptySide:
		return &diffSide{name: name}, nil
	case d.hasContext(name):
		return d.contextSide(ctx, role, name)
	}
	stages := d.stages(ctx)
	if i := slices.IndexFunc(stages, func(s stage) bool { return s.is(name) }); i >= 0 {
		target, err := stages[i].target(len(stages))
		if err != nil {
			return nil, err
		}
		return d.buildSide(ctx, name, target)
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, d.notFound(name, stages, fmt.Errorf("it is no name of an image either: %w", err))
	}
	s, err := d.imageSide(ctx, name, registrySource(role, reference.TagNameOnly(named).String()))
	if err != nil {
		return nil, d.notFound(name, stages, err)
	}
	return s, nil
}

// contextSide is a side that a build context names.
func (d *diffing) contextSide(ctx context.Context, role, name string) (*diffSide, error) {
	o, ok, err := anyOriginOf(d.opts, name, d.o.platforms)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errdefs.Invalidf("", "the build context %q is not there for all platforms", name)
	}
	shown := name
	if name == role {
		shown = o.String()
	}
	if o.scheme == inputScheme {
		return &diffSide{name: shown, input: name}, nil
	}
	return d.imageSide(ctx, shown, o)
}

func (d *diffing) imageSide(ctx context.Context, name string, o origin) (*diffSide, error) {
	n := &named{origin: o}
	if err := d.imageJob(n).describeNamed(ctx, n); err != nil {
		return nil, err
	}
	return &diffSide{name: name, image: n}, nil
}

// buildSide is what the Dockerfile makes of a target, "" for its own.
func (d *diffing) buildSide(ctx context.Context, name, target string) (*diffSide, error) {
	res, err := d.Build(ctx, withOpts{d.c, buildOpts(d.opts, target)})
	if err != nil {
		return nil, err
	}
	return &diffSide{name: name, built: res}, nil
}

// stage is a stage of the Dockerfile.
type stage struct {
	name   string // "" when it has none
	number int
}

func (s stage) is(name string) bool {
	return s.name != "" && strings.EqualFold(s.name, name) || name == strconv.Itoa(s.number)
}

// target is what a request for the stage names, of so many stages: it cannot be
// named by its number.
func (s stage) target(of int) (string, error) {
	if s.name == "" && s.number != of-1 {
		return "", errdefs.Invalidf("Give it one: FROM … AS name.", "stage %d has no name", s.number)
	}
	return s.name, nil
}

// stages are the Dockerfile's.
func (d *diffing) stages(ctx context.Context) []stage {
	src := readDockerfile(ctx, d.c)
	if src == nil {
		return nil
	}
	var stages []stage
	for i, s := range dockerfile.Stages(src.Data) {
		stages = append(stages, stage{name: s.Name, number: i})
	}
	return stages
}

// notFound says what there is in place of what the user named.
func (d *diffing) notFound(name string, stages []stage, err error) error {
	var known []string
	for key := range d.opts {
		if context, ok := strings.CutPrefix(key, "context:"); ok && !strings.Contains(context, "::") {
			known = append(known, context)
		}
	}
	slices.Sort(known)
	for _, s := range stages {
		if s.name != "" {
			known = append(known, s.name)
		}
	}
	hint := errdefs.Hint(err)
	switch closest := image.Closest(name, known); {
	case closest != "":
		hint = fmt.Sprintf("Did you mean %s?", closest)
	case len(known) > 0:
		hint = "The Dockerfile has the stages and the build has the contexts " + strings.Join(known, ", ") + "."
	}
	// The cause goes in as text, as in readError.
	return errdefs.Invalidf(hint, "%q is neither a build context nor a stage of the Dockerfile, and no image that can be read: %v", name, err)
}
