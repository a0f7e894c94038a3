package frontend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// result composes the states and hands them to the builder.
func (r *rebasing) result(ctx context.Context, plans []*rebased, report RebaseReport) (*gateway.Result, error) {
	made := r.made(plans)
	for i, b := range plans {
		st, err := r.state(ctx, b)
		if err != nil {
			return nil, err
		}
		def, err := st.Marshal(ctx, llb.Platform(b.platform))
		if err != nil {
			return nil, fmt.Errorf("composing the rebased image: %w", err)
		}
		made[i].def = def.ToPB()
		if made[i].annotations, err = r.annotations(b); err != nil {
			return nil, err
		}
	}
	annotations, err := r.indexAnnotations(plans)
	if err != nil {
		return nil, err
	}
	res, err := r.imageResult(ctx, made, annotations)
	if err != nil {
		return nil, err
	}
	dt, err := report.encode()
	if err != nil {
		return nil, err
	}
	res.AddMeta(RebaseReportKey, dt)
	return res, nil
}

func (r *rebasing) state(ctx context.Context, b *rebased) (llb.State, error) {
	if r.lacks != "" {
		return r.byFiles(ctx, b, r.lacks)
	}
	onto := b.onto.state(layers.Whole, "[onto] "+b.onto.origin.String())
	if b.image.built != nil {
		return layers.On(onto, b.image.built.above(b.oldLayers)), nil
	}
	return layers.Rebase{
		Image:         b.image.state,
		Layers:        len(b.image.config.RootFS.DiffIDs),
		OldBaseLayers: b.oldLayers,
		Onto:          onto,
	}.State(), nil
}

// made are the images without their states and annotations.
func (r *rebasing) made(plans []*rebased) []madeImage {
	made := make([]madeImage, len(plans))
	for i, b := range plans {
		made[i] = madeImage{
			platform: b.platform, config: b.result.Config, base: b.onto.raw,
			// The old base is no part of the state, but provenance is to name it.
			from: map[string]*imageOn{ImageContext: b.image, FromContext: b.old, OntoContext: b.onto},
		}
	}
	return made
}

// annotations are those of the image's manifest, with the new base in place of
// the old one. Facts that a linked build left there are about the old base.
func (r *rebasing) annotations(b *rebased) (map[string]string, error) {
	m, _ := r.image.description.For(b.platform)
	existing := maps.Clone(m.Annotations)
	delete(existing, FactsAnnotation)
	onto := b.onto.asBase()
	return image.RebaseAnnotations(existing, onto.Name, onto.Digest)
}

// indexAnnotations does the same with the annotations of the index.
func (r *rebasing) indexAnnotations(plans []*rebased) (map[string]string, error) {
	var existing map[string]string
	if d := r.image.description; d != nil {
		existing = d.Annotations
	}
	onto := plans[0].onto.asBase()
	return image.RebaseAnnotations(existing, onto.Name, onto.Digest)
}

// report sums up what was decided.
func (r *rebasing) report(plans []*rebased, missing []ocispecs.Platform, warnings []string) RebaseReport {
	rep := RebaseReport{
		Image:    plans[0].image.named(),
		Onto:     plans[0].onto.named(),
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
func (r *imageJob) referrers(ctx context.Context, ps []ocispecs.Platform) (warnings []string) {
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
	res, err := answer(report)
	if err == nil && r.o.request == CheckRequest && !report.UpToDate() {
		res.AddMeta("result.statuscode", []byte(strconv.Itoa(StatusOutdated)))
	}
	return res, err
}

// StatusOutdated is the exit code of a check that finds that the image does not
// stand on its base's current state. An error's is another.
const StatusOutdated = 2
