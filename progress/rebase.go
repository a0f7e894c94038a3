package progress

import (
	"cmp"
	"io"
	"slices"

	"github.com/docker-relink/relink/frontend"
)

// takeRebase reads the report of a rebase from a builder's response to a build.
func (r *Report) takeRebase(response map[string]string) {
	rep, ok := taken(response, frontend.RebaseReportKey, frontend.DecodeRebaseReport)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rebases = append(r.rebases, rep)
}

func (r *Report) printRebases(w io.Writer) {
	r.mu.Lock()
	rebases := slices.Clone(r.rebases)
	r.mu.Unlock()
	slices.SortStableFunc(rebases, func(a, b frontend.RebaseReport) int { return cmp.Compare(a.Image.Name, b.Image.Name) })
	for _, rep := range rebases {
		printLines(w, "rebase", rep.Image.Name, len(rebases) > 1, rep.Lines())
	}
}
