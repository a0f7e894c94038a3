package commands

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/progress"
)

// rebaseReport collects what the frontend said of the rebases of one command, and of
// its squashes what is verified.
type rebaseReport struct {
	failure

	mu      sync.Mutex
	reports []frontend.RebaseReport
	squash  []frontend.SquashPlatform
	pushed  []string // what the builder says that it stored, by name and digest
}

// take reads a report from a builder's response to a build, and puts it where the
// metadata file has it.
func (r *rebaseReport) take(_ string, response map[string]string) {
	raw, ok := response[frontend.RebaseReportKey]
	if !ok {
		return
	}
	r.keep(response)
	progress.Publish(response, frontend.RebaseReportKey, []byte(raw))
}

// keep notes what a builder says of a rebase, and leaves its response as it is.
func (r *rebaseReport) keep(response map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rebase, err := frontend.DecodeRebaseReport([]byte(response[frontend.RebaseReportKey]))
	squash, squashErr := frontend.DecodeSquashReport([]byte(response[frontend.SquashReportKey]))
	switch {
	case err == nil:
		r.reports = append(r.reports, rebase)
	case squashErr == nil:
		r.squash = append(r.squash, squash.Platforms...)
	default:
		return // not ours
	}
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
