package progress

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/docker-relink/relink/frontend"
)

// takeRebase reads the report of a rebase from a builder's response to a build.
func (r *Report) takeRebase(response map[string]string) {
	raw, ok := response[frontend.RebaseReportKey]
	if !ok {
		return
	}
	rep, err := frontend.DecodeRebaseReport([]byte(raw))
	if err != nil {
		return // not ours; it stays in the metadata as it came
	}
	Publish(response, frontend.RebaseReportKey, []byte(raw))
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
		prefix := "rebase"
		if len(rebases) > 1 && rep.Image.Name != "" {
			prefix += " " + rep.Image.Name
		}
		for _, line := range rep.Lines() {
			fmt.Fprintf(w, "%s: %s\n", prefix, line)
		}
	}
}
