package frontend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/layers"
)

// The schemes of the build contexts that name an image.
const (
	imageScheme  = "docker-image"
	layoutScheme = "oci-layout"
	inputScheme  = "input"
)

// origin is an image as a build context names it.
type origin struct {
	role   string // what it is in the request: the context's name
	scheme string
	value  string // without the scheme
	// session is the one that has an OCI layout, "" for the request's own.
	session string
}

func registrySource(role, ref string) origin {
	return origin{role: role, scheme: imageScheme, value: ref}
}

// originOf is the build context of a name, or the one that stands for it on the
// platform; ok is false when there is none.
func originOf(opts map[string]string, name string, p *ocispecs.Platform) (s origin, ok bool, err error) {
	v := ""
	if p != nil {
		v = opts["context:"+name+"::"+PlatformID(*p)]
	}
	if v == "" {
		v = opts["context:"+name]
	}
	if v == "" {
		return origin{}, false, nil
	}
	scheme, value, _ := strings.Cut(v, ":")
	s = origin{role: name, scheme: scheme, value: strings.TrimPrefix(value, "//")}
	switch scheme {
	case imageScheme:
		named, err := reference.ParseNormalizedNamed(s.value)
		if err != nil {
			return origin{}, false, errdefs.Invalidf("", "reading the reference %q: %w", s.value, err)
		}
		s.value = reference.TagNameOnly(named).String()
	case layoutScheme, inputScheme:
	default:
		return origin{}, false, errdefs.Invalidf("Name an image or an OCI layout.", "the build context %q is %s, which is no image", name, v)
	}
	return s, true, nil
}

// ref is the image's reference in a registry, "" when it has none.
func (s origin) ref() string {
	if s.scheme != imageScheme {
		return ""
	}
	return s.value
}

// String is the image as the user knows it.
func (s origin) String() string {
	switch s.scheme {
	case imageScheme:
		return s.value
	case inputScheme:
		name, _, _ := strings.Cut(s.value, "::") // the platform
		if node, target, ok := strings.Cut(name, "-"); ok && isNumber(node) {
			return "target:" + target // so buildx calls the result of a linked target
		}
		return s.scheme + ":" + name
	}
	return s.scheme + ":" + s.value
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// imageOn is an image for one platform, as the builder sees it.
type imageOn struct {
	origin origin
	digest digest.Digest // of the index, or of the manifest without one
	config *image.Config
	raw    []byte
	state  layers.Source
	built  *built // what it is made of where it is no image yet
}

// name is the image's reference without its digest, "" when it has none.
func (i *imageOn) name() string {
	named, err := reference.ParseNormalizedNamed(i.origin.ref())
	if err != nil {
		return ""
	}
	name := reference.TrimNamed(named).String()
	if tagged, ok := named.(reference.Tagged); ok {
		name += ":" + tagged.Tag()
	}
	return name
}

// resolver reads images by way of the builder, each once.
type resolver struct {
	c    gateway.Client
	mode string

	mu    sync.Mutex
	calls map[string]*resolving
}

type resolving struct {
	once sync.Once
	img  *imageOn
	err  error
}

func newResolver(c gateway.Client, mode string) *resolver {
	return &resolver{c: c, mode: mode, calls: map[string]*resolving{}}
}

// resolve reads an image's config for a platform, nil being the builder's own.
// No layer is read.
func (r *resolver) resolve(ctx context.Context, s origin, p *ocispecs.Platform) (*imageOn, error) {
	key := s.scheme + " " + s.session + " " + s.value
	if p != nil {
		key += " " + PlatformID(*p)
	}
	r.mu.Lock()
	call := r.calls[key]
	if call == nil {
		call = &resolving{}
		r.calls[key] = call
	}
	r.mu.Unlock()
	call.once.Do(func() { call.img, call.err = r.read(ctx, s, p) })
	return call.img, call.err
}

func (r *resolver) read(ctx context.Context, s origin, p *ocispecs.Platform) (*imageOn, error) {
	img := &imageOn{origin: s}
	var err error
	switch s.scheme {
	case imageScheme:
		err = r.readImage(ctx, img, p)
	case layoutScheme:
		err = r.readLayout(ctx, img, p)
	default:
		err = r.readInput(ctx, img, p)
	}
	if err != nil {
		return nil, readError(s, err)
	}
	if img.config, err = image.ParseConfig(img.raw); err != nil {
		hint := "Look at its config: it is damaged."
		if errors.Is(err, image.ErrNotImageConfig) {
			hint = "It is something else that a registry can keep, not an image."
		}
		return nil, errdefs.Invalidf(hint, "reading the config of %s: %w", s, err)
	}
	return img, nil
}

// readError gives an error of the builder's the words of the request. The cause goes
// in as text: of an error with a status of gRPC in its chain only the status
// arrives at the other end of the frontend.
func readError(s origin, err error) error {
	if errdefs.Is(err, errdefs.Unsupported) || errors.Is(err, context.Canceled) {
		return err
	}
	return errdefs.Invalidf("Look at its name, at the platforms that it has, and at your login (docker login).",
		"reading the %s %s: %v", roles[s.role], s, err)
}

// roles are the words for what images are in a request.
var roles = map[string]string{
	ImageContext: "image", OntoContext: "new base", FromContext: "old base",
	LowerContext: "lower side", UpperContext: "upper side",
	BaseContext: "base"}

func (r *resolver) readImage(ctx context.Context, img *imageOn, p *ocispecs.Platform) error {
	ref, dgst, dt, err := r.c.ResolveImageConfig(ctx, img.origin.value, sourceresolver.Opt{
		LogName:  fmt.Sprintf("[%s] load metadata for %s", img.origin.role, img.origin.value),
		ImageOpt: &sourceresolver.ResolveImageOpt{Platform: p, ResolveMode: r.mode},
	})
	if err != nil {
		return err
	}
	pinned, err := pin(ref, dgst)
	if err != nil {
		return err
	}
	img.digest, img.raw = dgst, dt
	img.state = func(limit int, name string) llb.State {
		opts := []llb.ImageOption{llb.WithCustomName(name), resolveMode(r.mode)}
		if p != nil {
			opts = append(opts, llb.Platform(*p))
		}
		if limit != layers.Whole {
			opts = append(opts, llb.WithLayerLimit(limit))
		}
		return llb.Image(pinned, opts...)
	}
	return nil
}

// resolveMode says whether an image that the builder has is preferred to the
// registry's.
func resolveMode(mode string) llb.ResolveMode {
	switch mode {
	case pb.AttrImageResolveModeForcePull:
		return llb.ResolveModeForcePull
	case pb.AttrImageResolveModePreferLocal:
		return llb.ResolveModePreferLocal
	default:
		return llb.ResolveModeDefault
	}
}

// pin gives a reference the digest that it was resolved to.
func pin(ref string, dgst digest.Digest) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", err
	}
	if _, ok := named.(reference.Digested); ok || dgst == "" {
		return named.String(), nil
	}
	pinned, err := reference.WithDigest(reference.TagNameOnly(named), dgst)
	if err != nil {
		return "", err
	}
	return pinned.String(), nil
}

