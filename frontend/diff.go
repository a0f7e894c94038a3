package frontend

import (
	"context"
	"fmt"

	"github.com/containerd/platforms"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/image"
)

// diffing is one difference on its way.
type diffing struct {
	*Frontend
	c        gateway.Client
	opts     map[string]string
	o        diffOptions
	resolver *resolver

	lower, upper *diffSide // lower is nil for the upper side's own base
}

// diffed is the difference for one platform.
type diffed struct {
	platform     *ocispecs.Platform // nil is the builder's own
	lower, upper *sideOn
	shared       *shared
}

// diff answers a request for a difference: with its layers, or with what a list
// of changes is made from.
func (f *Frontend) diff(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	opts := c.BuildOpts().Opts
	o, err := newDiffOptions(opts)
	if err != nil {
		return nil, err
	}
	d := &diffing{Frontend: f, c: c, opts: opts, o: o, resolver: newResolver(c, o.resolveMode)}
	if err := d.findSides(ctx); err != nil {
		return nil, err
	}
	ps, skipped, err := d.commonPlatforms(ctx)
	if err != nil {
		return nil, err
	}
	plans := make([]*diffed, len(ps))
	eg, egctx := errgroup.WithContext(ctx)
	for i, p := range ps {
		eg.Go(func() (err error) {
			if plans[i], err = d.plan(egctx, p); err != nil && len(ps) > 1 {
				return fmt.Errorf("%s: %w", PlatformID(*p), err)
			}
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	report := DiffReport{Skipped: skipped}
	for _, b := range plans {
		report.Platforms = append(report.Platforms, b.report())
	}
	if d.o.parts != "" {
		return d.parts(ctx, plans, report)
	}
	return d.result(ctx, plans, report)
}

// plan finds both sides for a platform and what they share.
func (d *diffing) plan(ctx context.Context, p *ocispecs.Platform) (b *diffed, err error) {
	b = &diffed{platform: p}
	eg, egctx := errgroup.WithContext(ctx)
	eg.Go(func() (err error) {
		b.upper, err = d.on(egctx, d.upper, p)
		return err
	})
	if d.lower != nil {
		eg.Go(func() (err error) {
			b.lower, err = d.on(egctx, d.lower, p)
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	if d.lower == nil {
		if b.lower, err = d.ownBase(ctx, b); err != nil {
			return nil, err
		}
	}
	b.shared, err = findShared(b.lower, b.upper)
	return b, err
}

func (b *diffed) report() DiffPlatform {
	rep := DiffPlatform{Lower: b.lower.report(), Upper: b.upper.report(), Shared: b.shared != nil}
	switch {
	case b.platform != nil:
		rep.Platform = PlatformID(*b.platform)
	case b.upper.raw != nil:
		if cfg, err := image.ParseConfig(b.upper.raw); err == nil {
			rep.Platform = platforms.FormatAll(platforms.Normalize(cfg.Platform))
		}
	}
	return rep
}
