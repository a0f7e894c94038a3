// Package progress prints what there is to say when the progress has ended.
package progress

import (
	"encoding/base64"
	"fmt"
	"io"
	"sync"

	"github.com/docker-relink/relink/frontend"
)

// metadataKey is the report's key in the file of --metadata-file.
const metadataKey = "relink.link"

// Report collects what the frontend did in the builds of one command.
type Report struct {
	mu     sync.Mutex
	builds []frontend.Report
}

// NewReport makes an empty report.
func NewReport() *Report { return &Report{} }

// Take reads the report from a builder's response to a build, and puts it where
// the metadata file has it.
func (r *Report) Take(response map[string]string) {
	raw, ok := response[frontend.ReportKey]
	if !ok {
		return
	}
	delete(response, frontend.ReportKey)
	// buildx decodes objects that come as base64.
	response[metadataKey] = base64.StdEncoding.EncodeToString([]byte(raw))
	rep, err := frontend.DecodeReport([]byte(raw))
	if err != nil {
		return // not ours; it stays in the metadata as it came
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.builds = append(r.builds, rep)
}

// Print writes a line for every instruction of the tails; nothing when there is
// nothing to say.
func (r *Report) Print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// On a builder of several nodes, each node has a report of its own.
	var platforms []frontend.PlatformReport
	for _, b := range r.builds {
		platforms = append(platforms, b.Platforms...)
	}
	for _, p := range platforms {
		printPlatform(w, p, len(platforms) > 1)
	}
}

func printPlatform(w io.Writer, p frontend.PlatformReport, many bool) {
	prefix := "relink"
	if many && p.Platform != "" {
		prefix += " " + p.Platform
	}
	if p.Reason != "" {
		fmt.Fprintf(w, "%s: %s\n", prefix, p.Reason)
	}
	for _, remark := range p.Remarks {
		fmt.Fprintf(w, "%s: %s\n", prefix, remark)
	}
	for _, i := range p.Instructions {
		if i.Linked {
			fmt.Fprintf(w, "%s: line %d linked: %s (%s)\n", prefix, i.Line, i.Instruction, evidence(i))
		} else {
			fmt.Fprintf(w, "%s: line %d not linked: %s (%s)\n", prefix, i.Line, i.Instruction, i.Reason)
		}
	}
}

// evidence says how the facts were known, and where they were remembered.
func evidence(i frontend.Instruction) string {
	if i.From == "" {
		return i.Evidence
	}
	return i.Evidence + ", " + i.From
}
