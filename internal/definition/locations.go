package definition

import (
	"bytes"

	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/proto"
)

// OneLocation takes away the locations that an operation has more than once, as
// states have that were put together from definitions which share it: an error
// would show the same lines as often. It changes and returns def.
func OneLocation(def *pb.Definition) *pb.Definition {
	for _, locs := range def.GetSource().GetLocations() {
		var kept []*pb.Location
		for _, l := range locs.Locations {
			if !hasLocation(def.Source.Infos, kept, l) {
				kept = append(kept, l)
			}
		}
		locs.Locations = kept
	}
	return def
}

func hasLocation(infos []*pb.SourceInfo, in []*pb.Location, l *pb.Location) bool {
	for _, have := range in {
		a, b := infos[have.SourceIndex], infos[l.SourceIndex]
		if a.Filename != b.Filename || !bytes.Equal(a.Data, b.Data) {
			continue
		}
		if proto.Equal(&pb.Location{Ranges: have.Ranges}, &pb.Location{Ranges: l.Ranges}) {
			return true
		}
	}
	return false
}
