package commands

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/docker/cli/cli/command/formatter"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/changes"
	"github.com/docker-relink/relink/internal/image"
)

// showConfigs prints how the image configs differ. No layer is needed for that.
func (d *diffRun) showConfigs() error {
	report, err := d.requestParts(frontend.DiffNoParts, "type=cacheonly")
	if err != nil {
		return err
	}
	out, done := d.pager()
	defer done()
	different := false
	var rows []configRow
	for _, p := range report.Platforms {
		list, err := image.CompareConfigs(p.Lower.Config, p.Upper.Config, p.Lower.Built || p.Upper.Built)
		if err != nil {
			return err
		}
		for _, difference := range list {
			different = true
			rows = append(rows, configRow{platform: p.Platform, d: difference})
		}
	}
	if err := d.printConfigs(out, rows, len(report.Platforms) > 1); err != nil {
		return err
	}
	done()
	printNotes(d.dockerCli.Err(), report)
	return d.different(different)
}

func (d *diffRun) printConfigs(out io.Writer, rows []configRow, many bool) error {
	if d.format == "list" {
		colours := d.colours()
		for _, r := range rows {
			platform := ""
			if many {
				platform = r.platform + ": "
			}
			fmt.Fprintln(out, platform+colours.paint(r.kind(), r.line()))
		}
		return nil
	}
	format := d.format
	if d.format == "table" {
		format = "table {{.Kind}}\t{{.Field}}\t{{.From}}\t{{.To}}"
		if many {
			format = "table {{.Platform}}\t{{.Kind}}\t{{.Field}}\t{{.From}}\t{{.To}}"
		}
	}
	header := formatter.SubHeaderContext{"Kind": "KIND", "Field": "FIELD", "From": "FROM", "To": "TO", "Platform": "PLATFORM"}
	var list []formatter.SubContext
	for i := range rows {
		list = append(list, &rows[i])
	}
	return printRows(out, format, &configRow{HeaderContext: formatter.HeaderContext{Header: header}}, list)
}

// configRow is a field that differs, to templates.
type configRow struct {
	formatter.HeaderContext
	platform string
	d        image.Difference
}

func (r *configRow) kind() changes.Kind {
	switch {
	case r.d.From == nil:
		return changes.Added
	case r.d.To == nil:
		return changes.Deleted
	default:
		return changes.Changed
	}
}

func (r *configRow) line() string {
	switch kind := r.kind(); kind {
	case changes.Added:
		return fmt.Sprintf("%s %s: %s", kind, r.d.Field, r.d.To)
	case changes.Deleted:
		return fmt.Sprintf("%s %s: %s", kind, r.d.Field, r.d.From)
	default:
		return fmt.Sprintf("%s %s: %s -> %s", kind, r.d.Field, r.d.From, r.d.To)
	}
}

// MarshalJSON is the field with all that templates know of it, and the values as
// they are in the config.
func (r *configRow) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Platform, Kind, Field string
		From, To              json.RawMessage `json:",omitempty"`
	}{r.platform, r.Kind(), r.d.Field, r.d.From, r.d.To})
}

// Kind is A, C or D.
func (r *configRow) Kind() string { return string(r.kind()) }

// Field is the name of the field.
func (r *configRow) Field() string { return r.d.Field }

// From is the value in the lower side, as JSON.
func (r *configRow) From() string { return string(r.d.From) }

// To is the value in the upper side, as JSON.
func (r *configRow) To() string { return string(r.d.To) }

// Platform is the platform of the image.
func (r *configRow) Platform() string { return r.platform }
