package registry

import (
	"context"
	"io"

	"github.com/moby/buildkit/util/bklog"
	"github.com/sirupsen/logrus"
)

// quiet keeps the resolver from telling the user about requests that fail: that
// a tag is not there yet is no news before it is pushed for the first time, and
// what matters comes back as an error. In debug mode all of it is shown.
func quiet(ctx context.Context) context.Context {
	if logrus.IsLevelEnabled(logrus.DebugLevel) {
		return ctx
	}
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	// BuildKit has replaced containerd's way to find the logger of a context.
	return bklog.WithLogger(ctx, logrus.NewEntry(logger))
}
