package commands

import (
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/progress"
)

// newBakeCmd extends buildx's bake command: the same files, flags and run, with
// the Dockerfile frontend of every target answered in the client. What a target
// chooses, it chooses by its arguments.
func newBakeCmd(stock *cobra.Command, dockerCli command.Cli) (*cobra.Command, error) {
	if stock == nil {
		return nil, errdefs.Internalf("buildx has no bake command")
	}
	var link string
	stock.Flags().StringVar(&link, "link", "",
		`Build copies of every target independently of the base ("auto", "strict", "always", "never")`)
	_ = stock.RegisterFlagCompletionFunc("link", cobra.FixedCompletions(frontend.LinkModes(), cobra.ShellCompDirectiveNoFileComp))

	runStock := stock.RunE
	stock.RunE = func(cmd *cobra.Command, args []string) error {
		if link != "" {
			if _, err := frontend.ParseLinkMode(link); err != nil {
				return err
			}
			if err := cmd.Flags().Set("set", "*.args."+frontend.LinkArg+"="+link); err != nil {
				return err
			}
		}
		report := &progress.Report{}
		run := func() error { return runStock(cmd, args) }
		if err := runReported(cmd, dockerCli, report, run); err != nil {
			return err
		}
		if !silent(cmd) {
			report.Print(dockerCli.Err())
		}
		return nil
	}
	return stock, nil
}
