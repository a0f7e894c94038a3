package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/definition"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// readInput reads the result of another build, such as a linked target of bake.
func (r *resolver) readInput(ctx context.Context, img *imageOn, p *ocispecs.Platform) error {
	st, metadata, err := r.input(ctx, img.origin)
	if err != nil {
		return err
	}
	g, err := graphOfState(ctx, st)
	if err != nil {
		return err
	}
	if img.built, err = r.readBuilt(ctx, img.origin.role, g); err != nil {
		return err
	}
	img.state = img.built.source(st)
	img.raw, err = inputConfig(metadata, p, img.built)
	return err
}

// input is the state of another build's result, and what that says of it.
func (r *resolver) input(ctx context.Context, o origin) (st llb.State, metadata map[string][]byte, err error) {
	inputs, err := r.c.Inputs(ctx)
	if err != nil {
		return st, nil, err
	}
	st, ok := inputs[o.value]
	if !ok {
		return st, nil, errdefs.Internalf("there is no input %q", o.value)
	}
	md := r.c.BuildOpts().Opts["input-metadata:"+o.value]
	if md == "" {
		return st, nil, nil
	}
	if err := json.Unmarshal([]byte(md), &metadata); err != nil {
		return st, nil, fmt.Errorf("reading the metadata of the input: %w", err)
	}
	return st, metadata, nil
}

// inputConfig is the config of a build's result, with its layers as far as they are
// known; the exporter writes those that there are in the end.
func inputConfig(metadata map[string][]byte, p *ocispecs.Platform, b *built) ([]byte, error) {
	raw := metadata[exptypes.ExporterImageConfigKey]
	if p != nil && raw == nil {
		raw = metadata[exptypes.ExporterImageConfigKey+"/"+PlatformID(*p)]
	}
	if raw == nil {
		return nil, errdefs.Unsupportedf("Name an image.", "the result of the build has no image config")
	}
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		return nil, err
	}
	cfg.RootFS.DiffIDs = b.diffIDs(cfg.History)
	return cfg.Marshal()
}

// readBuilt reads what a build's result is made of.
func (r *resolver) readBuilt(ctx context.Context, role string, g *definition.Graph) (*built, error) {
	b := &built{}
	var err error
	if b.bottom, err = r.bottom(ctx, role, g, nil); err != nil {
		return nil, err
	}
	var end *pb.Input
	if b.bottom != nil {
		end = g.Bottom(g.Root())
	}
	for in := g.Root(); in != nil && in != end; in = g.Below(in) {
		states, err := added(layers.Named, g, in)
		if err != nil {
			return nil, err
		}
		own := make([]builtLayer, len(states))
		for i, st := range states {
			own[i] = builtLayer{fmt.Sprint(definition.Key(in), " ", i), st}
		}
		b.own = append(own, b.own...)
	}
	return b, nil
}

// bottom is the image that a graph stands on, as the graph has it, nil for none; p
// is the platform where the graph does not say it.
func (r *resolver) bottom(ctx context.Context, role string, g *definition.Graph, p *ocispecs.Platform) (*imageOn, error) {
	in := g.Bottom(g.Root())
	o, ok := sourceOf(g.Op(in), role)
	if !ok {
		return nil, nil
	}
	if of := g.Op(in).GetPlatform(); of != nil {
		spec := of.Spec()
		p = &spec
	}
	img, err := r.resolve(ctx, o, p)
	if err != nil {
		return nil, err
	}
	whole, err := state(g.Definition(in))
	if err != nil {
		return nil, err
	}
	own := *img
	own.state = func(limit int, name string) llb.State {
		if limit == layers.Whole {
			return whole // the same operation, and not another that does the same
		}
		return img.state(limit, name)
	}
	return &own, nil
}

// sourceOf is the image that an operation takes; false when it takes none.
func sourceOf(op *pb.Op, role string) (origin, bool) {
	scheme, ref, _ := strings.Cut(op.GetSource().GetIdentifier(), "://")
	attrs := op.GetSource().GetAttrs()
	switch {
	case attrs[pb.AttrImageLayerLimit] != "" || attrs[pb.AttrOCILayoutLayerLimit] != "":
		return origin{}, false // a part of an image
	case scheme == imageScheme:
		return registrySource(role, ref), true
	case scheme == layoutScheme:
		_, dgst, _ := strings.Cut(ref, "@")
		return origin{role, scheme, attrs[pb.AttrOCILayoutStoreID] + "@" + dgst, attrs[pb.AttrOCILayoutSessionID]}, true
	default:
		return origin{}, false
	}
}

// contextPlatforms are the platforms for which a build context has a value of its
// own: those that another build's result is for, where it is for several.
func contextPlatforms(opts map[string]string, name string) (ps []ocispecs.Platform) {
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		id, ok := strings.CutPrefix(key, "context:"+name+"::")
		if !ok {
			continue
		}
		if p, err := platforms.Parse(id); err == nil {
			ps = append(ps, platforms.Normalize(p))
		}
	}
	return ps
}

// inputPlatforms are those that another build's result is for, nil when it does not
// say.
func (r *resolver) inputPlatforms(ctx context.Context, opts map[string]string, name string) ([]ocispecs.Platform, error) {
	if ps := contextPlatforms(opts, name); len(ps) > 0 {
		return ps, nil
	}
	o, _, err := originOf(opts, name, nil)
	if err != nil {
		return nil, err
	}
	_, metadata, err := r.input(ctx, o)
	if err != nil || metadata[exptypes.ExporterImageConfigKey] == nil {
		return nil, err
	}
	cfg, err := image.ParseConfig(metadata[exptypes.ExporterImageConfigKey])
	if err != nil || cfg.OS == "" || cfg.Architecture == "" {
		return nil, err
	}
	return []ocispecs.Platform{platforms.Normalize(cfg.Platform)}, nil
}

// anyOriginOf is the build context of a name on one of the platforms, or else on one
// that it has.
func anyOriginOf(opts map[string]string, name string, ps []ocispecs.Platform) (origin, bool, error) {
	o, ok, err := originOf(opts, name, firstOf(ps))
	if ok || err != nil {
		return o, ok, err
	}
	return originOf(opts, name, firstOf(contextPlatforms(opts, name)))
}
