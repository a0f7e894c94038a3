package commands

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/buildx/util/cobrautil"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/cliplugin"
	"github.com/docker-relink/relink/internal/errdefs"
)

// diffOptions are our own flags; the rest are those of buildx's build.
type diffOptions struct {
	sides     diffSides
	format    string
	tree      bool
	stat      bool
	config    bool
	content   string
	exact     bool
	exitCode  bool
	noPager   bool
	flatten   bool
	deletions string
	bakeFiles []string
}

// notOfDiff are the flags of build that a difference has no use for.
var notOfDiff = []string{"call", "check", "sbom"}

// newDiffBuildCmd makes the diff-build command on the flags and the run of
// buildx's build: a difference is a build, which our frontend answers.
func newDiffBuildCmd(dockerCli command.Cli, stock inner) *cobra.Command {
	var options diffOptions
	cmd := &cobra.Command{
		Use:     "diff-build [OPTIONS] [LOWER..UPPER] [PATH]",
		Aliases: []string{"diffbuild"},
		Short:   cliplugin.DiffBuild.Short,
		Long: `List what the upper side has other than the lower one, or, with an output,
build an image of just that. A side is a stage of the Dockerfile in PATH, an
image, an OCI layout (oci-layout://dir[:tag]), a target of a bake file that is
given, or "." for the target of PATH.
Without a lower side it is the upper side's own base, and without an upper side
it is the target.`,
		Args: cli.RequiresMaxArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := stock.follow(cmd, stock.build); err != nil {
				return err
			}
			return options.exit(options.run(&diffRun{dockerCli: dockerCli, build: stock.build, bake: stock.bake}, args))
		},
		DisableFlagsInUseLine: true,
	}
	options.bind(cmd.Flags())
	lendFlags(cmd, stock.build, notOfDiff)
	return cmd
}

func (o *diffOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.format, "format", "list", `Format of the list ("list", "table", "json", or a Go template)`)
	flags.BoolVar(&o.tree, "tree", false, "Show the list as a tree with sizes")
	flags.BoolVar(&o.stat, "stat", false, "Show sums by directory in place of the list")
	flags.BoolVar(&o.config, "config", false, "Show the difference of the image configs")
	flags.StringVar(&o.content, "content", "", "Show the difference of the text file at this path")
	flags.BoolVar(&o.exact, "exact", false, "Pull layers that both sides share where only these say whether a file is new")
	flags.BoolVar(&o.exitCode, "exit-code", false, "Exit with 1 when there is a difference, and with 2 when there is trouble")
	flags.BoolVar(&o.noPager, "no-pager", false, "Do not show a long list in a pager")
	flags.BoolVar(&o.flatten, "flatten", false, "Build the difference as one layer")
	flags.StringArrayVar(&o.bakeFiles, "bake-file", nil, "Bake file whose targets can be sides")
	flags.StringVar(&o.deletions, "deletions", "", "Write the paths that are deleted into this file")
}

// exit gives a run the exit code that the user asked for.
func (o *diffOptions) exit(err error) error {
	var code cobrautil.ExitCodeError
	if !o.exitCode || err == nil || errors.As(err, &code) {
		return err
	}
	return errdefs.WithExitCode(err, 2)
}

func (o *diffOptions) run(d *diffRun, args []string) (err error) {
	flags := d.build.Flags()
	if o.sides, err = readDiffArgs(args); err != nil {
		return err
	}
	output, err := hasOutput(flags)
	if err != nil {
		return err
	}
	if err := o.validate(output); err != nil {
		return err
	}
	if len(o.bakeFiles) > 0 {
		if d.targets, err = bakeTargets(o.bakeFiles); err != nil {
			return err
		}
	}
	if err := o.sides.apply(flags, d.targets); err != nil {
		return err
	}
	if err := flags.Set("build-arg", frontend.OpArg+"="+frontend.OpDiff); err != nil {
		return err
	}
	file, _ := flags.GetString("file")
	dir, done, err := o.sides.context(file)
	if err != nil {
		return err
	}
	defer done()
	d.diffOptions, d.context = *o, dir
	if output {
		return d.output()
	}
	return d.list()
}

