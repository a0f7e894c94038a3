package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	commonexptypes "github.com/moby/buildkit/exporter/exptypes"
	"github.com/moby/buildkit/frontend/attestations"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// result composes the states and hands them to the builder, with what the
// exporter has to know of the images.
func (r *rebasing) result(ctx context.Context, plans []*rebased, report RebaseReport) (*gateway.Result, error) {
	states, err := r.states(ctx, plans)
	if err != nil {
		return nil, err
	}
	refs, err := r.solve(ctx, plans, states)
	if err != nil {
		return nil, err
	}
	res := gateway.NewResult()
	var ps exptypes.Platforms
	for i, b := range plans {
		if id := states[i].id; id == "" {
			res.SetRef(refs[i])
		} else {
			res.AddRef(id, refs[i])
		}
		p := b.result.Config.Platform
		ps.Platforms = append(ps.Platforms, exptypes.Platform{ID: PlatformID(b.platform), Platform: p})
		if err := r.addMetadata(res, b, states[i].id); err != nil {
			return nil, err
		}
	}
	dt, err := json.Marshal(ps)
	if err != nil {
		return nil, fmt.Errorf("writing the platforms: %w", err)
	}
	res.AddMeta(exptypes.ExporterPlatformsKey, dt)
	if err := r.annotateIndex(res, plans); err != nil {
		return nil, err
	}
	if err := r.addSBOM(ctx, res, plans, states); err != nil {
		return nil, err
	}
	if dt, err = report.encode(); err != nil {
		return nil, err
	}
	res.AddMeta(RebaseReportKey, dt)
	return res, nil
}

// states are the rebased images as definitions.
func (r *rebasing) states(ctx context.Context, plans []*rebased) ([]attributed, error) {
	states := make([]attributed, len(plans))
	for i, b := range plans {
		st := layers.Rebase{
			Image:         b.image.state,
			Layers:        len(b.image.config.RootFS.DiffIDs),
			OldBaseLayers: b.oldLayers,
			Onto:          b.onto.state(layers.Whole, "[onto] "+b.onto.origin.String()),
		}.State()
		def, err := st.Marshal(ctx, llb.Platform(b.platform))
		if err != nil {
			return nil, fmt.Errorf("composing the rebased image: %w", err)
		}
		states[i].def = def.ToPB()
		if r.multi(plans) {
			states[i].id = PlatformID(b.platform)
		}
	}
	return states, nil
}

// multi says whether the result is an index.
func (r *rebasing) multi(plans []*rebased) bool { return len(plans) > 1 || r.o.multi }

func (r *rebasing) solve(ctx context.Context, plans []*rebased, states []attributed) ([]gateway.Reference, error) {
	if wantsProvenance(r.opts) {
		return r.attribute(ctx, r.c, r.attributionOpts(plans), "", states)
	}
	refs := make([]gateway.Reference, len(states))
	for i, st := range states {
		ref, err := solveRef(ctx, r.c, st.def)
		if err != nil {
			return nil, err
		}
		refs[i] = ref
	}
	return refs, nil
}

// attributionOpts are the request as provenance shows it: with the platforms
// that were done and the images by their digests, the old base included, which
// is no part of the state.
func (r *rebasing) attributionOpts(plans []*rebased) map[string]string {
	opts := attributionOpts(r.opts)
	delete(opts, "target")
	var ids []string
	for _, b := range plans {
		ids = append(ids, PlatformID(b.platform))
		for name, img := range map[string]*imageOn{ImageContext: b.image, FromContext: b.old, OntoContext: b.onto} {
			if img == nil || img.origin.scheme != imageScheme {
				continue
			}
			if pinned, err := pin(img.origin.value, img.digest); err == nil {
				opts["context:"+name] = imageScheme + "://" + pinned
			}
		}
	}
	opts["platform"] = strings.Join(ids, ",")
	if r.multi(plans) {
		opts["multi-platform"] = "true"
	}
	return opts
}

// addMetadata tells the exporter the config, the base's config, by which it knows
// the base's layers, and the annotations of a platform's image.
func (r *rebasing) addMetadata(res *gateway.Result, b *rebased, id string) error {
	cfg := b.result.Config
	dt, err := cfg.Marshal()
	if err != nil {
		return err
	}
	suffix := ""
	if id != "" {
		suffix = "/" + id
	}
	res.AddMeta(exptypes.ExporterImageConfigKey+suffix, dt)
	res.AddMeta(exptypes.ExporterImageBaseConfigKey+suffix, b.onto.raw)
	if r.o.epoch {
		res.AddMeta(commonexptypes.ExporterEpochKey+suffix, []byte(strconv.FormatInt(r.o.created.Unix(), 10)))
	}
	var platform *ocispecs.Platform
	if id != "" {
		platform = &b.platform
	}
	annotations, err := r.annotations(b)
	if err != nil {
		return err
	}
	for key, value := range annotations {
		if r.Reserved == nil || !r.Reserved(key) {
			res.AddMeta(exptypes.AnnotationManifestKey(platform, key), []byte(value))
		}
	}
	return nil
}

// annotations are those of the image's manifest, with the new base in place of
// the old one. Facts that a linked build left there are about the old base.
func (r *rebasing) annotations(b *rebased) (map[string]string, error) {
	m, _ := r.image.description.For(b.platform)
	existing := maps.Clone(m.Annotations)
	delete(existing, FactsAnnotation)
	return image.RebaseAnnotations(existing, b.onto.name(), b.onto.digest)
}

