package dockerfile

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/docker-relink/relink/internal/errdefs"
)

// File is a Dockerfile with ranges in it.
type File struct {
	// Text is the user's text.
	Text []byte
	// Ranges are the different ranges in it, in the order in which they stand
	// there.
	Ranges []*Range

	nodes  []*parser.Node
	lines  []span
	escape rune
	stages []stage
	uses   []use
}

// Range is a range that the Dockerfile names, once or more often.
type Range struct {
	Expression
	// Name stands for the range in the rewritten text. It is neither a stage's
	// name nor the user's name of a build context.
	Name string
	// Line is the first line that has the range.
	Line int

	from bool
	flag string // the --platform flag, as it is written
	at   int    // the number of stages before it
}

// stage is a FROM of the Dockerfile.
type stage struct{ name string }

// use is a place in the text where a range stands.
type use struct {
	r      *Range
	node   int
	flag   int    // the flag that it stands in, -1: the base of a FROM
	remove []span // the parts of the text that are the range
}

// Error is an error at some lines of the Dockerfile.
type Error struct {
	Start, End int
	Err        error
}

// Error returns the cause's text: the lines are shown beside it.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Parse finds the ranges in a Dockerfile. It returns nil when there are none,
// also for a text that is no Dockerfile: that is for the Dockerfile frontend to
// say. taken says which names a range must not get. An error is an *Error.
func Parse(text []byte, taken func(name string) bool) (*File, error) {
	if !mayHaveRanges(text) {
		return nil, nil
	}
	result, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, nil //nolint:nilerr // the Dockerfile frontend reports it
	}
	f := &File{Text: text, nodes: result.AST.Children, lines: lines(text), escape: result.EscapeToken}
	for i, node := range f.nodes {
		if err := f.scan(i, node); err != nil {
			return nil, &Error{Start: node.StartLine, End: node.EndLine, Err: err}
		}
	}
	if len(f.Ranges) == 0 {
		return nil, nil
	}
	f.name(taken)
	return f, nil
}