// validate refuses what cannot be right before a builder is asked.
func (o *diffOptions) validate(output bool) error {
	views := 0
	for _, chosen := range []bool{o.tree, o.stat, o.config, o.content != ""} {
		if chosen {
			views++
		}
	}
	switch {
	case views > 1:
		return errdefs.Invalidf("Choose one of --tree, --stat, --config and --content.", "there is more than one way to show the difference")
	case output && (views > 0 || o.exitCode):
		return errdefs.Invalidf("Leave out the output to see the difference.", "the difference is to be built, not to be shown")
	case !output && o.flatten:
		return errdefs.Invalidf("Name an output, such as -o dir, --push or --load.", "--flatten is about how the difference is built")
	case slices.Contains(o.bakeFiles, "-"):
		return errdefs.Invalidf("Write it to a file.", "a bake file for a difference can not come from stdin")
	case o.format == "":
		return errdefs.Invalidf("Use list, table, json, or a Go template.", "the format is empty")
	case !strings.Contains(o.format, "{{") && !slices.Contains([]string{"list", "table", "json"}, o.format):
		return errdefs.Invalidf("Use list, table, json, or a Go template.", "invalid format %q", o.format)
	case o.tree && o.format != "list", o.content != "" && o.format != "list":
		return errdefs.Invalidf("Leave out --format.", "a tree and a file's content have one format only")
	}
	return nil
}

// hasOutput says whether the user wants the difference built.
func hasOutput(flags *pflag.FlagSet) (bool, error) {
	for _, name := range []string{"push", "load"} {
		if on, err := flags.GetBool(name); err != nil || on {
			return on, err
		}
	}
	outputs, err := flags.GetStringArray("output")
	if err != nil {
		return false, err
	}
	tags, err := flags.GetStringArray("tag")
	if err != nil {
		return false, err
	}
	return len(outputs) > 0 || len(tags) > 0, nil
}

// diffRun is one run of the command.
type diffRun struct {
	diffOptions
	dockerCli   command.Cli
	build, bake *cobra.Command
	context     string
	targets     []string // those of the bake files
}

// output builds the difference, and lists what it deletes where that is asked
// for.
func (d *diffRun) output() error {
	if d.flatten {
		if err := d.build.Flags().Set("build-arg", frontend.FlattenArg+"=true"); err != nil {
			return err
		}
	}
	report, err := d.request()
	if err != nil {
		return err
	}
	if !silent(d.build) {
		report.notes(d.dockerCli.Err())
	}
	if d.deletions == "" {
		return nil
	}
	return d.inParts(frontend.DiffOwnParts, func(parts *diffParts) error { return d.writeDeletions(parts) })
}

// list shows the difference.
func (d *diffRun) list() error {
	if d.config {
		return d.showConfigs()
	}
	wanted := frontend.DiffOwnParts
	if d.exact {
		wanted = frontend.DiffAllParts
	}
	if d.content != "" {
		return d.showContent(wanted)
	}
	return d.inParts(wanted, func(parts *diffParts) error {
		if d.deletions != "" {
			if err := d.writeDeletions(parts); err != nil {
				return err
			}
		}
		return d.show(parts)
	})
}

// inParts has the builder give out what the list is made from, and f use it.
func (d *diffRun) inParts(wanted string, f func(*diffParts) error) error {
	dir, err := os.MkdirTemp("", "relink-diff-")
	if err != nil {
		return fmt.Errorf("making a directory for the layers: %w", err)
	}
	defer os.RemoveAll(dir)
	parts := &diffParts{layout: filepath.Join(dir, "layout"), tar: filepath.Join(dir, "trees.tar"), known: d.knownLayers()}
	report, err := d.requestParts(wanted, "type=oci,tar=false,dest="+parts.layout)
	if errors.Is(err, errNoLayout) {
		report, err = d.requestParts(wanted, "type=tar,dest="+parts.tar)
	}
	if err != nil {
		return err
	}
	parts.report = report
	return f(parts)
}

// different is the exit code for a difference, where it was asked for.
func (d *diffRun) different(is bool) error {
	if d.exitCode && is {
		return cobrautil.ExitCodeError(1)
	}
	return nil
}
