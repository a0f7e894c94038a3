package frontend

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/solver/pb"

	"github.com/docker-relink/relink/internal/dockerfile"
)

const (
	requestLint    = lint.RequestLint
	requestOutline = outline.RequestSubrequestsOutline
	resultJSON     = "result.json"
)

// request answers a subrequest about the Dockerfile, in which the user's own
// text has to show.
func (r *ranges) request(ctx context.Context, id string) (*gateway.Result, error) {
	res, err := r.read(ctx, r.opts, r.text)
	if err != nil {
		return nil, r.restoreError(err, r.text, nil)
	}
	if id == requestLint {
		return r.lint(ctx, res)
	}
	return r.outline(ctx, res)
}

// lint adds the errors that the sides of the ranges have to those of the
// target.
func (r *ranges) lint(ctx context.Context, res *gateway.Result) (*gateway.Result, error) {
	var results lint.LintResults
	if err := r.decode(res, &results); err != nil {
		return nil, err
	}
	r.restoreInfos(results.Sources, r.text)
	if results.Error == nil {
		text, err := r.file.WithSides(r.file.Ranges)
		if err != nil {
			return nil, r.source.error(err)
		}
		sides, err := r.read(ctx, r.sidesOpts(), text.Text)
		if err != nil {
			return nil, r.restoreError(err, text.Text, text.Origin)
		}
		var of lint.LintResults
		if err := r.decode(sides, &of); err != nil {
			return nil, err
		}
		if results.Error = of.Error; of.Error != nil {
			restoreLines(of.Error.Location.Ranges, text.Origin)
			if len(results.Sources) == 0 {
				r.restoreInfos(of.Sources, text.Text)
				results.Sources = of.Sources
			}
		}
	}
	return results.ToResult(nil)
}

func (r *ranges) restoreInfos(infos []*pb.SourceInfo, text []byte) {
	for _, info := range infos {
		r.restoreInfo(info, text)
	}
}

// outline adds what the sides of the target's ranges take to what the target
// takes.
func (r *ranges) outline(ctx context.Context, res *gateway.Result) (*gateway.Result, error) {
	var o outline.Outline
	if err := r.decode(res, &o); err != nil {
		return nil, err
	}
	needed, err := r.neededByTarget(ctx)
	if err != nil {
		return nil, err
	}
	if len(needed) > 0 {
		text, err := r.file.WithSides(needed)
		if err != nil {
			return nil, r.source.error(err)
		}
		sides, err := r.read(ctx, r.sidesOpts(), text.Text)
		if err != nil {
			return nil, r.restoreError(err, text.Text, text.Origin)
		}
		var of outline.Outline
		if err := r.decode(sides, &of); err != nil {
			return nil, err
		}
		addOutline(&o, &of, text.Origin)
	}
	for i, text := range o.Sources {
		if bytes.Equal(text, r.text) {
			o.Sources[i] = r.source.Data
		}
	}
	return o.ToResult()
}

// neededByTarget are the ranges that the target needs, directly or not.
func (r *ranges) neededByTarget(ctx context.Context) ([]*dockerfile.Range, error) {
	build := *r
	build.opts = withoutSBOM(r.opts)
	delete(build.opts, "requestid")
	res, err := build.read(ctx, build.opts, r.text)
	if err != nil {
		return nil, r.restoreError(err, r.text, nil)
	}
	needed, _, err := build.graphs(ctx, res)
	if err != nil {
		return nil, err
	}
	sides, err := build.sides(ctx, needed)
	if err != nil {
		return nil, err
	}
	var all []*dockerfile.Range
	for _, rg := range r.file.Ranges {
		for _, d := range sides {
			if _, ok := d.sides[rg]; ok {
				all = append(all, rg)
				break
			}
		}
	}
	return all, nil
}

func addOutline(o, of *outline.Outline, origin func(int) int) {
	o.Args = addNamed(o.Args, of.Args, origin, func(a outline.Arg) (string, *pb.Location) { return a.Name, a.Location })
	o.Secrets = addNamed(o.Secrets, of.Secrets, origin, func(s outline.Secret) (string, *pb.Location) { return s.Name, s.Location })
	o.SSH = addNamed(o.SSH, of.SSH, origin, func(s outline.SSH) (string, *pb.Location) { return s.Name, s.Location })
}

// addNamed adds what has another name, in the order of the lines.
func addNamed[T any](to, from []T, origin func(int) int, of func(T) (string, *pb.Location)) []T {
	line := func(x T) int32 {
		if _, l := of(x); len(l.GetRanges()) > 0 {
			return l.Ranges[0].GetStart().GetLine()
		}
		return 0
	}
	for _, x := range from {
		name, l := of(x)
		if slices.ContainsFunc(to, func(have T) bool { n, _ := of(have); return n == name }) {
			continue
		}
		restoreLines(l.GetRanges(), origin)
		to = append(to, x)
	}
	slices.SortStableFunc(to, func(a, b T) int { return cmp.Compare(line(a), line(b)) })
	return to
}

func (r *ranges) decode(res *gateway.Result, to any) error {
	if err := json.Unmarshal(res.Metadata[resultJSON], to); err != nil {
		return fmt.Errorf("reading the Dockerfile frontend's answer: %w", err)
	}
	return nil
}
