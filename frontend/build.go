// Package frontend is the BuildKit frontend: it lets a Dockerfile frontend turn
// the Dockerfile into LLB, and builds the copies at the target stage's end so
// that their layers do not depend on the base. It knows no command line and no
// terminal, and runs in the client as well as on the builder.
package frontend

import (
	"context"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Frontend builds Dockerfiles by way of another frontend.
type Frontend struct {
	// Inner is the builder's frontend that reads the Dockerfile,
	// "dockerfile.v0" as a rule.
	Inner string
	// Default is the link mode where the request names none; "" is auto.
	Default LinkMode
	// Image is the name of the result in the report.
	Image string
	// Memory keeps facts about bases from build to build; nil keeps none.
	Memory Memory
	// Present says whether the builder has the files of an image, given the
	// image's digest: then they are read rather than inherited; nil does not know.
	Present func(ctx context.Context, digest string) bool
	// Lazy says whether the builder has not fetched the files of something that it
	// uses now; nil does not know.
	Lazy func(ctx context.Context) bool
	// Reserved says that an annotation of the image's manifest is not ours to
	// set, because the user set it; nil sets none at all.
	Reserved func(key string) bool
	// ReservedIndex says the same of an annotation of the index; nil is none.
	ReservedIndex func(key string) bool
	// Stored says that the result becomes an image and nothing else, so that it has
	// the attestations that are for images alone.
	Stored bool
	// Unattested says that nothing that the result becomes has attestations that are
	// for images alone.
	Unattested bool
	// Images tells what registries know of images; nil knows nothing.
	Images Images
	// Listed says of a layer, by its DiffID, that the paths in it are known, so that
	// a list of changes can be made without it; nil knows none.
	Listed func(diffID digest.Digest) bool
}

// Build answers one build request: a result for every platform that was asked
// for, or what the other frontend answers when there is nothing to link.
func (f *Frontend) Build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	opts := c.BuildOpts().Opts
	if build, err := f.operation(opts); err != nil {
		return nil, err
	} else if build != nil {
		return build(ctx, c)
	}
	o, err := f.linkOptions(opts)
	if err != nil {
		return nil, err
	}
	plan := o.squash != SquashNone && opts["requestid"] == requestPrefix+PlanRequest
	if plan {
		c = withOpts{c, withoutRequest(opts)}
		opts = c.BuildOpts().Opts
	}
	stock, ranges, err := f.read(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case plan:
		return f.planSquash(ctx, c, o, ranges, stock)
	case o.explain:
		return explain(ctx, c, o, stock)
	case opts["requestid"] != "" || o.mode == LinkNever && o.squash == SquashNone:
		return stock.Result, nil
	}
	return f.linkResult(ctx, c, o, ranges, stock)
}

func (f *Frontend) linkOptions(opts map[string]string) (o linkOptions, err error) {
	mode, ok := opts[buildArgPrefix+LinkArg]
	if !ok {
		mode = string(f.Default)
	}
	if o.mode, err = ParseLinkMode(mode); err != nil {
		return o, err
	}
	if o.verify, err = flag(opts, VerifyArg, false); err != nil {
		return o, err
	}
	if o.annotate, err = flag(opts, AnnotateArg, true); err != nil {
		return o, err
	}
	if o.explain, err = flag(opts, ExplainArg, false); err != nil {
		return o, err
	}
	o.squash = ParseSquashMode(opts[buildArgPrefix+SquashArg])
	o.present, o.lazy, o.memory = f.Present, f.Lazy, f.memory()
	return o, nil
}

func (f *Frontend) memory() Memory {
	if f.Memory == nil {
		return noMemory{}
	}
	return f.Memory
}

