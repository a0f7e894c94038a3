// Package early answers the Docker CLI before the packages are initialised that a
// build needs. The CLI asks each of its plugins what it is whenever it runs one of
// them, and their packages take longer to begin than the answer.
//
// Go initialises a package when those that it imports are. So this one comes early
// only as long as it imports next to nothing; a test of the program holds that.
package early

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/docker/cli/cli-plugins/metadata"

	"github.com/docker-relink/relink/internal/cliplugin"
	"github.com/docker-relink/relink/internal/version"
)

func init() {
	if len(os.Args) == 2 && os.Args[1] == metadata.MetadataSubcommandName {
		os.Exit(answer(os.Stdout, os.Stderr, os.Args[0]))
	}
}

// Metadata is what the Docker CLI asks of a plugin.
func Metadata(p cliplugin.Plugin) metadata.Metadata {
	return metadata.Metadata{
		SchemaVersion:    "0.1.0",
		Vendor:           "docker relink",
		Version:          version.Version,
		ShortDescription: p.Short,
	}
}

// answer tells the Docker CLI what it asks each of its plugins whenever it starts
// one of them, or lists them.
func answer(stdout, stderr io.Writer, file string) (exitCode int) {
	if err := json.NewEncoder(stdout).Encode(Metadata(cliplugin.Of(file))); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
