package frontend

import (
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
)

// The names of the build contexts of a rebase: the image, the new base, and the
// old base where the user names it.
const (
	ImageContext = "image"
	OntoContext  = "onto"
	FromContext  = "from"
)

// The build arguments of a rebase.
const (
	// CandidatesArg names images, parted by commas, that the old base may be.
	CandidatesArg = "RELINK_CANDIDATES"
	// ForceLayersArg is the number of layers that are taken for the old base's,
	// whatever the old base has.
	ForceLayersArg = "RELINK_FORCE_LAYERS"
	// SkipMissingArg, when it is a true value, leaves out the platforms that the
	// new base lacks.
	SkipMissingArg = "RELINK_SKIP_MISSING_PLATFORMS"
	// TargetsArg names where the result is meant to go, parted by commas, for a
	// plan that says how much will move.
	TargetsArg = "RELINK_TARGETS"
)

// The requests for information about a rebase that is not done.
const (
	// PlanRequest asks what a rebase would do.
	PlanRequest = "relink.plan"
	// CheckRequest asks whether the image stands on its base's current state.
	CheckRequest = "relink.check"

	requestPrefix = "frontend."
)

// rebaseOptions is what the user chose.
type rebaseOptions struct {
	platforms    []ocispecs.Platform // none: all that the image has
	multi        bool                // the result is an index in any case
	candidates   []string
	targets      []string
	forceLayers  *int
	skipMissing  bool
	created      time.Time
	epoch        bool // created is SOURCE_DATE_EPOCH
	labels       map[string]string
	request      string // "" does the rebase
	resolveMode  string
	cacheImports []gateway.CacheOptionsEntry
}

func newRebaseOptions(opts map[string]string) (o rebaseOptions, err error) {
	o.resolveMode = opts["image-resolve-mode"]
	o.candidates = commaList(opts[buildArgPrefix+CandidatesArg])
	o.targets = commaList(opts[buildArgPrefix+TargetsArg])
	o.labels = map[string]string{}
	for k, v := range opts {
		if name, ok := strings.CutPrefix(k, "label:"); ok {
			o.labels[name] = v
		}
	}
	for _, read := range []func(map[string]string) error{
		o.readRequest, o.readPlatforms, o.readForceLayers, o.readCreated,
	} {
		if err := read(opts); err != nil {
			return o, err
		}
	}
	if o.skipMissing, err = flag(opts, SkipMissingArg, false); err != nil {
		return o, err
	}
	o.cacheImports, err = cacheImports(opts)
	return o, err
}

func (o *rebaseOptions) readRequest(opts map[string]string) error {
	id := opts["requestid"]
	o.request = strings.TrimPrefix(id, requestPrefix)
	switch o.request {
	case "", PlanRequest, CheckRequest:
		return nil
	default:
		return errdefs.Unsupportedf("", "there is no answer to %q", id)
	}
}

func (o *rebaseOptions) readPlatforms(opts map[string]string) (err error) {
	o.platforms, o.multi, err = readPlatforms(opts)
	return err
}

// readPlatforms reads which platforms are asked for, and whether the result is an
// index in any case.
func readPlatforms(opts map[string]string) (ps []ocispecs.Platform, index bool, err error) {
	for _, s := range commaList(opts["platform"]) {
		p, err := platforms.Parse(s)
		if err != nil {
			return nil, false, errdefs.Invalidf("", "reading --platform: %w", err)
		}
		ps = append(ps, platforms.Normalize(p))
	}
	for _, key := range []string{"multi-platform", buildArgPrefix + "BUILDKIT_MULTI_PLATFORM"} {
		if v := opts[key]; v != "" {
			if index, err = strconv.ParseBool(v); err != nil {
				return nil, false, errdefs.Invalidf("Use true or false.", "invalid value %q of %s", v, key)
			}
		}
	}
	return ps, index, nil
}

func (o *rebaseOptions) readForceLayers(opts map[string]string) error {
	v := opts[buildArgPrefix+ForceLayersArg]
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return errdefs.Invalidf("Use the number of layers that are the old base's.", "invalid number of layers %q", v)
	}
	o.forceLayers = &n
	return nil
}

// readCreated reads the time that the result carries. The clock is read here,
// once, so that all platforms carry the same.
func (o *rebaseOptions) readCreated(opts map[string]string) error {
	v := opts[buildArgPrefix+"SOURCE_DATE_EPOCH"]
	if v == "" {
		o.created = time.Now().UTC()
		return nil
	}
	sec, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return errdefs.Invalidf("Use the number of seconds since 1970.", "invalid SOURCE_DATE_EPOCH %q", v)
	}
	o.created, o.epoch = time.Unix(sec, 0).UTC(), true
	return nil
}

// commaList parts a list at its commas, and drops what is empty.
func commaList(s string) []string {
	var out []string
	for _, v := range strings.Split(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}
