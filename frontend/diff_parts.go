package frontend

import (
	"context"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"
)

// parts answers with what a list of changes is made from, as an image each: the
// layers that only one side has, and those that both stand on where they are at
// hand. It asks for no layer that both sides have and the builder has not: what
// is equal on both sides is no part of the difference.
func (d *diffing) parts(ctx context.Context, plans []*diffed, report DiffReport) (*gateway.Result, error) {
	res := gateway.NewResult()
	list := &partList{d: d, res: res}
	report.Trees = d.o.parts != DiffNoParts && !d.canSubtract()
	for i, b := range plans {
		if d.o.parts == DiffNoParts {
			break
		}
		add := list.own
		if report.Trees {
			add = list.trees
		}
		parts, err := add(ctx, i, b)
		if err != nil {
			return nil, err
		}
		report.Platforms[i].Parts = parts
	}
	if err := list.finish(); err != nil {
		return nil, err
	}
	dt, err := report.encode()
	if err != nil {
		return nil, err
	}
	res.AddMeta(DiffReportKey, dt)
	return res, nil
}

// canSubtract says whether the builder can subtract layers.
func (d *diffing) canSubtract() bool { return lacking(d.c) == "" }

// partList puts parts into a result. To the builder they are images of several
// platforms.
type partList struct {
	d   *diffing
	res *gateway.Result
	ps  exptypes.Platforms
}

func (l *partList) add(ctx context.Context, i int, role string, st llb.State) (DiffPart, error) {
	part := DiffPart{ID: fmt.Sprintf("%d-%s", i, role), Role: role}
	def, err := st.Marshal(ctx)
	if err != nil {
		return part, fmt.Errorf("composing the difference: %w", err)
	}
	ref, err := solveRef(ctx, l.d.c, def.ToPB())
	if err != nil {
		return part, err
	}
	l.res.AddRef(part.ID, ref)
	l.ps.Platforms = append(l.ps.Platforms, exptypes.Platform{ID: part.ID, Platform: platforms.DefaultSpec()})
	return part, nil
}

func (l *partList) finish() error {
	if len(l.ps.Platforms) == 0 {
		return nil
	}
	return addPlatforms(l.res, l.ps)
}

// own adds the layers of one platform.
func (l *partList) own(ctx context.Context, i int, b *diffed) (parts []DiffPart, err error) {
	for _, side := range []struct {
		role string
		on   *sideOn
	}{{LowerPart, b.lower}, {UpperPart, b.upper}} {
		st, empty, err := b.shared.above(side.on)
		if err != nil {
			return nil, err
		}
		if empty {
			continue
		}
		if known := l.d.listed(b.shared.layersAbove(side.on)); known != nil {
			parts = append(parts, DiffPart{Role: side.role, Listed: known})
			continue
		}
		part, err := l.add(ctx, i, side.role, st)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if b.shared == nil || len(parts) == 0 {
		return parts, nil
	}
	if known := l.d.listed(b.shared.below()); known != nil {
		return append(parts, DiffPart{Role: SharedPart, Listed: known}), nil
	}
	st, has, err := l.d.sharedState(ctx, b)
	if err != nil || !has {
		return parts, err
	}
	part, err := l.add(ctx, i, SharedPart, st)
	return append(parts, part), err
}

// listed are the layers, when the paths in all of them are known.
func (d *diffing) listed(diffIDs []digest.Digest) []digest.Digest {
	if d.Listed == nil || len(diffIDs) == 0 {
		return nil
	}
	for _, id := range diffIDs {
		if !d.Listed(id) {
			return nil
		}
	}
	return diffIDs
}

// sharedState is what both sides stand on, by way of an image of which the builder
// has the files; has is false when it has them of none and is not to get them. To
// build the sides may make it get them.
func (d *diffing) sharedState(ctx context.Context, b *diffed) (st llb.State, has bool, err error) {
	if d.o.parts == DiffAllParts || len(b.shared.images) == 0 {
		return b.shared.state, true, nil
	}
	for _, s := range []*sideOn{b.lower, b.upper} {
		if s.image != nil || s.graph.Root() == nil {
			continue
		}
		if err := evaluate(ctx, d.c, s.graph.Definition(s.graph.Root())); err != nil {
			return st, false, err
		}
	}
	for _, img := range b.shared.images {
		if d.Present == nil || !d.Present(ctx, img.digest.String()) {
			continue
		}
		if b.shared.at != nil {
			return b.shared.state, true, nil
		}
		return firstLayers(img, b.shared.layers), true, nil
	}
	return st, false, nil
}

// trees adds the whole file systems of one platform.
func (l *partList) trees(ctx context.Context, i int, b *diffed) (parts []DiffPart, err error) {
	for _, side := range []struct {
		role string
		on   *sideOn
	}{{LowerPart, b.lower}, {UpperPart, b.upper}} {
		if side.on.graph.Root() == nil {
			continue
		}
		st, err := side.on.state()
		if err != nil {
			return nil, err
		}
		part, err := l.add(ctx, i, side.role, st)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}
