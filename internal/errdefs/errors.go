// Package errdefs is the project's typed error: a kind to decide by, a cause,
// and a hint that tells the user what to do.
package errdefs

import (
	"errors"
	"fmt"
)

// Kind says whose move it is when an error occurs.
type Kind int

const (
	// Invalid is input that cannot be right whatever the builder says.
	Invalid Kind = iota + 1
	// Unsupported is a request that this builder or this version cannot do.
	Unsupported
	// Internal is a broken expectation of ours.
	Internal
)

// Error is an error with a kind and, when there is something to do, a hint.
type Error struct {
	Kind Kind
	Err  error
	Hint string
}

// Error returns the cause's text: the hint is printed on a line of its own.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Invalidf makes an error for bad input; hint may be empty.
func Invalidf(hint, format string, args ...any) error {
	return &Error{Kind: Invalid, Err: fmt.Errorf(format, args...), Hint: hint}
}

// Unsupportedf makes an error for what cannot be done here; hint may be empty.
func Unsupportedf(hint, format string, args ...any) error {
	return &Error{Kind: Unsupported, Err: fmt.Errorf(format, args...), Hint: hint}
}

// Internalf makes an error for a broken expectation of ours.
func Internalf(format string, args ...any) error {
	return &Error{Kind: Internal, Err: fmt.Errorf(format, args...)}
}

// Hint returns the hint of the first error in the chain that has one.
func Hint(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// Is says whether an error of the kind is in the chain.
func Is(err error, kind Kind) bool {
	var e *Error
	for errors.As(err, &e) {
		if e.Kind == kind {
			return true
		}
		err = e.Err
	}
	return false
}

// WithExitCode gives an error an exit code of its own.
func WithExitCode(err error, code int) error { return &exitError{err, code} }

// ExitCode is the exit code of an error that has one of its own; ok is false for
// others.
func ExitCode(err error) (code int, ok bool) {
	var e *exitError
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.code, true
}

type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }
