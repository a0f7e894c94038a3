package frontend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
)

// Found says how the old base was found.
type Found string

// The ways to the old base, in the order in which they are tried.
const (
	FoundForced      Found = "--force-layers"
	FoundFrom        Found = "--from"
	FoundAnnotations Found = "annotations"
	FoundProvenance  Found = "provenance"
	FoundLabels      Found = "labels"
	FoundCandidates  Found = "--candidate"
	FoundOnto        Found = "the layers of the new base"
	FoundTags        Found = "the layers of the tags of the new base's repository"
	FoundRecorded    Found = "the layers that the provenance records"
	FoundHistory     Found = "the history, which begins as the new base's"
)

const (
	// maxTags bounds the search in a repository, and parallelTags how many of
	// its tags are read at the same time.
	maxTags      = 200
	parallelTags = 16
)

// errNotFound says that a way did not lead to a base; the remarks say why.
var errNotFound = errors.New("no base found")

// baseWay is a way to an image's base.
type baseWay struct {
	found Found
	find  func(context.Context, *standing) error
}

// findBase decides which of the image's layers are its base's. A way that does
// not lead there leaves a remark, and the next is tried, then those that only
// this request knows, at last those to a base that is gone; only what the user
// himself said is final.
func (r *imageJob) findBase(ctx context.Context, b *standing, more ...baseWay) error {
	from, named, err := originOf(r.opts, r.base.context, &b.platform)
	if err != nil {
		return err
	}
	if r.o.forceLayers != nil {
		return r.forceBase(ctx, b, from, named)
	}
	if named {
		return r.baseFrom(ctx, b, from)
	}
	if b.image.built != nil {
		return r.baseOfBuild(b)
	}
	ways := []baseWay{
		{FoundAnnotations, r.baseByAnnotations},
		{FoundProvenance, r.baseByProvenance},
		{FoundCandidates, r.baseByCandidates},
	}
	ways = append(append(ways, more...), baseWay{FoundRecorded, r.recordedLayers})
	for _, way := range ways {
		err := way.find(ctx, b)
		if err == nil {
			b.found = way.found
			return nil
		}
		if !errors.Is(err, errNotFound) {
			return err
		}
	}
	cause := ""
	for _, tried := range b.tried {
		cause += "\n  " + tried
	}
	return errdefs.Invalidf(fmt.Sprintf("Name it with %s, or images that it may be with --candidate. If it is gone, %s", r.base.flag, r.base.number),
		"the base of %s is not known%s", b.image.origin, cause)
}

// baseOfBuild takes the image that another build's result stands on.
func (r *imageJob) baseOfBuild(b *standing) error {
	bottom := b.image.built.bottom
	if bottom == nil {
		return errdefs.Invalidf(fmt.Sprintf("Name it as the build context %q. %s", r.base.context, r.base.number),
			"the base of %s is not known: it is built upon no image", b.image.origin)
	}
	b.take(bottom)
	b.found = FoundBuild
	return nil
}

// forceBase takes the user's word for the number of layers. An old base that he
// names as well serves the config's merge, but its layers are not compared.
func (r *imageJob) forceBase(ctx context.Context, b *standing, from origin, named bool) (err error) {
	n, has := *r.o.forceLayers, len(b.image.config.RootFS.DiffIDs)
	if n > has {
		return errdefs.Invalidf("", "%d layers of an old base were forced, but %s has only %d", n, b.image.origin, has)
	}
	if err := b.image.canCut(n); err != nil {
		return err
	}
	b.oldLayers, b.found = n, FoundForced
	if named {
		b.old, err = r.resolver.resolve(ctx, from, &b.platform)
	}
	return err
}

// baseFrom takes the base that the user names, if the image stands on it.
func (r *imageJob) baseFrom(ctx context.Context, b *standing, from origin) error {
	old, err := r.resolver.resolve(ctx, from, &b.platform)
	if err != nil {
		if errdefs.Is(err, errdefs.Invalid) {
			return errdefs.Invalidf("If it is gone, "+r.base.number, "%w", err)
		}
		return err
	}
	if err := b.image.standsOn(old); err != nil {
		return r.notItsBase(fmt.Errorf("comparing the layers of %s with those of %s: %w", b.image.origin, from, err))
	}
	b.take(old)
	b.found = r.base.found
	return nil
}

