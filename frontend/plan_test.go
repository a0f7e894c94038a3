package frontend

import (
	"slices"
	"testing"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	capspb "github.com/moby/buildkit/util/apicaps/pb"

	"github.com/docker-relink/relink/internal/skeleton"
)

// capable is a builder of which only the capabilities are known.
type capable struct {
	gateway.Client
	caps apicaps.CapSet
}

func (c capable) BuildOpts() gateway.BuildOpts { return gateway.BuildOpts{LLBCaps: c.caps} }

func builderWithout(lacks ...apicaps.CapID) capable {
	all := slices.DeleteFunc(pb.Caps.All(), func(c *capspb.APICap) bool {
		return slices.Contains(lacks, apicaps.CapID(c.ID))
	})
	return capable{caps: pb.Caps.CapSet(all)}
}

// A builder older than BuildKit v0.17 cannot make a symbolic link, and a
// skeleton without one that the base has would be wrong.
func TestLinksTakeABuilderThatMakesThem(t *testing.T) {
	for name, c := range map[string]struct {
		builder capable
		path    string
		linked  int
	}{
		"a link, a new builder":  {builderWithout(), "/bin/x", 1},
		"a link, an old builder": {builderWithout(pb.CapFileSymlinkCreate), "/bin/x", 0},
		"no link, an old one":    {builderWithout(pb.CapFileSymlinkCreate), "/usr/bin/x", 1},
	} {
		t.Run(name, func(t *testing.T) {
			head := skeleton.NewKnown()
			head.Proved.Paths["/usr"] = skeleton.Entry{Kind: skeleton.Dir, Mode: 0o755}
			head.Proved.Paths["/usr/bin"] = skeleton.Entry{Kind: skeleton.Dir, Mode: 0o755}
			head.Proved.Paths["/usr/bin/x"] = skeleton.Entry{}
			head.Proved.Paths["/bin"] = skeleton.Entry{Kind: skeleton.Symlink, Target: "usr/bin"}
			survey := skeleton.NewSurvey(head)
			if _, _, err := survey.Resolve(t.Context(), c.path); err != nil {
				t.Fatal(err)
			}
			p := &plan{c: c.builder, facts: survey.Facts(), linked: 1, steps: []step{{Instruction: Instruction{Linked: true, Evidence: "proved"}}}}
			p.leaveWhatCannotBeMade()
			left := p.steps[0].Instruction
			if p.linked != c.linked || left.Linked != (c.linked == 1) || (left.Reason == "") != left.Linked || (left.Evidence == "") == left.Linked {
				t.Errorf("%d linked, %+v", p.linked, left)
			}
		})
	}
}