// annotateIndex does the same with the annotations of the index, where the result
// is to be one.
func (r *rebasing) annotateIndex(res *gateway.Result, plans []*rebased) error {
	if !r.multi(plans) && !makesIndex(r.opts) {
		return nil
	}
	annotations, err := r.indexAnnotations(plans)
	if err != nil {
		return err
	}
	for key, value := range annotations {
		if r.ReservedIndex == nil || !r.ReservedIndex(key) {
			res.AddMeta(exptypes.AnnotationIndexKey(key), []byte(value))
		}
	}
	return nil
}

func (r *rebasing) indexAnnotations(plans []*rebased) (map[string]string, error) {
	var existing map[string]string
	if d := r.image.description; d != nil {
		existing = d.Annotations
	}
	return image.RebaseAnnotations(existing, plans[0].onto.name(), plans[0].onto.digest)
}

// makesIndex says whether there will be attestations, which BuildKit keeps in an
// index beside the image.
func makesIndex(opts map[string]string) bool {
	requested, err := attestations.Parse(opts)
	if err != nil {
		return false // It comes again where they are made.
	}
	for _, attrs := range requested {
		if !strings.EqualFold(attrs["disabled"], "true") && !strings.EqualFold(attrs["inline-only"], "true") {
			return true
		}
	}
	return false
}

// report sums up what was decided.
func (r *rebasing) report(plans []*rebased, missing []ocispecs.Platform, warnings []string) RebaseReport {
	rep := RebaseReport{
		Image:    NamedImage{plans[0].image.name(), plans[0].image.digest},
		Onto:     NamedImage{plans[0].onto.name(), plans[0].onto.digest},
		Warnings: warnings,
	}
	for _, b := range plans {
		rep.Platforms = append(rep.Platforms, b.report)
		if warning := b.releaseWarning(); warning != "" && !slices.Contains(rep.Warnings, warning) {
			rep.Warnings = append(rep.Warnings, warning)
		}
	}
	for _, p := range missing {
		rep.Skipped = append(rep.Skipped, PlatformID(p))
	}
	for _, n := range []*named{r.image, r.onto} {
		if n.remark != "" {
			rep.Warnings = append(rep.Warnings, n.remark)
		}
	}
	for _, target := range r.o.targets {
		rep.Moves = append(rep.Moves, r.move(target, plans))
	}
	return rep
}

// releaseWarning says when the new base is of another release than the old one:
// what was linked against the one may not run on the other.
func (b *rebased) releaseWarning() string {
	if b.old == nil {
		return ""
	}
	from, to, ok := image.ReleaseChange(b.old.config, b.onto.config)
	if !ok {
		return ""
	}
	return fmt.Sprintf("the old base is %s, the new one %s: programs that were linked against the one may not run on the other", from, to)
}

// move counts what has to go to a target: layers that the target's registry has
// in another repository are mounted from there and do not move.
func (r *rebasing) move(target string, plans []*rebased) Move {
	m := Move{To: target}
	host := hostOf(target)
	seen := map[digest.Digest]bool{}
	for _, b := range plans {
		for _, side := range []struct {
			origin origin
			layers []Layer
		}{{b.image.origin, b.report.Kept}, {b.onto.origin, b.report.By}} {
			if host != "" && hostOf(side.origin.ref()) == host {
				continue
			}
			for _, l := range side.layers {
				if !seen[l.DiffID] {
					m.Bytes += l.Size
				}
				seen[l.DiffID] = true
			}
		}
	}
	return m
}

func hostOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

// referrers warns of what is attached to the image and stays behind. It is asked
// for while the rebase is planned.
func (r *rebasing) referrers(ctx context.Context, ps []ocispecs.Platform) (warnings []string) {
	d, ref := r.image.description, r.image.origin.ref()
	if d == nil || r.Images == nil {
		return nil
	}
	digests := []digest.Digest{d.Digest}
	for _, p := range ps {
		if m, ok := d.For(p); ok && !slices.Contains(digests, m.Digest) {
			digests = append(digests, m.Digest)
		}
	}
	found := make([]string, len(digests))
	var eg errgroup.Group
	for i, dgst := range digests {
		eg.Go(func() error {
			// What can not be asked is not known: a warning about the warning
			// helps nobody.
			if names, err := r.Images.Referrers(ctx, ref, dgst); err == nil && len(names) > 0 {
				found[i] = fmt.Sprintf("not carried along, because made for %s@%s: %s", ref, dgst, strings.Join(names, ", "))
			}
			return nil
		})
	}
	_ = eg.Wait() // None returns an error.
	return slices.DeleteFunc(found, func(s string) bool { return s == "" })
}

// answer answers a request for information: nothing is built.
func (r *rebasing) answer(report RebaseReport) (*gateway.Result, error) {
	res := gateway.NewResult()
	dt, err := report.encode()
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, dt, "", "  "); err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	res.AddMeta("result.json", indented.Bytes())
	res.AddMeta("result.txt", []byte(strings.Join(report.Lines(), "\n")+"\n"))
	if r.o.request == CheckRequest && !report.UpToDate() {
		res.AddMeta("result.statuscode", []byte(strconv.Itoa(StatusOutdated)))
	}
	return res, nil
}

// StatusOutdated is the exit code of a check that finds that the image does not
// stand on its base's current state. An error's is another.
const StatusOutdated = 2