// notItsBase marks the error about a base that the user named and the image does
// not stand on.
func (r *imageJob) notItsBase(err error) error {
	return errdefs.Invalidf(fmt.Sprintf("Name the base that it was built on with %s. %s", r.base.flag, r.base.number), "%w", err)
}

func (b *standing) take(old *imageOn) {
	b.old, b.oldLayers = old, len(old.config.RootFS.DiffIDs)
}

// remarkf notes what was found on the way to the base and not used.
func (b *standing) remarkf(format string, args ...any) {
	remark := fmt.Sprintf(format, args...)
	b.tried = append(b.tried, remark)
	b.remarks = append(b.remarks, remark)
}

// baseByAnnotations takes the base that the image's annotations name. The digest
// tells which it was; where that is gone, what has the name now may have the
// same layers.
func (r *imageJob) baseByAnnotations(ctx context.Context, b *standing) error {
	d := r.image.description
	m, ok := d.For(b.platform)
	if !ok {
		return errNotFound
	}
	base, ok, err := image.BaseFromAnnotations(m.Annotations, d.Annotations)
	if err != nil {
		b.remarkf("the image's annotations: %v", err)
		return errNotFound
	}
	if ok && base.Name == "" {
		base.Name = r.likely // A digest is not another image's.
	}
	if !ok || base.Name == "" {
		b.tried = append(b.tried, "the image's annotations name no base")
		return errNotFound
	}
	b.claim(base.Name)
	return r.baseAmong(ctx, b, "the image's annotations name", exactThenName(base))
}

// exactThenName are the references of a base: with its digest, and by its name
// alone.
func exactThenName(base image.Base) []string {
	if base.Digest == "" {
		return []string{base.Name}
	}
	return []string{base.Reference(), base.Name}
}

