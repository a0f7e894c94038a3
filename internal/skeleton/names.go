package skeleton

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"sort"
	"strings"
)

// The user databases that BuildKit looks names up in.
const (
	Passwd = "/etc/passwd"
	Group  = "/etc/group"
)

// Name makes the skeleton know what the head knows of a user or group name: its
// line of Passwd or Group, or that there is none. The skeleton's file has the
// lines that were asked for and no others, so that it does not change with the
// base's other users.
func (s *Survey) Name(ctx context.Context, file, name string) error {
	real, e, err := s.Resolve(ctx, file)
	if err != nil || e.Kind != File {
		return err
	}
	line, evidence, err := s.head.Line(ctx, real, name)
	if err != nil {
		return fmt.Errorf("looking up %s in %s of the base: %w", name, real, err)
	}
	s.note(evidence)
	if s.facts.Lines[real] == nil {
		s.facts.Lines[real] = map[string]string{}
	}
	s.facts.Lines[real][name] = line
	return nil
}

// FindLine returns the first line of a user database that is about the name, ""
// when there is none.
func FindLine(data []byte, name string) string {
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		if got, _, ok := strings.Cut(line, ":"); ok && got == name {
			return line
		}
	}
	return ""
}

// content is what a file of the skeleton has: the lines that were looked up.
func (f Facts) content(file string) []byte {
	var lines []string
	for _, l := range f.Lines[file] {
		if l != "" {
			lines = append(lines, l+"\n")
		}
	}
	sort.Strings(lines)
	return []byte(strings.Join(lines, ""))
}
