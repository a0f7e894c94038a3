// Command docker-relink is the Docker CLI plugin; it also runs on its own.
package main

import (
	"os"

	"github.com/docker-relink/relink/plugin"
)

func main() { os.Exit(plugin.Main()) }