// baseAmong takes the first of the references that the image stands on.
func (r *imageJob) baseAmong(ctx context.Context, b *standing, says string, refs []string) error {
	for _, ref := range refs {
		old, err := r.resolver.resolve(ctx, registrySource(r.base.context, ref), &b.platform)
		if err == nil {
			err = image.CheckPrefix(b.image.config.RootFS.DiffIDs, old.config.RootFS.DiffIDs)
		}
		if err == nil {
			b.take(old)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.remarkf("%s %s: %v", says, ref, err)
	}
	return errNotFound
}

// baseByProvenance lets the layers choose among the images that the image's
// provenance names: it does not say which of them the image stands on.
func (r *imageJob) baseByProvenance(ctx context.Context, b *standing) error {
	m, ok := r.image.description.For(b.platform)
	if !ok || r.Images == nil || len(m.Attestations) == 0 {
		b.tried = append(b.tried, "the image has no provenance that could be read")
		return errNotFound
	}
	predicates, err := r.Images.Provenance(ctx, r.image.origin.ref(), m)
	if err != nil {
		b.remarkf("the image's provenance: %v", err)
		return errNotFound
	}
	var refs []string
	for _, predicate := range predicates {
		bases, err := image.BaseFromProvenance(predicate)
		if err == nil {
			err = b.record(predicate, m)
		}
		if err != nil {
			b.remarkf("the image's provenance: %v", err)
			continue
		}
		for _, base := range bases {
			if base.Name != "" {
				b.claim(base.Name)
				refs = append(refs, base.Reference())
			}
		}
	}
	return r.baseByLayers(ctx, b, "the image's provenance names", refs)
}

// baseByCandidates lets the layers choose among the images that the user names.
func (r *imageJob) baseByCandidates(ctx context.Context, b *standing) error {
	var refs []string
	for _, c := range r.o.candidates {
		named, err := reference.ParseNormalizedNamed(c)
		if err != nil {
			return errdefs.Invalidf("", "reading the candidate %q: %w", c, err)
		}
		refs = append(refs, reference.TagNameOnly(named).String())
	}
	return r.baseByLayers(ctx, b, "the candidates are", refs)
}

// baseByOnto sees whether the image stands on the new base already.
func (r *rebasing) baseByOnto(b *rebased) error {
	diffIDs := b.onto.config.RootFS.DiffIDs
	if len(diffIDs) == 0 || !b.mayHave(len(diffIDs)) || image.CheckPrefix(b.image.config.RootFS.DiffIDs, diffIDs) != nil {
		return errNotFound
	}
	b.take(b.onto)
	return nil
}

// baseByTags lets the layers choose among the tags of the new base's repository:
// the old base was mostly one of them.
func (r *rebasing) baseByTags(ctx context.Context, b *standing) error {
	ref := r.onto.origin.ref()
	if ref == "" || r.Images == nil {
		return errNotFound
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return err
	}
	tags, err := r.Images.Tags(ctx, named.Name())
	if err != nil {
		b.remarkf("the tags of %s: %v", named.Name(), err)
		return errNotFound
	}
	if len(tags) > maxTags {
		b.remarkf("%s has %d tags, of which the last %d were looked at", named.Name(), len(tags), maxTags)
		tags = tags[len(tags)-maxTags:]
	}
	var refs []string
	for _, tag := range tags {
		refs = append(refs, named.Name()+":"+tag)
	}
	return r.baseByLayers(ctx, b, "the tags of "+named.Name()+" are", refs)
}

// baseByLayers takes, among the references, the base with the most layers that
// the image stands on. Those that can not be read are no bases.
func (r *imageJob) baseByLayers(ctx context.Context, b *standing, says string, refs []string) error {
	if len(refs) == 0 {
		return errNotFound
	}
	bases := make([]*imageOn, len(refs))
	diffIDs := make([][]digest.Digest, len(refs))
	eg, egctx := errgroup.WithContext(ctx)
	eg.SetLimit(parallelTags)
	for i, ref := range refs {
		eg.Go(func() error {
			base, err := r.resolver.resolve(egctx, registrySource(r.base.context, ref), &b.platform)
			if err == nil && b.mayHave(len(base.config.RootFS.DiffIDs)) {
				bases[i], diffIDs[i] = base, base.config.RootFS.DiffIDs
			}
			return egctx.Err()
		})
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	i, _, ok := image.MatchPrefix(b.image.config.RootFS.DiffIDs, diffIDs)
	if !ok {
		b.remarkf("%s %s: the image stands on none of them", says, shorten(refs))
		return errNotFound
	}
	b.take(bases[i])
	return nil
}

func shorten(refs []string) string {
	const most = 5
	if len(refs) <= most {
		return strings.Join(refs, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(refs[:most], ", "), len(refs)-most)
}

// ownBase is the base that the image was built on, as its name stands for it now.
func (r *rebasing) ownBase(ctx context.Context) (*named, error) {
	ps, err := r.imagePlatforms(ctx)
	if err != nil {
		return nil, err
	}
	name, err := r.ownBaseName(ctx, &standing{platform: ps[0]})
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, errdefs.Invalidf("Name the base with --onto.", "nothing says what the base of %s is called", r.image.origin)
	}
	return &named{origin: registrySource(OntoContext, name)}, nil
}

func (r *rebasing) ownBaseName(ctx context.Context, b *standing) (string, error) {
	if from, ok, err := originOf(r.opts, r.base.context, &b.platform); err != nil || ok {
		return (&imageOn{origin: from}).name(), err
	}
	if d := r.image.description; d != nil {
		m, _ := d.For(b.platform)
		if base, ok, err := image.BaseFromAnnotations(m.Annotations, d.Annotations); err == nil && ok && base.Name != "" {
			return base.Name, nil
		}
	}
	var err error
	if b.image, err = r.resolver.resolve(ctx, r.image.origin, &b.platform); err != nil {
		return "", err
	}
	if b.image.built != nil && b.image.built.bottom != nil {
		return b.image.built.bottom.name(), nil
	}
	for _, find := range []func(context.Context, *standing) error{r.baseByProvenance, r.baseByCandidates} {
		switch err := find(ctx, b); {
		case err == nil:
			return b.old.name(), nil
		case !errors.Is(err, errNotFound):
			return "", err
		}
	}
	return "", nil
}
