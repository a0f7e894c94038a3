package frontend

import (
	"context"

	"github.com/docker-relink/relink/internal/skeleton"
)

// Base is what facts are about.
type Base struct {
	// Repository is the image repository that the base comes from, "" when it
	// is not an image as it came.
	Repository string
	// Digest is the image's digest, or that of the head's definition.
	Digest string
	// Platform is the platform of the base.
	Platform string
}

// Remembered are facts that were written down.
type Remembered struct {
	Base  Base
	Facts skeleton.Facts
	// From says where they were, for the report.
	From string
	// Local says that they were written by this machine.
	Local bool
}

// Memory keeps facts from build to build. A frontend that runs where it has
// none has to read the base every time.
type Memory interface {
	// Recall returns what is remembered of the base and of other bases of its
	// repository, the best first, and remarks for the report: about what was
	// found and not used.
	Recall(ctx context.Context, base Base) (facts []Remembered, remarks []string)
	// Keep writes facts down. What cannot be written is forgotten.
	Keep(base Base, facts skeleton.Facts)
	// HadNoRanges says that the Dockerfile of this place was read before, and never
	// had ranges.
	HadNoRanges(dockerfile string) bool
	// KeepRanges writes down whether the Dockerfile of this place has ranges.
	KeepRanges(dockerfile string, has bool)
}

// noMemory forgets everything.
type noMemory struct{}

func (noMemory) Recall(context.Context, Base) ([]Remembered, []string) { return nil, nil }
func (noMemory) Keep(Base, skeleton.Facts)                             {}
func (noMemory) HadNoRanges(string) bool                               { return false }
func (noMemory) KeepRanges(string, bool)                               {}

// known makes one head of what is remembered of a base, and says which memory
// stands for which evidence. strict takes only what this machine read from this
// very base.
func known(base Base, remembered []Remembered, strict bool) (skeleton.Known, map[skeleton.Evidence]*Remembered) {
	k := skeleton.NewKnown()
	from := map[skeleton.Evidence]*Remembered{}
	// The best come first, so they are put over the others.
	for i := len(remembered) - 1; i >= 0; i-- {
		r := remembered[i]
		same := r.Base.Digest == base.Digest
		switch {
		case r.Base.Platform != base.Platform, r.Base.Repository != base.Repository, strict && !r.Local:
		case same && base.Repository != "":
			k.Proved.Add(r.Facts)
			from[skeleton.Proved] = &r
		case strict:
		case same:
			// The same instructions, but another run of them.
			k.Repeated.Add(r.Facts)
			from[skeleton.Inherited] = &r
		case base.Repository != "":
			k.Inherited.Add(r.Facts)
			from[skeleton.Inherited] = &r
		}
	}
	return k, from
}
