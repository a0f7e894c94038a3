//go:build no_embedded

package plugin

// This program was built without the embedded builder, and is never its child.
func child() (code int, ok bool) { return 0, false }
