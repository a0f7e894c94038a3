package commands

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/buildx/builder"
	"github.com/docker/buildx/util/buildflags"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/registry"
	"github.com/docker-relink/relink/internal/version"
)

// straight is a rebase from a registry to the same one. All layers are there
// already: no builder is needed to write down that they belong together, and the
// registry is asked by nobody but us.
type straight struct {
	known       *registry.Images
	request     map[string]string // the options of the frontend
	targets     []reference.Named
	annotations map[exptypes.AnnotationKey]string
	attest      bool
	details     bool // of the request, in the provenance
	started     time.Time
}

// straightFlags are the flags that a rebase without a builder can do justice to.
// All others are a builder's, and so is the rebase then.
var straightFlags = []string{
	"annotation", "candidate", "force-layers", "from", "label", "onto", "platform", "progress", "provenance", "push",
	"quiet", "skip-missing-platforms", "tag",
}

// straightless are the variables that ask for what only a builder can do.
var straightless = []string{"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "BUILDX_NO_DEFAULT_OCI_ARTIFACT"}

// newStraight gives nil where the rebase is a builder's: when it is named, when
// something is asked for that only it can do, or when it is an Engine, which may
// have another image under the name.
func newStraight(known *registry.Images, o rebaseOptions, flags *pflag.FlagSet, b *builder.Builder) *straight {
	push, _ := flags.GetBool("push")
	if o.request() != "" || !push || b == nil || b.Driver == "" || b.Driver == "docker" {
		return nil
	}
	others := false
	flags.Visit(func(f *pflag.Flag) { others = others || !slices.Contains(straightFlags, f.Name) })
	if others || progressMode(flags) == "rawjson" || slices.ContainsFunc(straightless, func(name string) bool { return os.Getenv(name) != "" }) {
		return nil
	}
	s := &straight{known: known, started: time.Now()}
	for _, read := range []func(rebaseOptions, *pflag.FlagSet) bool{s.readRequest, s.readTargets, s.readAnnotations, s.readProvenance} {
		if !read(o, flags) {
			return nil
		}
	}
	return s
}

// readRequest writes the request as the frontend would have it.
func (s *straight) readRequest(o rebaseOptions, flags *pflag.FlagSet) bool {
	s.request = map[string]string{}
	for name, ref := range map[string]string{frontend.ImageContext: o.image, frontend.OntoContext: o.onto, frontend.FromContext: o.from} {
		if ref == "" {
			continue
		}
		if !strings.HasPrefix(ref, imageScheme) {
			return false
		}
		s.request["context:"+name] = ref
	}
	for _, arg := range o.arguments() {
		name, value, _ := strings.Cut(arg, "=")
		s.request["build-arg:"+name] = value
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		s.request["build-arg:SOURCE_DATE_EPOCH"] = epoch
	}
	labels, err := flags.GetStringArray("label")
	for _, label := range labels {
		name, value, _ := strings.Cut(label, "=")
		s.request["label:"+name] = value
	}
	platforms, err2 := flags.GetStringArray("platform")
	if len(platforms) > 0 {
		s.request["platform"] = strings.Join(platforms, ",")
	}
	return err == nil && err2 == nil && !strings.Contains(s.request["platform"], "local")
}

// readTargets wants them all to be in the registry that the layers are in.
func (s *straight) readTargets(o rebaseOptions, flags *pflag.FlagSet) bool {
	tags, err := flags.GetStringArray("tag")
	if err != nil {
		return false
	}
	for _, tag := range tags {
		named, err := reference.ParseNormalizedNamed(tag)
		if err != nil {
			return false
		}
		named = reference.TagNameOnly(named)
		if _, ok := named.(reference.NamedTagged); !ok {
			return false
		}
		s.targets = append(s.targets, named)
	}
	for _, target := range s.targets {
		for _, ref := range []string{o.image, o.onto} {
			named, err := reference.ParseNormalizedNamed(strings.TrimPrefix(ref, imageScheme))
			if err != nil || reference.Domain(named) != reference.Domain(target) {
				return false
			}
		}
	}
	return len(s.targets) > 0
}

func (s *straight) readAnnotations(_ rebaseOptions, flags *pflag.FlagSet) bool {
	list, err := flags.GetStringArray("annotation")
	if err != nil {
		return false
	}
	s.annotations, err = buildflags.ParseAnnotations(list)
	return err == nil
}

// readProvenance knows the usual kinds of it.
func (s *straight) readProvenance(_ rebaseOptions, flags *pflag.FlagSet) bool {
	kind, err := flags.GetString("provenance")
	if err != nil {
		return false
	}
	switch kind {
	case "":
		none, err := strconv.ParseBool(cmp.Or(os.Getenv("BUILDX_NO_DEFAULT_ATTESTATIONS"), "false"))
		s.attest = !none
		return err == nil
	case "false":
		return true
	case "true", "min", "mode=min":
		s.attest = true
		return true
	case "max", "mode=max":
		s.attest, s.details = true, true
		return true
	default:
		return false
	}
}

// run rebases and pushes. Nothing is written before all is decided, and no tag
// before all that it names is there.
func (s *straight) run(ctx context.Context) (*frontend.RebaseReport, digest.Digest, error) {
	ctx = s.withAccess(ctx)
	s.known.Connect(ctx, s.targets[0], manyWrites)
	plan, err := (&frontend.Frontend{Images: s.known}).PlanRebase(ctx, &withoutBuilder{request: s.request, known: s.known})
	if err != nil {
		return nil, "", err
	}
	assembled, err := s.assemble(plan)
	if err != nil {
		return nil, "", err
	}
	if err := s.push(ctx, plan, assembled); err != nil {
		return nil, "", err
	}
	report := plan.Report()
	return &report, digest.FromBytes(assembled.Root.Content), nil
}

// withAccess asks for all that will be needed at once.
func (s *straight) withAccess(ctx context.Context) context.Context {
	var read []reference.Named
	for _, name := range []string{frontend.ImageContext, frontend.OntoContext} {
		if named, err := reference.ParseNormalizedNamed(strings.TrimPrefix(s.request["context:"+name], imageScheme)); err == nil {
			read = append(read, reference.TrimNamed(named))
		}
	}
	return registry.WithAccess(ctx, read, s.targets)
}

// manyWrites is how many writes at the same time there are connections for.
const manyWrites = 8

// assemble writes the manifests of what was planned.
func (s *straight) assemble(plan *frontend.RebasePlan) (*image.Assembled, error) {
	var parts []image.Part
	for _, p := range plan.Images {
		part := image.Part{
			Platform: p.Platform, Config: p.Config, Annotations: p.Annotations,
			DescriptorAnnotations: map[string]string{},
		}
		for _, l := range p.Layers {
			part.Layers = append(part.Layers, l.Descriptor)
		}
		if s.attest {
			part.Attest = s.provenance(plan, p).Attest
		}
		s.annotate(&part)
		parts = append(parts, part)
	}
	for key, value := range s.annotations {
		if key.Type == exptypes.AnnotationIndex {
			plan.IndexAnnotations[key.Key] = value
		}
	}
	a, err := image.Assemble(parts, plan.Index, plan.IndexAnnotations)
	if err != nil {
		return nil, err
	}
	for key := range s.annotations {
		if key.Platform != nil && !slices.ContainsFunc(parts, func(p image.Part) bool { return frontend.PlatformID(p.Platform) == frontend.PlatformID(*key.Platform) }) {
			return nil, errdefs.Invalidf("", "there is no image for %s to annotate with %s", frontend.PlatformID(*key.Platform), key.Key)
		}
		if !a.Index && (key.Type == exptypes.AnnotationIndex || key.Type == exptypes.AnnotationIndexDescriptor) {
			return nil, errdefs.Invalidf("", "there is no index to annotate with %s", key.Key)
		}
	}
	return a, nil
}

// annotate adds what the user wants to have there.
func (s *straight) annotate(part *image.Part) {
	for key, value := range s.annotations {
		if key.Platform != nil && frontend.PlatformID(*key.Platform) != frontend.PlatformID(part.Platform) {
			continue
		}
		switch key.Type {
		case "", exptypes.AnnotationManifest:
			part.Annotations[key.Key] = value
		case exptypes.AnnotationManifestDescriptor:
			part.DescriptorAnnotations[key.Key] = value
		}
	}
}

func (s *straight) provenance(plan *frontend.RebasePlan, p frontend.PlannedImage) image.Run {
	run := image.Run{Platform: p.Platform, Args: map[string]string{}, Version: version.Version, Started: s.started, Finished: time.Now()}
	for _, target := range s.targets {
		run.Tags = append(run.Tags, target.String())
	}
	for _, m := range p.Materials {
		run.Materials = append(run.Materials, image.Base{Name: m.Name, Digest: m.Digest})
	}
	for key, value := range plan.Parameters {
		if s.details || !strings.HasPrefix(key, "build-arg:") && !strings.HasPrefix(key, "label:") {
			run.Args[key] = value
		}
	}
	return run
}

// push writes to each repository what it lacks, and the tags in the end.
func (s *straight) push(ctx context.Context, plan *frontend.RebasePlan, a *image.Assembled) error {
	var repos []reference.Named
	for _, target := range s.targets {
		repo := reference.TrimNamed(target)
		if !slices.ContainsFunc(repos, func(r reference.Named) bool { return r.Name() == repo.Name() }) {
			repos = append(repos, repo)
		}
	}
	// What is read for the report is read beside the writing.
	readReport := sync.OnceFunc(func() { go plan.Report() })
	for _, writes := range []func(context.Context, reference.Named) []func() error{
		func(ctx context.Context, repo reference.Named) []func() error { return s.blobs(ctx, repo, plan, a) },
		func(ctx context.Context, repo reference.Named) []func() error { return s.manifests(ctx, repo, a) },
		func(ctx context.Context, repo reference.Named) []func() error { return s.tags(ctx, repo, a) },
	} {
		eg, egctx := errgroup.WithContext(ctx)
		for _, repo := range repos {
			for _, write := range writes(egctx, repo) {
				eg.Go(write)
			}
		}
		// Not before: what is written has the connections that there are.
		readReport()
		if err := eg.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// blobs are the new blobs, first because they take longest, and the layers of
// other repositories.
func (s *straight) blobs(ctx context.Context, repo reference.Named, plan *frontend.RebasePlan, a *image.Assembled) []func() error {
	var writes []func() error
	seen := map[digest.Digest]bool{}
	for _, blob := range a.Blobs {
		if d := digest.FromBytes(blob); !seen[d] {
			seen[d] = true
			writes = append(writes, func() error { return s.known.PushBlob(ctx, repo, blob) })
		}
	}
	for _, p := range plan.Images {
		for _, l := range p.Layers {
			if l.In.Name() == repo.Name() || seen[l.Digest] {
				continue
			}
			seen[l.Digest] = true
			writes = append(writes, func() error { return s.known.Mount(ctx, repo, l.In, l.Digest) })
		}
	}
	return writes
}

func (s *straight) manifests(ctx context.Context, repo reference.Named, a *image.Assembled) []func() error {
	var writes []func() error
	for _, m := range a.Manifests {
		writes = append(writes, func() error { return s.known.PushManifest(ctx, repo, "", m.MediaType, m.Content) })
	}
	return writes
}

func (s *straight) tags(ctx context.Context, repo reference.Named, a *image.Assembled) []func() error {
	var writes []func() error
	for _, target := range s.targets {
		if tagged, ok := target.(reference.Tagged); ok && target.Name() == repo.Name() {
			writes = append(writes, func() error { return s.known.PushManifest(ctx, repo, tagged.Tag(), a.Root.MediaType, a.Root.Content) })
		}
	}
	return writes
}

// withoutBuilder is what a plan needs of a builder: the request, and the configs
// of images, which come from the registry itself.
type withoutBuilder struct {
	gateway.Client // nil: nothing else is asked of it
	request        map[string]string
	known          *registry.Images
}

func (w *withoutBuilder) BuildOpts() gateway.BuildOpts { return gateway.BuildOpts{Opts: w.request} }

func (w *withoutBuilder) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	var p *ocispecs.Platform
	if opt.ImageOpt != nil {
		p = opt.ImageOpt.Platform
	}
	dgst, dt, err := w.known.Config(ctx, ref, p)
	if err != nil {
		return "", "", nil, fmt.Errorf("reading the config: %w", err)
	}
	return ref, dgst, dt, nil
}
