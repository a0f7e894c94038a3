//go:build !no_embedded

package plugin

import "github.com/docker-relink/relink/internal/embedded"

// child does what the program was run again for by itself.
func child() (code int, ok bool) { return embedded.Child() }
