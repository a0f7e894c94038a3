package commands

import (
	"context"
	"errors"
	"sync"

	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/docker-relink/relink/internal/errdefs"
)

// failure keeps the error of a frontend that ran in the client: the kind and the
// hint of a typed error do not come through the builder's connection.
type failure struct {
	mu  sync.Mutex
	err error
}

// watch keeps the error of the build.
func (f *failure) watch(build gateway.BuildFunc) gateway.BuildFunc {
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		res, err := build(ctx, c)
		if err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.err = err
		}
		return res, err
	}
}

// reset forgets the error, for another try.
func (f *failure) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = nil
}

// cause is the frontend's own error, nil when it had none.
func (f *failure) cause() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// explain gives the error of a whole run what the frontend knows besides.
func (f *failure) explain(err error) error {
	cause := f.cause()
	var typed *errdefs.Error
	if !errors.As(cause, &typed) {
		return err
	}
	return &errdefs.Error{Kind: typed.Kind, Err: err, Hint: errdefs.Hint(cause)}
}
