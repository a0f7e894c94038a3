// Command relink-frontend is the frontend image: BuildKit runs it for a
// Dockerfile that names the image by "# syntax=", or for BUILDKIT_SYNTAX.
package main

import (
	"context"
	"fmt"
	"os"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // BuildKit's gRPC codec

	"github.com/docker-relink/relink/frontend"
)

func main() {
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), build); err != nil {
		fmt.Fprintln(os.Stderr, "relink-frontend:", err)
		os.Exit(1)
	}
}

// build has the builder's own frontend read the Dockerfile. "cmdline" tells
// that one that the syntax line has been followed, or it would come back here.
func build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	opts := c.BuildOpts().Opts
	if _, ok := opts["cmdline"]; !ok {
		opts["cmdline"] = opts["source"]
	}
	f := &frontend.Frontend{Inner: "dockerfile.v0"}
	return f.Build(ctx, c)
}
