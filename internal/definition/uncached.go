package definition

import (
	"fmt"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// Uncached has every merge and every difference of what ignores the builder's cache
// (--no-cache) ignore it as well. BuildKit looks for their results by the definitions
// of what they are made of, and these are what they were the last time. It changes
// and returns def.
func Uncached(def *pb.Definition) (*pb.Definition, error) {
	uncached := map[string]bool{}
	for dgst, md := range def.GetMetadata() {
		if md.GetIgnoreCache() {
			uncached[dgst] = true
		}
	}
	if len(uncached) == 0 {
		return def, nil
	}
	// What an operation is made of comes before it.
	for _, dt := range def.Def {
		var op pb.Op
		if err := proto.Unmarshal(dt, &op); err != nil {
			return nil, fmt.Errorf("reading an operation: %w", err)
		}
		if op.GetMerge() == nil && op.GetDiff() == nil {
			continue
		}
		dgst := string(digest.FromBytes(dt))
		for _, in := range op.Inputs {
			if uncached[in.Digest] && !uncached[dgst] {
				uncached[dgst] = true
				// Others may have the one that was there.
				md := def.Metadata[dgst].CloneVT()
				md.IgnoreCache = true
				def.Metadata[dgst] = md
			}
		}
	}
	return def, nil
}
