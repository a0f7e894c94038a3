package frontend

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/attestations"
	"github.com/moby/buildkit/frontend/attestations/sbom"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/result"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/errdefs"
)

// addSBOM has the images scanned when the user asked for that. The scanner reads
// all files, so this pulls all layers.
func (j *imageJob) addSBOM(ctx context.Context, res *gateway.Result, made []madeImage, states []attributed) error {
	scan, err := j.scanner(ctx)
	if err != nil || scan == nil {
		return err
	}
	for i, m := range made {
		op, err := llb.NewDefinitionOp(states[i].def)
		if err != nil {
			return fmt.Errorf("scanning the image: %w", err)
		}
		id := PlatformID(m.platform)
		att, err := scan(ctx, id, llb.NewState(op), nil)
		if err != nil {
			return fmt.Errorf("scanning the image: %w", err)
		}
		solved, err := result.ConvertAttestation(&att, func(st *llb.State) (gateway.Reference, error) {
			def, err := st.Marshal(ctx)
			if err != nil {
				return nil, err
			}
			return solveRef(ctx, j.c, def.ToPB())
		})
		if err != nil {
			return fmt.Errorf("scanning the image: %w", err)
		}
		res.AddAttestation(id, *solved)
	}
	return nil
}

// scanner makes the scanner that the request names, nil when it names none.
func (j *imageJob) scanner(ctx context.Context) (sbom.Scanner, error) {
	requested, err := attestations.Parse(j.opts)
	if err != nil {
		return nil, errdefs.Invalidf("", "reading the attestations to make: %w", err)
	}
	attrs, ok := requested[attestations.KeyTypeSbom]
	if !ok || strings.EqualFold(attrs["disabled"], "true") {
		return nil, nil
	}
	named, err := reference.ParseNormalizedNamed(attrs["generator"])
	if err != nil {
		return nil, errdefs.Invalidf("", "reading the name of the SBOM scanner %q: %w", attrs["generator"], err)
	}
	params := maps.Clone(attrs)
	delete(params, "generator")
	p := j.builderPlatform()
	return sbom.CreateSBOMScanner(ctx, j.c, reference.TagNameOnly(named).String(), p, sourceresolver.Opt{
		ImageOpt: &sourceresolver.ResolveImageOpt{Platform: &p, ResolveMode: j.o.resolveMode},
	}, params)
}

// builderPlatform is the platform that programs run on.
func (j *imageJob) builderPlatform() ocispecs.Platform {
	if ws := j.c.BuildOpts().Workers; len(ws) > 0 && len(ws[0].Platforms) > 0 {
		return ws[0].Platforms[0]
	}
	return platforms.Normalize(platforms.DefaultSpec())
}
