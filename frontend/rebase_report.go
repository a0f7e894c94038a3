package frontend

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/docker-relink/relink/internal/image"
)

// RebaseReportKey is the key of the report of a rebase in a result's metadata.
const RebaseReportKey = "frontend.relink.rebase"

// RebaseReport says what a rebase does, or would do.
type RebaseReport struct {
	Image     NamedImage       `json:"image"`
	Onto      NamedImage       `json:"onto"`
	Platforms []RebasePlatform `json:"platforms"`
	// Skipped are the platforms that were left out because the new base lacks
	// them.
	Skipped []string `json:"skipped,omitempty"`
	// Moves says for each place that the result is meant for how many bytes of
	// layers have to go there.
	Moves []Move `json:"moves,omitempty"`
	// Warnings are about what the user should not miss.
	Warnings []string `json:"warnings,omitempty"`
}

// NamedImage is an image by its name and by what it was when it was read.
type NamedImage struct {
	Name   string        `json:"name,omitempty"`
	Digest digest.Digest `json:"digest,omitempty"`
}

// String is the image's most exact name.
func (n NamedImage) String() string {
	if n.Name == "" || n.Digest == "" {
		return n.Name + n.Digest.String()
	}
	return n.Name + "@" + n.Digest.String()
}

// RebasePlatform is the report for one platform.
type RebasePlatform struct {
	Platform string `json:"platform"`
	// OldBase is the base that the image stands on, nil when it is gone; Found
	// says how it was found.
	OldBase *NamedImage `json:"oldBase,omitempty"`
	Found   Found       `json:"found"`
	// UpToDate says that the image stands on the new base already.
	UpToDate bool `json:"upToDate"`
	// ByFiles says that the image's own layers become one, because the builder
	// can not put them on others as they are.
	ByFiles bool `json:"byFiles,omitempty"`
	// Built says that the image or the new base is the result of a build: its own
	// layers are counted by its instructions.
	Built bool `json:"built,omitempty"`
	// Kept are the image's own layers, Replaced the old base's, By the new
	// base's.
	Kept      []Layer          `json:"kept"`
	Replaced  []Layer          `json:"replaced"`
	By        []Layer          `json:"by"`
	Changes   []image.Change   `json:"changes,omitempty"`
	Conflicts []image.Conflict `json:"conflicts,omitempty"`
	Notes     []image.Note     `json:"notes,omitempty"`
	// Remarks are about the search for the old base.
	Remarks []string `json:"remarks,omitempty"`
}

// Layer is a layer by its DiffID, empty where a build has yet to make it, and, where
// the manifest is known, by what is stored of it.
type Layer struct {
	DiffID digest.Digest `json:"diffID,omitempty"`
	Digest digest.Digest `json:"digest,omitempty"`
	Size   int64         `json:"size,omitempty"`
}

// Move is what has to go to one place.
type Move struct {
	To    string `json:"to"`
	Bytes int64  `json:"bytes"`
}

func (r RebaseReport) encode() ([]byte, error) {
	return encodeReport(r)
}

// DecodeRebaseReport reads the report from a result's metadata.
func DecodeRebaseReport(dt []byte) (RebaseReport, error) {
	return decodeReport[RebaseReport](dt)
}

// UpToDate says whether every platform stands on the new base already.
func (r RebaseReport) UpToDate() bool {
	for _, p := range r.Platforms {
		if !p.UpToDate {
			return false
		}
	}
	return true
}

// Lines are the report as a person reads it.
func (r RebaseReport) Lines() []string {
	var lines []string
	for _, p := range r.Platforms {
		lines = append(lines, p.lines(len(r.Platforms) > 1, r.Onto)...)
	}
	for _, p := range r.Skipped {
		lines = append(lines, fmt.Sprintf("%s left out: the new base has no image for it", p))
	}
	for _, m := range r.Moves {
		lines = append(lines, fmt.Sprintf("to %s: %d bytes of layers", m.To, m.Bytes))
	}
	for _, w := range r.Warnings {
		lines = append(lines, "warning: "+w)
	}
	return lines
}

func (p RebasePlatform) lines(many bool, onto NamedImage) []string {
	prefix := ""
	if many {
		prefix = p.Platform + ": "
	}
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, prefix+fmt.Sprintf(format, args...)) }
	if p.OldBase != nil {
		add("old base %s (found by %s)", p.OldBase, p.Found)
	} else {
		add("old base gone (%s)", p.Found)
	}
	if p.UpToDate {
		add("the image stands on %s already", onto)
	}
	add("layers: %s kept, %s replaced by %s of %s", count(p.Kept), count(p.Replaced), count(p.By), onto)
	if p.ByFiles {
		add("the builder can not put layers on others: the image's own were made one new layer, by comparing files")
	}
	for _, c := range p.Changes {
		add("config: %s", describeChange(c))
	}
	for _, c := range p.Conflicts {
		add("conflict: %s: the image's %s stays, the new base has %s", field(c.Field, c.Key), value(c.Image), value(c.NewBase))
	}
	for _, n := range p.Notes {
		add("note: %s", n.Text)
	}
	for _, remark := range p.Remarks {
		add("note: %s", remark)
	}
	return lines
}

// count says how many layers there are, and how large they are when that is
// known.
func count(ls []Layer) string {
	var size int64
	for _, l := range ls {
		size += l.Size
	}
	if size == 0 {
		return fmt.Sprint(len(ls))
	}
	return fmt.Sprintf("%d (%d bytes)", len(ls), size)
}

func describeChange(c image.Change) string {
	s := fmt.Sprintf("%s: %s -> %s", field(c.Field, c.Key), value(c.From), value(c.To))
	if c.Reason != "" {
		s += " (" + c.Reason + ")"
	}
	return s
}

func field(name, key string) string { return strings.TrimSpace(name + " " + key) }

func value(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "none"
	}
	return string(raw)
}

// reportPlatform writes down what was decided for a platform.
func (r *rebasing) reportPlatform(b *rebased) {
	rep := &b.report
	rep.Platform = PlatformID(b.platform)
	rep.Found, rep.Remarks = b.found, b.remarks
	rep.Built = b.image.built != nil || b.onto.built != nil
	if b.old != nil {
		old := b.old.named()
		rep.OldBase = &old
	}
	rep.UpToDate = image.CheckPrefix(b.image.config.RootFS.DiffIDs, b.onto.config.RootFS.DiffIDs) == nil &&
		len(b.onto.config.RootFS.DiffIDs) > 0 && b.oldLayers == len(b.onto.config.RootFS.DiffIDs)
	all := layersOf(b.image, r.image.description, b.platform)
	rep.Replaced, rep.Kept = all[:b.oldLayers], all[b.oldLayers:]
	rep.By = layersOf(b.onto, r.onto.description, b.platform)
	rep.Changes, rep.Conflicts, rep.Notes = b.result.Changes, b.result.Conflicts, b.result.Notes
}

// layersOf are the layers of an image, with what the registry says of them.
func layersOf(img *imageOn, d *image.Description, p ocispecs.Platform) []Layer {
	m, _ := d.For(p)
	ls := []Layer{}
	known := len(img.known())
	for i, diffID := range img.config.RootFS.DiffIDs {
		l := Layer{}
		if i < known {
			l.DiffID = diffID
		}
		if len(m.Layers) == len(img.config.RootFS.DiffIDs) {
			l.Digest, l.Size = m.Layers[i].Digest, m.Layers[i].Size
		}
		ls = append(ls, l)
	}
	return ls
}