// linkResult links the state of every platform of a result, and squashes it when
// that was asked for. All else in the result (base configs, epoch, annotations, and
// but for the history the image configs) is the Dockerfile frontend's word for the
// whole image and stays as it is.
func (f *Frontend) linkResult(ctx context.Context, c gateway.Client, o linkOptions, rg *ranges, stock *reading) (*gateway.Result, error) {
	linked, err := f.linkAll(ctx, c, o, stock)
	if err != nil {
		return nil, err
	}
	var refs []gateway.Reference
	if o.squash == SquashNone {
		refs, err = f.solveHeld(ctx, c, o, linked)
	} else {
		err = holdAll(ctx, o, linked)
	}
	if err != nil {
		return nil, err
	}
	report, err := f.report(c, o, stock, linked)
	if err != nil {
		return nil, err
	}
	if o.squash != SquashNone {
		if err := f.squashResult(ctx, c, o, rg, stock.Result, linked); err != nil {
			return nil, err
		}
		if refs, err = f.solveLinked(ctx, c, linked); err != nil {
			return nil, err
		}
	}
	if err := replaceStates(ctx, c, stock.Result, linked, refs); err != nil {
		return nil, err
	}
	return withReport(stock.Result, report)
}

// linkAll links all states, where that can be done and is wanted.
func (f *Frontend) linkAll(ctx context.Context, c gateway.Client, o linkOptions, stock *reading) ([]*linking, error) {
	if o.mode == LinkNever || unable(c) != "" {
		return stock.unlinked(ctx, c)
	}
	graphs, err := stock.graphs(ctx)
	if err != nil {
		return nil, err
	}
	linked := make([]*linking, len(graphs))
	eg, ctx := errgroup.WithContext(ctx)
	for i, g := range graphs {
		eg.Go(func() (err error) {
			linked[i], err = link(ctx, c, o, g)
			return err
		})
	}
	return linked, eg.Wait()
}

// holdAll builds what rests on what may not hold.
func holdAll(ctx context.Context, o linkOptions, linked []*linking) error {
	eg, ctx := errgroup.WithContext(ctx)
	for _, l := range linked {
		eg.Go(func() error { return l.holdAlone(ctx, o) })
	}
	return eg.Wait()
}

// report says what was linked, and adds that to the annotations of the manifests.
func (f *Frontend) report(c gateway.Client, o linkOptions, stock *reading, linked []*linking) (report Report, err error) {
	switch reason := unable(c); {
	case o.mode == LinkNever:
	case reason != "":
		report.Platforms = []PlatformReport{{Platform: onlyPlatform(c), Mode: o.mode, Reason: reason}}
	default:
		for _, l := range linked {
			l.report.Image = f.Image
			report.Platforms = append(report.Platforms, l.reported())
			if o.annotate && o.squash != SquashAll {
				if err := f.annotate(stock.Result, l); err != nil {
					return report, err
				}
			}
		}
	}
	if o.squash == SquashNone {
		report.remarkLayers(stock.Result, linked)
	}
	return report, nil
}

// onlyPlatform is the platform that was asked for, when it is one. The result
// does not name it then, but on a builder of several nodes it is only what this
// node was asked for.
func onlyPlatform(c gateway.Client) string {
	platform := c.BuildOpts().Opts["platform"]
	if strings.Contains(platform, ",") {
		return ""
	}
	return platform
}

func withReport(res *gateway.Result, report Report) (*gateway.Result, error) {
	if report.Empty() {
		return res, nil
	}
	dt, err := report.Encode()
	if err != nil {
		return nil, err
	}
	res.AddMeta(ReportKey, dt)
	return res, nil
}

// unable says what the builder lacks for linking, "" when it lacks nothing.
func unable(c gateway.Client) string {
	caps := c.BuildOpts().LLBCaps
	for _, need := range []struct {
		name string
		err  error
	}{{"MergeOp", caps.Supports(pb.CapMergeOp)}, {"DiffOp", caps.Supports(pb.CapDiffOp)}} {
		if need.err != nil {
			return "the builder has no " + need.name + " (BuildKit v0.10, or Docker Engine with the containerd image store): built as docker buildx build does"
		}
	}
	return ""
}
