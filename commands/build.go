package commands

import (
	"os"
	"strings"

	"github.com/docker/cli/cli/command"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/clientfrontend"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/progress"
)

// buildOptions are our own flags; every other flag of build is buildx's.
type buildOptions struct {
	link string
}

// newBuildCmd extends buildx's build command: the same flags and the same run,
// with the Dockerfile frontend answered in the client.
func newBuildCmd(stock *cobra.Command, dockerCli command.Cli) (*cobra.Command, error) {
	if stock == nil {
		return nil, errdefs.Internalf("buildx has no build command")
	}
	var options buildOptions
	stock.Annotations["aliases"] = "docker relink build, docker relink b"
	stock.Flags().StringVar(&options.link, "link", os.Getenv(frontend.LinkArg),
		`Build copies independently of the base ("auto", "always", "never") (default "auto")`)
	_ = stock.RegisterFlagCompletionFunc("link", cobra.FixedCompletions(frontend.LinkModes(), cobra.ShellCompDirectiveNoFileComp))

	runStock := stock.RunE
	stock.RunE = func(cmd *cobra.Command, args []string) error {
		if err := options.apply(cmd); err != nil {
			return err
		}
		report := progress.NewReport()
		defer useFrontend(report)()
		if err := runStock(cmd, args); err != nil {
			return err
		}
		if !silent(cmd) {
			report.Print(dockerCli.Err())
		}
		return nil
	}
	return stock, nil
}

// apply turns our flags into the build arguments by which the frontend knows
// them, wherever it runs.
func (o buildOptions) apply(cmd *cobra.Command) error {
	if cmd.Flags().Changed("squash") {
		return errdefs.Unsupportedf("Build without --squash.", "--squash is not there yet")
	}
	if o.link == "" {
		return nil
	}
	if _, err := frontend.ParseLinkMode(o.link); err != nil {
		return err
	}
	return cmd.Flags().Set("build-arg", frontend.LinkArg+"="+o.link)
}

// useFrontend makes every builder that is loaded from now on run our frontend
// in the client, and returns the function that ends it.
func useFrontend(report *progress.Report) (end func()) {
	host := &clientfrontend.Host{
		Build:    func(name string) gateway.BuildFunc { return frontend.New(name).Build },
		Response: report.Take,
	}
	return host.Install()
}

// silent says whether the user asked for output that is for programs only.
func silent(cmd *cobra.Command) bool {
	if quiet, _ := cmd.Flags().GetBool("quiet"); quiet {
		return true
	}
	mode, _ := cmd.Flags().GetString("progress")
	if mode == "auto" {
		if env := os.Getenv("BUILDKIT_PROGRESS"); env != "" {
			mode = env
		}
	}
	return strings.Contains("quiet none rawjson", mode)
}