// readLayout reads an image of an OCI layout on the client's disk. The builder
// asks the client for it by the name of a store in the session.
func (r *resolver) readLayout(ctx context.Context, img *imageOn, p *ocispecs.Platform) error {
	// The store's name is no image's, so it is not to be normalized like one.
	parsed, err := reference.Parse(img.origin.value)
	if err != nil {
		return err
	}
	named, isNamed := parsed.(reference.Named)
	digested, isDigested := parsed.(reference.Digested)
	if !isNamed || !isDigested {
		return errdefs.Invalidf("", "the OCI layout %s names no digest", img.origin.value)
	}
	store := named.Name()
	session := cmp.Or(img.origin.session, r.c.BuildOpts().SessionID)
	named, err = reference.ParseNormalizedNamed(img.origin.role + "@" + digested.Digest().String())
	if err != nil {
		return err
	}
	ref := named.String()
	_, dgst, dt, err := r.c.ResolveImageConfig(ctx, ref, sourceresolver.Opt{
		LogName: fmt.Sprintf("[%s] load metadata from the OCI layout", img.origin.role),
		OCILayoutOpt: &sourceresolver.ResolveOCILayoutOpt{
			Platform: p,
			Store:    sourceresolver.ResolveImageConfigOptStore{SessionID: session, StoreID: store},
		},
	})
	if err != nil {
		return err
	}
	img.digest, img.raw = dgst, dt
	img.state = func(limit int, name string) llb.State {
		opts := []llb.OCILayoutOption{llb.WithCustomName(name), llb.OCIStore(session, store)}
		if p != nil {
			opts = append(opts, llb.Platform(*p))
		}
		if limit != layers.Whole {
			opts = append(opts, llb.OCILayerLimit(limit))
		}
		return llb.OCILayout(ref, opts...)
	}
	return nil
}

// PlatformID is the name of a platform in results and reports.
func PlatformID(p ocispecs.Platform) string { return platforms.FormatAll(platforms.Normalize(p)) }
