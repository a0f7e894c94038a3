package dockerfile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Rewritten is the text with every range's name in its place, line by line the
// same.
func (f *File) Rewritten() ([]byte, error) {
	type edit struct {
		span
		text string
	}
	var edits []edit
	for _, u := range f.uses {
		for i, s := range u.remove {
			e := edit{span: s}
			if i == 0 {
				e.text = u.r.Name
			}
			edits = append(edits, e)
		}
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(f.Text[at:e.start])
		out.WriteString(e.text)
		at = e.end
	}
	out.Write(f.Text[at:])
	return out.Bytes(), f.check(out.Bytes())
}

// check holds the rewritten text to what it has to be: the same instructions at
// the same lines, but for the ranges.
func (f *File) check(text []byte) error {
	result, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("rewriting the ranges: %w", err)
	}
	want := map[int]*parser.Node{}
	for _, u := range f.uses {
		n := want[u.node]
		if n == nil {
			c := *f.nodes[u.node]
			c.Flags = slices.Clone(c.Flags)
			n = &c
			want[u.node] = n
		}
		if u.flag < 0 {
			next := *n.Next
			next.Value = u.r.Name
			n.Next = &next
			continue
		}
		at := valueIn(n.Flags[u.flag], u.r.String())
		if at < 0 {
			return f.errUse(u)
		}
		fl := n.Flags[u.flag]
		n.Flags[u.flag] = fl[:at] + u.r.Name + fl[at+len(u.r.String()):]
	}
	if len(result.AST.Children) != len(f.nodes) {
		return f.errUse(f.uses[0])
	}
	for i, got := range result.AST.Children {
		w := want[i]
		if w == nil {
			w = f.nodes[i]
		}
		if !sameNode(got, w) {
			for _, u := range f.uses {
				if u.node == i {
					return f.errUse(u)
				}
			}
			return f.errUse(f.uses[0])
		}
	}
	return nil
}

func (f *File) errUse(u use) error {
	n := f.nodes[u.node]
	return &Error{Start: n.StartLine, End: n.EndLine, Err: errUnplaced(u.r.String())}
}

func sameNode(a, b *parser.Node) bool {
	if a.Value != b.Value || a.StartLine != b.StartLine || a.EndLine != b.EndLine || !slices.Equal(a.Flags, b.Flags) || !slices.Equal(a.Heredocs, b.Heredocs) {
		return false
	}
	for a, b = a.Next, b.Next; a != nil && b != nil; a, b = a.Next, b.Next {
		if a.Value != b.Value {
			return false
		}
	}
	return a == nil && b == nil
}

// SidesStage is the stage of the text that WithSides returns that copies from
// the sides of the ranges.
const SidesStage = "relink.sides"

// Sides is a rewritten text with a stage at its end that copies from both sides
// of some ranges, so that one build has them all.
type Sides struct {
	Text   []byte
	Ranges []*Range
	// origin is the range of every appended line.
	origin []*Range
	before int // the number of lines before these
}

// LowerPath and UpperPath are where SidesStage copies the sides of the range
// number i to.
func LowerPath(i int) string { return "/" + strconv.Itoa(i) + "/lower" }

// UpperPath is LowerPath's other side.
func UpperPath(i int) string { return "/" + strconv.Itoa(i) + "/upper" }

// WithSides appends the stages for the sides of the ranges. Each side is named
// there as it can only be meant where the range stands.
func (f *File) WithSides(ranges []*Range) (*Sides, error) {
	text, err := f.Rewritten()
	if err != nil {
		return nil, err
	}
	text = closed(text, f.escape)
	s := &Sides{Ranges: ranges, before: bytes.Count(text, []byte("\n"))}
	var head, copies []string
	var headOf, copiesOf []*Range
	for i, r := range ranges {
		for _, side := range []struct{ text, path, name string }{
			{r.Lower, LowerPath(i), fmt.Sprintf("%s.%d.lower", SidesStage, i)},
			{r.Upper, UpperPath(i), fmt.Sprintf("%s.%d.upper", SidesStage, i)},
		} {
			from, stage := f.side(r, side.text, side.name)
			if stage != "" {
				head, headOf = append(head, stage), append(headOf, r)
			}
			copies, copiesOf = append(copies, "COPY --from="+from+" / "+side.path), append(copiesOf, r)
		}
	}
	added := append(append(head, "FROM scratch AS "+SidesStage), copies...)
	s.origin = append(append(headOf, ranges[0]), copiesOf...)
	s.Text = slices.Concat(text, []byte(strings.Join(added, "\n")+"\n"))
	return s, nil
}

// side says how a side is named in COPY --from, and which stage there has to be
// for that, "" when there need not be one.
func (f *File) side(r *Range, side, name string) (from, stage string) {
	plain, _ := unquote(side)
	if !r.from {
		return plain, ""
	}
	if strings.ContainsAny(plain, `$"'\`) || strings.ContainsRune(plain, f.escape) {
		return name, strings.TrimSpace("FROM "+r.flag) + " " + side + " AS " + name
	}
	// In a FROM only the stages before it have a name; of two that have the
	// same it is the later one.
	for i := r.at - 1; i >= 0; i-- {
		if f.stages[i].name == plain {
			return strconv.Itoa(i), ""
		}
	}
	image := f.image(plain)
	if r.flag != "" {
		return name, "FROM " + r.flag + " " + image + " AS " + name
	}
	return image, ""
}

// image spells an image reference so that no stage has its name.
func (f *File) image(ref string) string {
	if ref == "scratch" {
		return ref
	}
	if named, err := reference.ParseNormalizedNamed(ref); err == nil {
		return named.String()
	}
	return ref
}

// closed ends the text's last instruction, so that what is appended is not a
// part of it.
func closed(text []byte, escape rune) []byte {
	text = bytes.Clone(text)
	if n := len(text); n > 0 && text[n-1] != '\n' {
		text = append(text, '\n')
	}
	result, err := parser.Parse(bytes.NewReader(text))
	if err != nil || len(result.AST.Children) == 0 {
		return text
	}
	last := result.AST.Children[len(result.AST.Children)-1]
	if len(last.Heredocs) > 0 {
		return text
	}
	if j := joinLines(text, lines(text), last.StartLine-1, continuationOf(escape)); j.open >= 0 {
		text[j.open] = ' '
	}
	return text
}

// Origin is the line of the user's text that a line of the sides' text is
// there for: the same, or for an appended line that of its range.
func (s *Sides) Origin(line int) int {
	i := line - s.before - 1
	if i < 0 || len(s.origin) == 0 {
		return line
	}
	return s.origin[min(i, len(s.origin)-1)].Line
}

// StageNames are the names of the stages in their order, "" for one without.
func (f *File) StageNames() []string {
	var out []string
	for _, s := range f.stages {
		out = append(out, s.name)
	}
	return out
}
