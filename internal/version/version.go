// Package version holds what the linker writes into the binary about itself.
package version

var (
	// Package is the import path of the project.
	Package = "github.com/docker-relink/relink"
	// Version is the released version, or a description of the commit.
	Version = "v0.0.0+unknown"
	// Revision is the commit that the binary was built from.
	Revision = ""
)
