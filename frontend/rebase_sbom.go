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

// addSBOM has the rebased images scanned when the user asked for that. The
// scanner reads all files, so this pulls all layers.
func (r *rebasing) addSBOM(ctx context.Context, res *gateway.Result, plans []*rebased, states []attributed) error {
	scan, err := r.scanner(ctx)
	if err != nil || scan == nil {
		return err
	}
	for i, b := range plans {
		op, err := llb.NewDefinitionOp(states[i].def)
		if err != nil {
			return fmt.Errorf("scanning the rebased image: %w", err)
		}
		id := PlatformID(b.platform)
		att, err := scan(ctx, id, llb.NewState(op), nil)
		if err != nil {
			return fmt.Errorf("scanning the rebased image: %w", err)
		}
		solved, err := result.ConvertAttestation(&att, func(st *llb.State) (gateway.Reference, error) {
			def, err := st.Marshal(ctx)
			if err != nil {
				return nil, err
			}
			return solveRef(ctx, r.c, def.ToPB())
		})
		if err != nil {
			return fmt.Errorf("scanning the rebased image: %w", err)
		}
		res.AddAttestation(id, *solved)
	}
	return nil
}

// scanner makes the scanner that the request names, nil when it names none.
func (r *rebasing) scanner(ctx context.Context) (sbom.Scanner, error) {
	requested, err := attestations.Parse(r.opts)
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
	p := r.builderPlatform()
	return sbom.CreateSBOMScanner(ctx, r.c, reference.TagNameOnly(named).String(), p, sourceresolver.Opt{
		ImageOpt: &sourceresolver.ResolveImageOpt{Platform: &p, ResolveMode: r.o.resolveMode},
	}, params)
}

// builderPlatform is the platform that programs run on.
func (r *rebasing) builderPlatform() ocispecs.Platform {
	if ws := r.c.BuildOpts().Workers; len(ws) > 0 && len(ws[0].Platforms) > 0 {
		return ws[0].Platforms[0]
	}
	return platforms.Normalize(platforms.DefaultSpec())
}
