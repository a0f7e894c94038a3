package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	commonexptypes "github.com/moby/buildkit/exporter/exptypes"
	"github.com/moby/buildkit/frontend/attestations"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/image"
)

// madeImage is the image that a job makes for one platform.
type madeImage struct {
	platform ocispecs.Platform
	def      *pb.Definition
	config   *image.Config
	// base is the config of the base, by which the exporter knows the base's
	// layers.
	base        []byte
	annotations map[string]string
	// from are the images that it is made from, by the build contexts that name
	// them; nil are left out.
	from map[string]*imageOn
}

// imageResult hands the images to the builder, with what the exporter has to know
// of them. The annotations are the index's, should there be one.
func (j *imageJob) imageResult(ctx context.Context, made []madeImage, annotations map[string]string) (*gateway.Result, error) {
	states := make([]attributed, len(made))
	for i, m := range made {
		states[i].def = m.def
		if j.multi(made) {
			states[i].id = PlatformID(m.platform)
		}
	}
	refs, err := j.solve(ctx, made, states)
	if err != nil {
		return nil, err
	}
	res := gateway.NewResult()
	var ps exptypes.Platforms
	for i, m := range made {
		if id := states[i].id; id == "" {
			res.SetRef(refs[i])
		} else {
			res.AddRef(id, refs[i])
		}
		ps.Platforms = append(ps.Platforms, exptypes.Platform{ID: PlatformID(m.platform), Platform: m.config.Platform})
		if err := j.addMetadata(res, m, states[i].id); err != nil {
			return nil, err
		}
	}
	dt, err := json.Marshal(ps)
	if err != nil {
		return nil, fmt.Errorf("writing the platforms: %w", err)
	}
	res.AddMeta(exptypes.ExporterPlatformsKey, dt)
	if j.multi(made) || makesIndex(j.opts, j.Stored) {
		for key, value := range annotations {
			if j.ReservedIndex == nil || !j.ReservedIndex(key) {
				res.AddMeta(exptypes.AnnotationIndexKey(key), []byte(value))
			}
		}
	}
	return res, j.addSBOM(ctx, res, made, states)
}

// multi says whether the result is an index.
func (j *imageJob) multi(made []madeImage) bool { return len(made) > 1 || j.o.multi }

func (j *imageJob) solve(ctx context.Context, made []madeImage, states []attributed) ([]gateway.Reference, error) {
	if wantsProvenance(j.opts) {
		return j.attribute(ctx, j.c, j.attributionOpts(made), "", states)
	}
	refs := make([]gateway.Reference, len(states))
	for i, st := range states {
		ref, err := solveRef(ctx, j.c, st.def)
		if err != nil {
			return nil, err
		}
		refs[i] = ref
	}
	return refs, nil
}

// attributionOpts are the request as provenance shows it: with the platforms
// that were done and the images by their digests.
func (j *imageJob) attributionOpts(made []madeImage) map[string]string {
	opts := attributionOpts(j.opts)
	delete(opts, "target")
	var ids []string
	for _, m := range made {
		ids = append(ids, PlatformID(m.platform))
		for name, img := range m.from {
			if img == nil || img.origin.scheme != imageScheme {
				continue
			}
			if pinned, err := pin(img.origin.value, img.digest); err == nil {
				opts["context:"+name] = imageScheme + "://" + pinned
			}
		}
	}
	opts["platform"] = strings.Join(ids, ",")
	if j.multi(made) {
		opts["multi-platform"] = "true"
	}
	return opts
}

// addMetadata tells the exporter the config, the base's config and the annotations
// of a platform's image.
func (j *imageJob) addMetadata(res *gateway.Result, m madeImage, id string) error {
	dt, err := m.config.Marshal()
	if err != nil {
		return err
	}
	suffix := ""
	var platform *ocispecs.Platform
	if id != "" {
		suffix, platform = "/"+id, &m.platform
	}
	res.AddMeta(exptypes.ExporterImageConfigKey+suffix, dt)
	res.AddMeta(exptypes.ExporterImageBaseConfigKey+suffix, m.base)
	if j.o.epoch {
		res.AddMeta(commonexptypes.ExporterEpochKey+suffix, []byte(strconv.FormatInt(j.o.created.Unix(), 10)))
	}
	for key, value := range m.annotations {
		if j.Reserved == nil || !j.Reserved(key) {
			res.AddMeta(exptypes.AnnotationManifestKey(platform, key), []byte(value))
		}
	}
	return nil
}

// makesIndex says whether there will be attestations, which BuildKit keeps in an
// index beside the image.
func makesIndex(opts map[string]string, stored bool) bool {
	requested, err := attestations.Parse(opts)
	if err != nil {
		return false // It comes again where they are made.
	}
	for _, attrs := range requested {
		if !strings.EqualFold(attrs["disabled"], "true") && (stored || !strings.EqualFold(attrs["inline-only"], "true")) {
			return true
		}
	}
	return false
}

// report is what can be told of a job, to a program and to a person.
type report interface {
	encode() ([]byte, error)
	Lines() []string
}

// answer answers a request for information: nothing is built.
func answer(r report) (*gateway.Result, error) {
	res := gateway.NewResult()
	dt, err := r.encode()
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, dt, "", "  "); err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	res.AddMeta("result.json", indented.Bytes())
	res.AddMeta("result.txt", []byte(strings.Join(r.Lines(), "\n")+"\n"))
	return res, nil
}
