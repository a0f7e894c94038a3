package skeleton

import (
	"bufio"
	"bytes"
	"context"
	"sort"
	"strings"
)

// names are the lines of a user database that the tail looks up. The skeleton's
// file has these lines and no others, so that it does not change with the base's
// other users.
type names struct {
	file  string
	real  string // where the file is, after links; "" when it has not been read
	have  bool   // whether it is a file at all
	data  []byte
	lines map[string]string
}

// User makes the skeleton know what the head knows of a user name: its line of
// /etc/passwd, or that there is none.
func (s *Survey) User(ctx context.Context, name string) error { return s.name(ctx, &s.users, name) }

// Group is User for /etc/group.
func (s *Survey) Group(ctx context.Context, name string) error { return s.name(ctx, &s.groups, name) }

func (s *Survey) name(ctx context.Context, n *names, name string) error {
	if err := s.readNames(ctx, n); err != nil {
		return err
	}
	if line, ok := findName(n.data, name); ok {
		n.lines[name] = line
	}
	return nil
}

func (s *Survey) readNames(ctx context.Context, n *names) error {
	if n.real != "" {
		return nil
	}
	real, e, err := s.Resolve(ctx, n.file)
	if err != nil {
		return err
	}
	n.lines = map[string]string{}
	if e.Kind == File {
		if n.data, err = s.head.ReadFile(ctx, real); err != nil {
			return err
		}
		n.have = true
	}
	n.real = real
	return nil
}

// findName returns the first line of a user database that is about the name.
func findName(data []byte, name string) (string, bool) {
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		if got, _, ok := strings.Cut(line, ":"); ok && got == name {
			return line, true
		}
	}
	return "", false
}

// content is the skeleton's file.
func (n *names) content() []byte {
	lines := make([]string, 0, len(n.lines))
	for _, l := range n.lines {
		lines = append(lines, l+"\n")
	}
	sort.Strings(lines)
	return []byte(strings.Join(lines, ""))
}
