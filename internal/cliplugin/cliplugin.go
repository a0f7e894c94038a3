// Package cliplugin names the plugins that the program is to the Docker CLI.
package cliplugin

import "strings"

// Plugin is what the Docker CLI shows of a plugin.
type Plugin struct {
	// Name is the word after "docker".
	Name string
	// Short is its line in "docker help".
	Short string
}

// The plugins.
var (
	Relink    = Plugin{"relink", "Build images whose layers do not depend on the base"}
	DiffBuild = Plugin{"diffbuild", "Show or build the difference of two images, stages or builds"}
)

// Of says which plugin the program is by the name of its file. The one that is
// diff-build alone may be on the PATH under the name that people type; the Docker
// CLI takes no plugin with a hyphen in its name.
func Of(file string) Plugin {
	// Not filepath.Base: package early has to do without that package.
	base := file[strings.LastIndexAny(file, `/\`)+1:]
	switch strings.TrimSuffix(base, ".exe") {
	case "docker-" + DiffBuild.Name, "docker-diff-build":
		return DiffBuild
	default:
		return Relink
	}
}
