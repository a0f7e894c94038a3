package progress

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/image"
)

// squash is the report of a squash, and what was pushed.
type squash struct {
	report frontend.SquashReport
	done   chan struct{}
	pushed *image.Description // nil when it is not known
}

// takeSquash reads the report of a squash from a builder's response to a build.
func (r *Report) takeSquash(response map[string]string) {
	rep, ok := taken(response, frontend.SquashReportKey, frontend.DecodeSquashReport)
	if !ok {
		return
	}
	s := &squash{report: rep, done: make(chan struct{})}
	name, _, _ := strings.Cut(response["image.name"], ",")
	dgst := response[exptypes.ExporterImageDigestKey]
	go func() {
		defer close(s.done)
		if name != "" && dgst != "" && r.Describe != nil {
			ctx, cancel := context.WithTimeout(context.Background(), squashTime)
			defer cancel()
			s.pushed, _ = r.Describe(ctx, name+"@"+dgst) // not pushed, as a rule
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.squashes = append(r.squashes, s)
}

// squashTime is how long the end of a squash may wait for the size of its result.
const squashTime = 3 * time.Second

func (r *Report) printSquashes(w io.Writer) {
	r.mu.Lock()
	squashes := r.squashes
	r.mu.Unlock()
	for _, s := range squashes {
		prefix := printLines(w, "squash", s.report.Image.Name, len(squashes) > 1, s.report.Lines())
		<-s.done
		if s.pushed == nil {
			continue
		}
		for _, m := range s.pushed.Manifests {
			var size int64
			for _, l := range m.Layers {
				size += l.Size
			}
			fmt.Fprintf(w, "%s: pushed with %d layers (%d bytes)\n", prefix, len(m.Layers), size)
		}
	}
}
