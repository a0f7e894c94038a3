package frontend

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	commonexptypes "github.com/moby/buildkit/exporter/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// result answers with the difference itself.
func (d *diffing) result(ctx context.Context, plans []*diffed, report DiffReport) (*gateway.Result, error) {
	if err := d.refuseSBOM(); err != nil {
		return nil, err
	}
	multi := len(plans) > 1 || d.o.multi
	states := make([]attributed, len(plans))
	for i, b := range plans {
		def, note, err := d.difference(ctx, b)
		if err != nil {
			return nil, err
		}
		if note != "" {
			report.Notes = append(report.Notes, note)
		}
		states[i].def = def
		if multi {
			states[i].id = report.Platforms[i].Platform
		}
	}
	refs, err := d.solveStates(ctx, d.c, states, d.attributionOpts(report, multi), "")
	if err != nil {
		return nil, err
	}
	res := gateway.NewResult()
	var ps exptypes.Platforms
	for i, b := range plans {
		p, err := d.addPlatform(res, refs[i], states[i].id, b, report.Platforms[i])
		if err != nil {
			return nil, err
		}
		ps.Platforms = append(ps.Platforms, p)
	}
	if err := addPlatforms(res, ps); err != nil {
		return nil, err
	}
	dt, err := report.encode()
	if err != nil {
		return nil, err
	}
	res.AddMeta(DiffReportKey, dt)
	return res, nil
}

// addPlatform puts the difference of one platform into the result, under the id
// where that has several, with what the exporter has to know of it.
func (d *diffing) addPlatform(res *gateway.Result, ref gateway.Reference, id string, b *diffed, rep DiffPlatform) (exptypes.Platform, error) {
	setRef(res, id, ref)
	suffix := suffixOf(id)
	cfg, err := b.config(rep, d.o.flatten)
	if err != nil {
		return exptypes.Platform{}, err
	}
	dt, err := cfg.Marshal()
	if err != nil {
		return exptypes.Platform{}, err
	}
	res.AddMeta(exptypes.ExporterImageConfigKey+suffix, dt)
	return exptypes.Platform{ID: rep.Platform, Platform: cfg.Platform}, d.addEpoch(res, suffix)
}

// refuseSBOM: a scanner would find only what is in the difference.
func (d *diffing) refuseSBOM() error {
	for key, value := range d.opts {
		if strings.HasPrefix(key, "attest:sbom") && !strings.Contains(value, "disabled=true") {
			return errdefs.Unsupportedf("Have the upper side scanned.", "an SBOM of a difference would not say what is in an image")
		}
	}
	return nil
}

func (d *diffing) addEpoch(res *gateway.Result, suffix string) error {
	v := d.opts[buildArgPrefix+"SOURCE_DATE_EPOCH"]
	if v == "" {
		return nil
	}
	if _, err := strconv.ParseInt(v, 10, 64); err != nil {
		return errdefs.Invalidf("Use the number of seconds since 1970.", "invalid SOURCE_DATE_EPOCH %q", v)
	}
	res.AddMeta(commonexptypes.ExporterEpochKey+suffix, []byte(v))
	return nil
}

// difference is the state of the difference. note says what it lacks.
func (d *diffing) difference(ctx context.Context, b *diffed) (_ *pb.Definition, note string, err error) {
	st, note, err := d.differenceState(ctx, b)
	if err != nil {
		return nil, "", err
	}
	var opts []llb.ConstraintsOpt
	if b.platform != nil {
		opts = append(opts, llb.Platform(*b.platform))
	}
	def, err := st.Marshal(ctx, opts...)
	if err != nil {
		return nil, "", fmt.Errorf("composing the difference: %w", err)
	}
	return def.ToPB(), note, nil
}

func (d *diffing) differenceState(ctx context.Context, b *diffed) (llb.State, string, error) {
	own, _, err := b.shared.above(b.upper)
	if err != nil {
		return own, "", err
	}
	subtracts, err := b.subtracts()
	if err != nil {
		return own, "", err
	}
	lower, err := b.lower.state()
	if err != nil {
		return own, "", err
	}
	upper, err := b.upper.state()
	if err != nil {
		return own, "", err
	}
	switch name := layers.Subtracted + b.lower.name + ".." + b.upper.name; {
	case b.upper.graph.Root() == nil, b.lower.graph.Root() != nil && b.same():
		return llb.Scratch(), "", nil
	case !d.canSubtract():
		return d.comparedState(ctx, b, lower, upper)
	case subtracts && !d.o.flatten:
		return own, "", nil
	default:
		return layers.Flat(lower, upper, name), "", nil
	}
}

// subtracts says whether the difference is layers of the upper side as they are:
// the lower side is nothing but what it stands on.
func (b *diffed) subtracts() (bool, error) {
	_, empty, err := b.shared.above(b.lower)
	return empty, err
}

// same says that both sides are one and the same.
func (b *diffed) same() bool {
	if b.shared == nil {
		return false
	}
	_, lower, err := b.shared.above(b.lower)
	_, upper, err2 := b.shared.above(b.upper)
	return err == nil && err2 == nil && lower && upper
}

// comparedState is the difference by its files, for builders that cannot subtract
// layers.
func (d *diffing) comparedState(ctx context.Context, b *diffed, lower, upper llb.State) (llb.State, string, error) {
	if b.lower.graph.Root() == nil {
		return upper, "", nil
	}
	expression := b.lower.name + ".." + b.upper.name
	if err := unableToCompare(d.c, expression); err != nil {
		return upper, "", err
	}
	files, err := compareStates(ctx, d.c, lower, upper)
	if err != nil {
		return upper, "", fmt.Errorf("comparing %s: %w", expression, err)
	}
	note := ""
	if len(files.gone) > 0 {
		note = fmt.Sprintf("%d deletions are not in the result: this builder has no DiffOp", len(files.gone))
	}
	return files.own(d.c, upper, llb.WithCustomName("[relink] "+expression+" compared file by file, which is slower: this builder has no DiffOp")), note, nil
}

// config is the upper side's, with the history of the difference.
func (b *diffed) config(rep DiffPlatform, flatten bool) (*image.Config, error) {
	cfg := &image.Config{}
	if b.upper.raw != nil {
		var err error
		if cfg, err = image.ParseConfig(b.upper.raw); err != nil {
			return nil, fmt.Errorf("reading the config of %s: %w", b.upper.name, err)
		}
	}
	if cfg.OS == "" && b.platform != nil {
		cfg.Platform = *b.platform
	}
	subtracts, err := b.subtracts()
	if err != nil {
		return nil, err
	}
	if subtracts && !flatten {
		cfg.History = historyAbove(cfg.History, b.lower.raw)
	} else {
		cfg.History = []ocispecs.History{{Created: cfg.Created, CreatedBy: "docker relink diff-build " + rep.Lower.Name + ".." + rep.Upper.Name}}
	}
	cfg.RootFS.DiffIDs = nil
	return cfg, nil
}

// historyAbove is the part of an image's history that comes after that of what it
// stands on.
func historyAbove(history []ocispecs.History, lower []byte) []ocispecs.History {
	base, err := image.ParseConfig(lower)
	if err != nil {
		return history // It stands on nothing.
	}
	n := len(base.History)
	if n > len(history) {
		return history
	}
	return history[n:]
}

// attributionOpts are the request as provenance shows it.
func (d *diffing) attributionOpts(report DiffReport, multi bool) map[string]string {
	var ids []string
	for _, p := range report.Platforms {
		ids = append(ids, p.Platform)
	}
	return attributionOptsOf(d.opts, ids, multi)
}
