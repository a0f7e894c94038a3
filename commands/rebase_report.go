package commands

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/errdefs"
)

// rebaseReport collects what the frontend said of the rebases of one command.
type rebaseReport struct {
	mu      sync.Mutex
	reports []frontend.RebaseReport
	pushed  []string // what the builder says that it stored, by name and digest
	err     error    // of the frontend
}

// watch keeps the error of a frontend: its hint does not come through the
// builder's connection.
func (r *rebaseReport) watch(build gateway.BuildFunc) gateway.BuildFunc {
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		res, err := build(ctx, c)
		if err != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.err = err
		}
		return res, err
	}
}

// explain gives the error of a whole run what the frontend knows besides.
func (r *rebaseReport) explain(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var typed *errdefs.Error
	if !errors.As(r.err, &typed) {
		return err
	}
	return &errdefs.Error{Kind: typed.Kind, Err: err, Hint: errdefs.Hint(r.err)}
}

// take reads a report from a builder's response to a build, and puts it where the
// metadata file has it.
func (r *rebaseReport) take(response map[string]string) {
	raw, ok := response[frontend.RebaseReportKey]
	if !ok {
		return
	}
	delete(response, frontend.RebaseReportKey)
	// buildx decodes objects that come as base64.
	response[strings.TrimPrefix(frontend.RebaseReportKey, "frontend.")] = base64.StdEncoding.EncodeToString([]byte(raw))
	rep, err := frontend.DecodeRebaseReport([]byte(raw))
	if err != nil {
		return // not ours; it stays in the metadata as it came
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, rep)
	name, _, _ := strings.Cut(response["image.name"], ",")
	if dgst := response[exptypes.ExporterImageDigestKey]; name != "" && dgst != "" {
		r.pushed = append(r.pushed, name+"@"+dgst)
	}
}

// print writes the reports as lines for a person.
func (r *rebaseReport) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rep := range r.reports {
		for _, line := range rep.Lines() {
			fmt.Fprintln(w, "rebase:", line)
		}
	}
}
