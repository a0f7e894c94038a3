package frontend

import (
	"encoding/json"
	"fmt"
)

// ReportKey is the key of the report in a result's metadata. BuildKit hands
// keys that begin with "frontend." on to the client.
const ReportKey = "frontend.relink.link"

// Report says what was linked and what was not.
type Report struct {
	Platforms []PlatformReport `json:"platforms"`
}

// PlatformReport is the report for one platform of a build.
type PlatformReport struct {
	// Image is the first name that the result is stored under.
	Image    string   `json:"image,omitempty"`
	Platform string   `json:"platform,omitempty"`
	Mode     LinkMode `json:"mode"`
	// Base is the image that the head begins with, when it begins with one.
	Base string `json:"base,omitempty"`
	// Untouched says that the base is all of the head, and that nothing of it
	// had to be read or unpacked; BaseBytes is the size of its layers then, 0
	// when that is not known.
	Untouched bool  `json:"untouched,omitempty"`
	BaseBytes int64 `json:"baseBytes,omitempty"`
	// Stages are those of the Dockerfile, for explaining only.
	Stages []Stage `json:"stages,omitempty"`
	// Head is the instruction that the head ends with, and Left are the copies
	// in the head, which a later command keeps from being linked. Both are for
	// explaining only.
	Head *Instruction  `json:"head,omitempty"`
	Left []Instruction `json:"left,omitempty"`
	// Reason says why nothing at all was linked.
	Reason string `json:"reason,omitempty"`
	// Remarks are about facts that were found and not used.
	Remarks      []string      `json:"remarks,omitempty"`
	Instructions []Instruction `json:"instructions,omitempty"`
}

// Instruction is an instruction of the target stage's tail.
type Instruction struct {
	Instruction string `json:"instruction"`
	Line        int    `json:"line,omitempty"`
	Linked      bool   `json:"linked"`
	// Destinations are where the instruction writes, with the base's symbolic
	// links resolved.
	Destinations []string `json:"destinations,omitempty"`
	// Group is the number of the instruction's group: those of one group build
	// upon each other, those of different groups do not.
	Group int `json:"group,omitempty"`
	// Evidence is how the facts about the base are known: proved, inherited or
	// read now; From is where they were remembered.
	Evidence string `json:"evidence,omitempty"`
	From     string `json:"from,omitempty"`
	// Reason says why the instruction was not linked, and Advice what could be
	// changed about that.
	Reason string `json:"reason,omitempty"`
	Advice string `json:"advice,omitempty"`
}

// Empty says whether there is nothing to tell.
func (r Report) Empty() bool {
	for _, p := range r.Platforms {
		if p.Reason != "" || len(p.Remarks) > 0 || len(p.Instructions) > 0 {
			return false
		}
	}
	return true
}

// Encode writes the report as a result's metadata has it.
func (r Report) Encode() ([]byte, error) {
	return encodeReport(r)
}

// DecodeReport reads a report from a result's metadata.
func DecodeReport(dt []byte) (Report, error) {
	return decodeReport[Report](dt)
}

func encodeReport(report any) ([]byte, error) {
	dt, err := json.Marshal(report)
	if err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	return dt, nil
}

func decodeReport[T any](dt []byte) (report T, err error) {
	if err := json.Unmarshal(dt, &report); err != nil {
		return *new(T), fmt.Errorf("reading the report: %w", err)
	}
	return report, nil
}
