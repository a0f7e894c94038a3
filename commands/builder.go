//go:build !no_embedded

package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/docker/buildx/util/confutil"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/docker-relink/relink/internal/embedded"
	"github.com/docker-relink/relink/internal/errdefs"
)

// addBuilderCmd adds the commands about the embedded builder itself. The other
// commands start it when they need it.
func addBuilderCmd(root *cobra.Command, dockerCli command.Cli, stock inner) {
	cmd := &cobra.Command{
		Use:                   "builder",
		Short:                 "Look after the embedded builder",
		Long:                  "Look after the builder that is part of this program. Commands that need it start it.",
		Args:                  cli.NoArgs,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		DisableFlagsInUseLine: true,
	}
	cmd.AddCommand(
		newBuilderStatusCmd(dockerCli), newBuilderStartCmd(dockerCli), newBuilderStopCmd(),
		newBuilderPruneCmd(dockerCli, stock), newBuilderRmCmd(dockerCli), newBuilderLogsCmd(dockerCli),
	)
	root.AddCommand(cmd)
}

// builderStatus is what there is to say about the builder, as programs read it.
type builderStatus struct {
	Mode      embedded.Mode    `json:"mode"`
	Socket    string           `json:"socket"`
	State     string           `json:"state"`
	Size      int64            `json:"size"`
	Running   *embedded.Record `json:"running,omitempty"`
	Abilities []builderAbility `json:"abilities"`
}

type builderAbility struct {
	What string `json:"what"`
	Can  bool   `json:"can"`
	Why  string `json:"why,omitempty"`
	Hint string `json:"hint,omitempty"`
}

func newBuilderStatusCmd(dockerCli command.Cli) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status [OPTIONS]",
		Short: "Tell what the embedded builder is and what it can do on this machine",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return errdefs.Invalidf("Use text or json.", "invalid format %q", format)
			}
			return runBuilderStatus(cmd, dockerCli, format)
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVar(&format, "format", "text", `Format ("text", "json")`)
	return cmd
}

func runBuilderStatus(cmd *cobra.Command, dockerCli command.Cli, format string) error {
	place, err := embedded.FindPlace()
	if err != nil {
		return err
	}
	running, err := place.Running()
	if err != nil {
		return err
	}
	mode, abilities := embedded.Probe(cmd.Context())
	status := builderStatus{Mode: mode, Socket: place.Socket(), State: place.Dir, Size: place.Size(), Running: running}
	for _, a := range abilities {
		ability := builderAbility{What: a.What, Can: a.Err == nil, Hint: errdefs.Hint(a.Err)}
		if a.Err != nil {
			ability.Why = a.Err.Error()
		}
		status.Abilities = append(status.Abilities, ability)
	}
	if format == "json" {
		encoder := json.NewEncoder(dockerCli.Out())
		encoder.SetIndent("", "  ")
		return encoder.Encode(status)
	}
	return status.print(dockerCli.Out())
}

func (s builderStatus) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Mode:\t%s\nSocket:\t%s\nState:\t%s\nSize:\t%s\n", s.Mode, s.Socket, s.State, units.HumanSize(float64(s.Size)))
	switch {
	case s.Running == nil:
		fmt.Fprintf(w, "Running:\tno\n")
	case s.Running.PID == 0:
		fmt.Fprintf(w, "Running:\tstarting\n")
	default:
		fmt.Fprintf(w, "Running:\tprocess %d since %s\nVersion:\t%s\nLeaves:\t%s\n",
			s.Running.PID, s.Running.Started.Format("2006-01-02 15:04:05"), s.Running.Version, s.Running.Leaves())
	}
	for _, a := range s.Abilities {
		if a.Can {
			fmt.Fprintf(w, "Can:\t%s\n", a.What)
			continue
		}
		fmt.Fprintf(w, "Cannot:\t%s\n\t%s\n", a.What, a.Why)
		if a.Hint != "" {
			fmt.Fprintf(w, "\t%s\n", a.Hint)
		}
	}
	return w.Flush()
}

func newBuilderStartCmd(dockerCli command.Cli) *cobra.Command {
	var share string
	cmd := &cobra.Command{
		Use:   "start [OPTIONS]",
		Short: "Start the embedded builder's daemon",
		Long: `Start the embedded builder's daemon. Commands do so when they need it; one that
is started for stock buildx (--share) stays until it is stopped.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBuilderStart(cmd, dockerCli, share)
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVar(&share, "share", "", "Let stock buildx use it, as a builder of this name")
	return cmd
}

func runBuilderStart(cmd *cobra.Command, dockerCli command.Cli, share string) error {
	if off, err := embedded.Off(); err != nil || off {
		return errors.Join(err, errdefs.Unsupportedf("Unset it.", "the embedded builder is switched off by %s=never", embedded.SwitchVar))
	}
	place, err := embedded.FindPlace()
	if err != nil {
		return err
	}
	settings, err := embedded.ReadSettings(confutil.NewConfig(dockerCli))
	if err != nil {
		return err
	}
	settings.Stay = share != ""
	if share != "" {
		if err := embedded.Share(dockerCli, place, share); err != nil {
			return err
		}
	}
	c, err := embedded.Connect(cmd.Context(), place, settings)
	if err != nil {
		return err
	}
	fmt.Fprintln(dockerCli.Out(), place.Endpoint())
	return c.Close()
}

func newBuilderStopCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "stop [OPTIONS]",
		Short: "Stop the embedded builder's daemon when its builds have ended",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			place, err := embedded.FindPlace()
			if err != nil {
				return err
			}
			return embedded.Stop(cmd.Context(), place, force)
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not wait for builds")
	return cmd
}

// newBuilderPruneCmd is buildx's own command, on this builder.
func newBuilderPruneCmd(dockerCli command.Cli, stock inner) *cobra.Command {
	prune := stock.prune
	run := prune.RunE
	prune.Short = "Remove the embedded builder's cache"
	prune.Annotations = nil
	prune.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if other := cmd.Flag("builder"); other.Changed && other.Value.String() != embedded.Name {
			return errdefs.Invalidf(fmt.Sprintf("For that one: docker buildx prune --builder %s", other.Value),
				"builder %q is not the embedded one, which alone is pruned here", other.Value)
		}
		end, err := useEmbedded(dockerCli, false, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end()) }()
		if err := stock.PersistentFlags().Set("builder", embedded.Name); err != nil {
			return err
		}
		return run(cmd, args)
	}
	return prune
}

func newBuilderRmCmd(dockerCli command.Cli) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm [OPTIONS]",
		Short: "Stop the embedded builder and remove all that it keeps",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			place, err := embedded.FindPlace()
			if err != nil {
				return err
			}
			return errors.Join(embedded.Remove(cmd.Context(), place, force), embedded.Unshare(dockerCli, place))
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not wait for builds")
	return cmd
}

func newBuilderLogsCmd(dockerCli command.Cli) *cobra.Command {
	return &cobra.Command{
		Use:   "logs",
		Short: "Print what the embedded builder's daemon said",
		Args:  cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			place, err := embedded.FindPlace()
			if err != nil {
				return err
			}
			log, err := os.Open(place.Log())
			if errors.Is(err, fs.ErrNotExist) {
				return nil // It has said nothing yet.
			}
			if err != nil {
				return fmt.Errorf("reading the log: %w", err)
			}
			defer log.Close()
			_, err = io.Copy(dockerCli.Out(), log)
			return err
		},
		DisableFlagsInUseLine: true,
	}
}
