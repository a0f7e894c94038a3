package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/docker-relink/relink/frontend"
)

// ExplainFormats are the formats that Explain takes.
func ExplainFormats() []string { return []string{"text", "json"} }

// Explain writes the plan of every platform.
func (r *Report) Explain(w io.Writer, format string) error {
	platforms := r.Platforms()
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(frontend.Report{Platforms: platforms})
	}
	for i, p := range platforms {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := explainPlatform(w, p); err != nil {
			return err
		}
	}
	return nil
}

func explainPlatform(w io.Writer, p frontend.PlatformReport) error {
	fmt.Fprintf(w, "Platform:  %s\n", p.Platform)
	if p.Base != "" {
		fmt.Fprintf(w, "Base:      %s\n", p.Base)
	}
	if err := explainStages(w, p.Stages); err != nil {
		return err
	}
	if p.Reason != "" {
		fmt.Fprintf(w, "Linked:    nothing: %s\n", p.Reason)
		return nil
	}
	if p.Head != nil {
		fmt.Fprintf(w, "Head:      ends with line %d: %s\n", p.Head.Line, p.Head.Instruction)
	}
	for _, remark := range p.Remarks {
		fmt.Fprintf(w, "Remark:    %s\n", remark)
	}
	if len(p.Left)+len(p.Instructions) == 0 {
		fmt.Fprintln(w, "Linked:    nothing: no copy follows the head")
		return nil
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "LINE\tINSTRUCTION\tDESTINATION\tGROUP\tEVIDENCE")
	for _, i := range append(append([]frontend.Instruction{}, p.Left...), p.Instructions...) {
		group, evidence := "-", "not linked"
		if i.Linked {
			evidence = evidenceOf(i)
			if i.Group > 0 {
				group = fmt.Sprint(i.Group)
			}
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\n", i.Line, i.Instruction, strings.Join(i.Destinations, " "), group, evidence)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	explainReasons(w, p)
	return nil
}

// explainStages lists the stages with what the build needs them for.
func explainStages(w io.Writer, stages []frontend.Stage) error {
	if len(stages) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "STAGE\tLINES\tFROM\tUSE")
	for _, s := range stages {
		fmt.Fprintf(tw, "%s\t%d-%d\t%s\t%s\n", s.Name, s.Lines[0], s.Lines[1], s.From, s.Use)
	}
	fmt.Fprintln(tw)
	return tw.Flush()
}

// explainReasons says of every instruction why it is not linked, and what could
// be changed.
func explainReasons(w io.Writer, p frontend.PlatformReport) {
	for _, i := range append(append([]frontend.Instruction{}, p.Left...), p.Instructions...) {
		if i.Reason == "" {
			continue
		}
		fmt.Fprintf(w, "\nLine %d is not linked: %s.\n", i.Line, i.Reason)
		if i.Advice != "" {
			fmt.Fprintf(w, "  To change that, %s.\n", i.Advice)
		}
	}
}
