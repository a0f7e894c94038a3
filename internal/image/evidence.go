package image

import (
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// instructions are Dockerfile instructions as the history of an image shows
// them: keyword, blank, the rest. BuildKit writes them like that
// (frontend/dockerfile/dockerfile2llb, commitToHistory); the classic builder and
// buildah put "/bin/sh -c #(nop) " before them.
//
// The history tells what the config alone can not: that an image set a value
// which happens to be its base's, or, when the old base is gone, that a value
// came with the base. Entries that are no instructions tell nothing.
type instructions []string

// The shells that the classic builder named on Linux and on Windows.
var nopPrefixes = []string{"/bin/sh -c #(nop)", "cmd /S /C #(nop)", "powershell -Command #(nop)"}

func instructionsOf(history []ocispecs.History) instructions {
	var in instructions
	for _, h := range history {
		s := h.CreatedBy
		for _, prefix := range nopPrefixes {
			s = strings.TrimPrefix(s, prefix)
		}
		in = append(in, strings.TrimSpace(s))
	}
	return in
}

// rests is what stands after the keyword, one for each use.
func (in instructions) rests(keyword string) []string {
	var rests []string
	for _, s := range in {
		if rest, ok := strings.CutPrefix(s, keyword+" "); ok {
			rests = append(rests, strings.TrimSpace(rest))
		}
	}
	return rests
}

// used says whether the instruction stands anywhere.
func (in instructions) used(keyword string) bool {
	return len(in.rests(keyword)) > 0
}

// assigns says whether an ENV or LABEL gives key just this value. Values stand
// unquoted in the history, so "A=1 B=2" may be two variables or one; a wrong
// guess needs a value that spells out another variable of the image with its
// value.
func (in instructions) assigns(keyword, key, value string) bool {
	return in.mentions(keyword, key+"="+value, ' ')
}

// mentions says whether the instruction has token between two of the given
// separators, or at either end.
func (in instructions) mentions(keyword, token string, seps ...byte) bool {
	isSep := func(s string, i int) bool {
		if i < 0 || i >= len(s) {
			return true
		}
		for _, sep := range seps {
			if s[i] == sep {
				return true
			}
		}
		return false
	}
	for _, rest := range in.rests(keyword) {
		for i := 0; i+len(token) <= len(rest); i++ {
			if rest[i:i+len(token)] == token && isSep(rest, i-1) && isSep(rest, i+len(token)) {
				return true
			}
		}
	}
	return false
}

// lastPath is the PATH that the last ENV for it gives, "" if none does.
func (in instructions) lastPath() string {
	last := ""
	for _, rest := range in.rests("ENV") {
		for _, word := range strings.Fields(rest) {
			if v, ok := strings.CutPrefix(word, "PATH="); ok {
				last = v
			}
		}
	}
	return last
}

// evidence is what both parts of an image's history tell about one value.
type evidence struct {
	own  bool // an instruction of the image set it
	base bool // an instruction of the old base set it
}

// history is the instructions of an image, parted at its base.
type history struct {
	own, base, unsure instructions
}

// historyOf parts an image's history. Where the cut is not certain nothing is
// told: no evidence is better than wrong evidence.
func historyOf(in HistoryInput) history {
	cut := cutHistory(in)
	if !cut.exact {
		return history{}
	}
	return history{own: instructionsOf(cut.own), base: instructionsOf(cut.base), unsure: instructionsOf(cut.unsure)}
}

// about asks all parts the same question. An instruction that could be either
// side's proves nothing, and it may have replaced what the base set.
func (h history) about(ask func(instructions) bool) evidence {
	return evidence{own: ask(h.own), base: ask(h.base) && !ask(h.unsure)}
}
