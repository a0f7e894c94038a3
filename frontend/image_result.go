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
	refs, err := j.solveStates(ctx, j.c, states, j.attributionOpts(made), "")
	if err != nil {
		return nil, err
	}
	res := gateway.NewResult()
	var ps exptypes.Platforms
	for i, m := range made {
		setRef(res, states[i].id, refs[i])
		ps.Platforms = append(ps.Platforms, exptypes.Platform{ID: PlatformID(m.platform), Platform: m.config.Platform})
		if err := j.addMetadata(res, m, states[i].id); err != nil {
			return nil, err
		}
	}
	if err := addPlatforms(res, ps); err != nil {
		return nil, err
	}
	if j.multi(made) || makesIndex(j.opts, j.Stored) {
		for key, value := range annotations {
			if j.ReservedIndex == nil || !j.ReservedIndex(key) {
				res.AddMeta(exptypes.AnnotationIndexKey(key), []byte(value))
			}
		}
	}
	return res, j.addSBOM(ctx, res, made, states)
}

// addPlatforms says which platforms a result has.
func addPlatforms(res *gateway.Result, ps exptypes.Platforms) error {
	dt, err := json.Marshal(ps)
	if err != nil {
		return fmt.Errorf("writing the platforms: %w", err)
	}
	res.AddMeta(exptypes.ExporterPlatformsKey, dt)
	return nil
}

// multi says whether the result is an index.
func (j *imageJob) multi(made []madeImage) bool { return len(made) > 1 || j.o.multi }

// attributionOpts are the request as provenance shows it: with the platforms
// that were done and the images by their digests.
func (j *imageJob) attributionOpts(made []madeImage) map[string]string {
	var ids []string
	for _, m := range made {
		ids = append(ids, PlatformID(m.platform))
	}
	opts := attributionOptsOf(j.opts, ids, j.multi(made))
	for _, m := range made {
		for name, img := range m.from {
			if img == nil || img.origin.scheme != imageScheme {
				continue
			}
			if pinned, err := pin(img.origin.value, img.digest); err == nil {
				opts["context:"+name] = imageScheme + "://" + pinned
			}
		}
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
	suffix := suffixOf(id)
	var platform *ocispecs.Platform
	if id != "" {
		platform = &m.platform
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
		if !strings.EqualFold(attrs["disabled"], "true") && (stored || !inlineOnly(attrs)) {
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
