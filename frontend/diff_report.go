package frontend

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"
)

// DiffReportKey is the key of the report of a difference in a result's metadata.
const DiffReportKey = "frontend.relink.diff"

// DiffReport says what a difference is the difference of.
type DiffReport struct {
	Platforms []DiffPlatform `json:"platforms"`
	// Skipped are the platforms that only one of the sides has.
	Skipped []string `json:"skipped,omitempty"`
	// Notes are about what was not done as well as on another builder.
	Notes []string `json:"notes,omitempty"`
	// Trees says that the parts are whole file systems: the builder cannot
	// subtract layers.
	Trees bool `json:"trees,omitempty"`
}

// DiffPlatform is the report for one platform.
type DiffPlatform struct {
	Platform string   `json:"platform,omitempty"`
	Lower    DiffSide `json:"lower"`
	Upper    DiffSide `json:"upper"`
	// Shared says that both sides stand on layers that they share. Those are among
	// the parts or they are not.
	Shared bool `json:"shared,omitempty"`
	// Parts are what the result has for this platform, in the order in which the
	// image's index has it; of file systems each is in a directory of this name.
	Parts []DiffPart `json:"parts,omitempty"`
}

// DiffSide is a side of a difference.
type DiffSide struct {
	Name   string          `json:"name"`
	Digest digest.Digest   `json:"digest,omitempty"`
	Config json.RawMessage `json:"config,omitempty"`
	// Built says that the side is no image yet: its config has no times and no
	// layers.
	Built bool `json:"built,omitempty"`
}

// DiffPart is a part of the result.
type DiffPart struct {
	ID   string `json:"id,omitempty"`
	Role string `json:"role"` // one of the roles below
	// Listed are the layers of a part that the result does not have, because the
	// paths in them are known.
	Listed []digest.Digest `json:"listed,omitempty"`
}

// The roles of parts.
const (
	SharedPart = "shared" // the layers that both sides stand on
	LowerPart  = "lower"  // the lower side's own
	UpperPart  = "upper"
)

func (r DiffReport) encode() ([]byte, error) {
	return encodeReport(r)
}

// DecodeDiffReport reads the report from a result's metadata.
func DecodeDiffReport(dt []byte) (DiffReport, error) {
	return decodeReport[DiffReport](dt)
}
