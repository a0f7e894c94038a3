package commands

import (
	"fmt"
	"os"
	"strings"

	"github.com/docker-relink/relink/internal/changes"
	"github.com/docker-relink/relink/internal/errdefs"
)

// writeDeletions writes the paths that are deleted, a line each, as they are in
// the file system: for what cannot say so itself, such as a directory.
func (d *diffRun) writeDeletions(parts *diffParts) error {
	all, err := parts.changes(func(int, int) {})
	if err != nil {
		return err
	}
	if len(all) > 1 {
		return errdefs.Invalidf("Choose one with --platform.", "the deletions of %d platforms do not go into one file", len(all))
	}
	var text strings.Builder
	for _, p := range all {
		for _, c := range p.list {
			// What has become something else has to go before that can come.
			gone := c.Kind == changes.Deleted
			for _, w := range c.What {
				gone = gone || w == changes.WhatType
			}
			if gone {
				fmt.Fprintln(&text, printable(c.Path))
			}
		}
	}
	if err := os.WriteFile(d.deletions, []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("writing the deletions: %w", err)
	}
	return nil
}
