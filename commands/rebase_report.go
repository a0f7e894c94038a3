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

// rebaseReport collects what the frontend said of the rebases of one command.
type rebaseReport struct {
	failure

	mu      sync.Mutex
	reports []frontend.RebaseReport
	pushed  []string // what the builder says that it stored, by name and digest
}

// take reads a report from a builder's response to a build, and puts it where the
// metadata file has it.
func (r *rebaseReport) take(response map[string]string) {
	raw, ok := response[frontend.RebaseReportKey]
	if !ok {
		return
	}
	r.keep(response)
	progress.Publish(response, frontend.RebaseReportKey, []byte(raw))
}

// keep notes what a builder says of a rebase, and leaves its response as it is.
func (r *rebaseReport) keep(response map[string]string) {
	raw, ok := response[frontend.RebaseReportKey]
	if !ok {
		return
	}
	rep, err := frontend.DecodeRebaseReport([]byte(raw))
	if err != nil {
		return // not ours
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