// mayHaveRanges is a cheap look for two dots, with or without a quote, an
// escape or a continued line between them.
func mayHaveRanges(text []byte) bool {
	for i := bytes.IndexByte(text, '.'); i >= 0 && i+1 < len(text); {
		if bytes.IndexByte([]byte(".\\`\"'"), text[i+1]) >= 0 {
			return true
		}
		next := bytes.IndexByte(text[i+1:], '.')
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

func (f *File) scan(i int, node *parser.Node) error {
	switch strings.ToLower(node.Value) {
	case command.From:
		return f.scanFrom(i, node)
	case command.Copy, command.Run:
		for n, value := range froms(node) {
			if value == "" {
				continue
			}
			if err := f.scanFlag(i, node, n, value); err != nil {
				return err
			}
		}
	case command.Onbuild:
		return scanOnbuild(node)
	}
	return nil
}

func (f *File) scanFrom(i int, node *parser.Node) error {
	defer func() { f.stages = append(f.stages, stageOf(node)) }()
	if node.Next == nil {
		return nil
	}
	e, ok, err := ParseExpression(node.Next.Value)
	if !ok || err != nil {
		return err
	}
	j, err := f.join(node)
	if err != nil {
		return err
	}
	_, rest := flags(string(j.text), byte(f.escape))
	end := rest + len(node.Next.Value)
	if end > len(j.text) || string(j.text[rest:end]) != node.Next.Value {
		return errUnplaced(node.Next.Value)
	}
	r := &Range{Expression: e, Line: node.StartLine, from: true, at: len(f.stages)}
	for _, fl := range node.Flags {
		if strings.HasPrefix(fl, "--platform=") {
			r.flag = fl
		}
	}
	f.Ranges = append(f.Ranges, r)
	f.uses = append(f.uses, use{r: r, node: i, flag: -1, remove: place(j.at[rest:end], nil)})
	return nil
}

func stageOf(node *parser.Node) stage {
	if node.Next == nil || node.Next.Next == nil || node.Next.Next.Next == nil {
		return stage{}
	}
	return stage{name: strings.ToLower(node.Next.Next.Next.Value)}
}

// froms are the values that say in which stage to look, by the flag that they
// stand in. What cannot be read has none: the Dockerfile frontend says why.
func froms(node *parser.Node) map[int]string {
	out := map[int]string{}
	if strings.EqualFold(node.Value, command.Copy) {
		for n, fl := range node.Flags {
			if v, ok := strings.CutPrefix(fl, "--from="); ok {
				out[n] = v
			}
		}
		return out
	}
	if !strings.Contains(strings.Join(node.Flags, " "), "..") {
		return out
	}
	cmd, err := instructions.ParseCommand(node)
	if err != nil {
		return out
	}
	run, ok := cmd.(*instructions.RunCommand)
	if !ok {
		return out
	}
	mounts := instructions.GetMounts(run)
	for n, fl := range node.Flags {
		if strings.HasPrefix(fl, "--mount=") && len(mounts) > 0 {
			out[n] = mounts[0].From
			mounts = mounts[1:]
		}
	}
	return out
}

func (f *File) scanFlag(i int, node *parser.Node, n int, value string) error {
	e, ok, err := ParseExpression(value)
	if !ok || err != nil {
		return err
	}
	if strings.Contains(value, "$") {
		return errdefs.Invalidf("Give the range a name: FROM "+value+" AS name, then from=name.",
			"range %s: variables are only expanded in FROM: name a stage for it there", value)
	}
	j, err := f.join(node)
	if err != nil {
		return err
	}
	words, _ := flags(string(j.text), byte(f.escape))
	if len(words) != len(node.Flags) {
		return errUnplaced(value)
	}
	at := valueIn(words[n].text, value)
	if at < 0 {
		return errUnplaced(value)
	}
	var remove []span
	for _, s := range words[n].from[at : at+len(value)] {
		remove = place(j.at[s.start:s.end], remove)
	}
	r := f.same(e)
	if r == nil {
		r = &Range{Expression: e, Line: node.StartLine, at: len(f.stages)}
		f.Ranges = append(f.Ranges, r)
	}
	f.uses = append(f.uses, use{r: r, node: i, flag: n, remove: remove})
	return nil
}

// valueIn is where the value of from stands in a flag, -1 when that is not
// plain to see.
func valueIn(flag, value string) int {
	for i := range flag {
		if i+5 > len(flag) || !strings.EqualFold(flag[i:i+5], "from=") || !strings.HasPrefix(flag[i+5:], value) {
			continue
		}
		if strings.ContainsRune(`-,"=`, rune(flag[i-1])) {
			return i + 5
		}
	}
	return -1
}

// same is the range that stands for the expression already. In a FROM the
// stages before it count, elsewhere all of them do.
func (f *File) same(e Expression) *Range {
	for _, r := range f.Ranges {
		if !r.from && r.Expression == e {
			return r
		}
	}
	return nil
}

func scanOnbuild(node *parser.Node) error {
	if node.Next == nil || len(node.Next.Children) == 0 {
		return nil
	}
	for _, value := range froms(node.Next.Children[0]) {
		_, ok, err := ParseExpression(value)
		if err != nil {
			return err
		}
		if ok {
			return errdefs.Invalidf("Copy from a stage that is the range, or write the instruction where it is needed.",
				"range %s in ONBUILD: builds on top of this image may not know ranges", value)
		}
	}
	return nil
}

func errUnplaced(value string) error {
	return errdefs.Invalidf("Write it in one piece, without quotes and escapes.", "range %s cannot be found in the line", strconv.Quote(value))
}

// join joins the lines of a node and checks that this is what the parser did.
func (f *File) join(node *parser.Node) (joined, error) {
	j := joinLines(f.Text, f.lines, node.StartLine-1, continuationOf(f.escape))
	if string(j.text) != node.Original {
		return j, errdefs.Internalf("reading line %d: it is not what the parser read", node.StartLine)
	}
	return j, nil
}

// place adds the places of bytes to parts of the text.
func place(at []int, to []span) []span {
	for _, p := range at {
		if n := len(to); n > 0 && to[n-1].end == p {
			to[n-1].end++
		} else {
			to = append(to, span{p, p + 1})
		}
	}
	return to
}

// name gives every range a name that shows what it is.
func (f *File) name(taken func(string) bool) {
	used := map[string]bool{}
	for _, s := range f.stages {
		used[s.name] = true
	}
	for _, r := range f.Ranges {
		base := "range." + slug(r.Lower) + "--" + slug(r.Upper)
		name := base
		for n := 2; used[name] || taken != nil && taken(name); n++ {
			name = fmt.Sprintf("%s.%d", base, n)
		}
		used[name], r.Name = true, name
	}
}

// slug is a side as a part of a name.
func slug(side string) string {
	const most = 48
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return ' '
	}, strings.ToLower(side))
	s = strings.Join(strings.Fields(s), "-")
	if len(s) > most {
		s = strings.Trim(s[:most], "-")
	}
	if s == "" {
		return "x"
	}
	return s
}
