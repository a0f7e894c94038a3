// Command generate writes the CLI reference from the commands themselves. Text
// outside the markers of a page is written by hand and stays.
package main

import (
	"fmt"
	"os"
	"strings"

	clidocstool "github.com/docker/cli-docs-tool"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/commands"
)

func main() {
	const pages = "docs/reference"
	if err := generate(pages, pages); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}

// generate brings the pages in source up to date and writes them to target,
// which may be the same directory.
func generate(source, target string) error {
	if err := forgetSettings(); err != nil {
		return err
	}
	dockerCli, err := command.NewDockerCli()
	if err != nil {
		return fmt.Errorf("making the Docker CLI: %w", err)
	}
	relink, err := commands.NewRootCmd("relink", true, dockerCli)
	if err != nil {
		return fmt.Errorf("making the commands: %w", err)
	}
	// The pages are about "docker relink", so there has to be a docker.
	docker := &cobra.Command{Use: "docker", DisableAutoGenTag: true}
	docker.AddCommand(relink)
	tool, err := clidocstool.New(clidocstool.Options{Root: docker, SourceDir: source, TargetDir: target, Plugin: true})
	if err != nil {
		return fmt.Errorf("preparing the reference: %w", err)
	}
	if err := tool.GenMarkdownTree(docker); err != nil {
		return fmt.Errorf("writing the reference: %w", err)
	}
	return nil
}

// forgetSettings takes away the environment variables that change the defaults
// of flags or which of them are shown: the reference is about nobody's machine.
func forgetSettings() error {
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		for _, prefix := range []string{"RELINK_", "BUILDX_", "BUILDKIT_", "DOCKER_"} {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("forgetting %s: %w", name, err)
			}
		}
	}
	return nil
}
