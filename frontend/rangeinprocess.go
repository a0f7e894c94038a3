package frontend

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/dockerfile"
)

// namesFrontend says whether the user has chosen a Dockerfile frontend. Where
// that frontend is the one that runs now, it was chosen already.
func namesFrontend(opts map[string]string, text []byte) bool {
	if _, ok := opts["cmdline"]; ok {
		return false
	}
	if _, ok := opts[buildArgPrefix+"BUILDKIT_SYNTAX"]; ok {
		return true
	}
	_, _, _, ok := parser.DetectSyntax(text)
	return ok
}

// readInProcess reads a Dockerfile as the Dockerfile frontend does, here. That
// of a builder before v0.10 knows no build contexts that are inputs, which is
// what the ranges are to it.
func readInProcess(ctx context.Context, c gateway.Client, opts map[string]string, inputs map[string]*pb.Definition) (*gateway.Result, error) {
	c = inProcess{withOpts{c, opts}, inputs}
	ui, err := dockerui.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("reading the options of the build: %w", err)
	}
	src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	convert := dockerfile2llb.ConvertOpt{Config: ui.Config, Client: ui, SourceMap: src.SourceMap, MetaResolver: c}
	res, ok, err := ui.HandleSubrequest(ctx, dockerui.RequestHandler{
		Outline: func(ctx context.Context) (*outline.Outline, error) {
			return dockerfile2llb.Dockerfile2Outline(ctx, src.Data, convert)
		},
		Lint: func(ctx context.Context) (*lint.LintResults, error) {
			return dockerfile2llb.DockerfileLint(ctx, src.Data, convert)
		},
	})
	if err != nil || ok {
		return res, located(&dockerfileSource{Source: src}, err)
	}
	built, err := ui.Build(ctx, func(ctx context.Context, platform *ocispecs.Platform, _ int) (*dockerui.BuildResult, error) {
		return convertInProcess(ctx, c, src.Data, convert, platform)
	})
	if err != nil {
		return nil, located(&dockerfileSource{Source: src}, err)
	}
	return built.Finalize()
}

func convertInProcess(ctx context.Context, c gateway.Client, text []byte, convert dockerfile2llb.ConvertOpt, platform *ocispecs.Platform) (*dockerui.BuildResult, error) {
	convert.BuildArgs = maps.Clone(convert.BuildArgs)
	convert.TargetPlatform = platform
	made, err := dockerfile2llb.Dockerfile2LLB(ctx, text, convert)
	if err != nil {
		return nil, err
	}
	def, err := made.State.Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("writing what the Dockerfile says: %w", err)
	}
	ref, err := solveRef(ctx, c, def.ToPB())
	if err != nil {
		return nil, err
	}
	return &dockerui.BuildResult{Reference: ref, Image: made.Image, BaseImage: made.BaseImage, Epoch: made.Epoch}, nil
}

// located shows an error of the Dockerfile's reading at its lines.
func located(src *dockerfileSource, err error) error {
	var at *parser.LocationError
	if !errors.As(err, &at) {
		return err
	}
	for _, ranges := range at.Locations {
		if len(ranges) > 0 {
			err = src.error(&dockerfile.Error{Start: ranges[0].Start.Line, End: ranges[len(ranges)-1].End.Line, Err: err})
		}
	}
	return err
}

// inProcess is a builder for a Dockerfile frontend that runs here, with options
// and inputs of its own.
type inProcess struct {
	withOpts
	inputs map[string]*pb.Definition
}

func (c inProcess) Inputs(context.Context) (map[string]llb.State, error) {
	states := make(map[string]llb.State, len(c.inputs))
	for name, def := range c.inputs {
		st, err := state(def)
		if err != nil {
			return nil, fmt.Errorf("reading the input %s of the build: %w", name, err)
		}
		states[name] = st
	}
	return states, nil
}
