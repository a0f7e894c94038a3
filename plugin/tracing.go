package plugin

import (
	"github.com/moby/buildkit/util/tracing/detect"
	"go.opentelemetry.io/otel"

	// Traces go on from the process that started this one, as in buildx.
	_ "github.com/moby/buildkit/util/tracing/childprocess"
)

// setUpTracing names the program in its traces, and keeps to itself what goes
// wrong with them: a builder too old to take them is not the user's concern,
// and the output of a quiet build least of all.
func setUpTracing() {
	detect.ServiceName = "relink"
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
}
