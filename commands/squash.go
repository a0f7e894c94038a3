package commands

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/errdefs"
)

// squashOptions are our own flags; the rest are those of build.
type squashOptions struct {
	keepBase, all bool
	base          string
	candidates    []string
	fromLayer     int
	stage         string
	dryRun        bool
	format        string
}

// newSquashCmd makes the squash command on the flags and the run of our build: a
// build context is built with --squash, and an image is a build of nothing, which
// our frontend answers.
func newSquashCmd(dockerCli *command.DockerCli) (*cobra.Command, error) {
	stock, err := newInner(dockerCli)
	if err != nil {
		return nil, err
	}
	build, err := newBuildCmd(stock.build, dockerCli)
	if err != nil {
		return nil, err
	}
	var options squashOptions
	cmd := &cobra.Command{
		Use:   "squash [OPTIONS] IMAGE | PATH | URL | -",
		Short: "Make one layer of what an image adds to its base",
		Long: `Make one layer of the layers that an image, or a build, adds to its base. The base's
layers stay as they are.

An argument that is ".", begins with "./", "../" or "/", is "-" or a URL is a build
context; anything else is an image.`,
		Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := stock.follow(cmd, build); err != nil {
				return err
			}
			return runSquash(options, args[0], cmd.Flags(), build)
		},
		DisableFlagsInUseLine: true,
	}
	options.bind(cmd.Flags())
	lendFlags(cmd, build, notForSquash)
	return cmd, nil
}

// notForSquash are the flags of build that squash has another of, or that are for
// something else than an image.
var notForSquash = []string{"squash", "format", "explain", "call", "check", "print", "help"}

func (o *squashOptions) bind(flags *pflag.FlagSet) {
	flags.BoolVar(&o.keepBase, "keep-base", false, "Keep the base's layers (the default)")
	flags.BoolVar(&o.all, "all", false, "Make one layer in all")
	flags.StringVar(&o.base, "base", "", "Base of the image (default: found by annotations or provenance)")
	flags.StringArrayVar(&o.candidates, "candidate", nil, "Image that the base may be, when nothing names it")
	flags.IntVar(&o.fromLayer, "from-layer", 0, "Squash the image's layers from this one on; the lowest is 1")
	flags.Lookup("from-layer").DefValue = ""
	flags.StringVar(&o.stage, "stage", "", "Squash what a build adds to this stage")
	flags.BoolVar(&o.dryRun, "dry-run", false, "Print what would be squashed, and do nothing")
	flags.StringVar(&o.format, "format", "text", `Format of --dry-run ("text", "json")`)
}

func runSquash(options squashOptions, arg string, given *pflag.FlagSet, build *cobra.Command) error {
	if err := options.validate(given); err != nil {
		return err
	}
	flags := build.Flags()
	if options.dryRun {
		if err := withoutOutput(flags); err != nil {
			return err
		}
		if err := flags.Set("call", frontend.PlanRequest+",format="+options.format); err != nil {
			return err
		}
	}
	if isContext(arg) {
		if err := options.applyToBuild(given, flags); err != nil {
			return err
		}
		return build.RunE(build, []string{arg})
	}
	if err := options.applyToImage(arg, given, flags); err != nil {
		return err
	}
	dir, err := emptyContext()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return orDirectory(build.RunE(build, []string{dir}), arg)
}

// orDirectory gives an error about an image a hint where there is a directory of
// that name.
func orDirectory(err error, arg string) error {
	info, statErr := os.Stat(arg)
	if err == nil || statErr != nil || !info.IsDir() {
		return err
	}
	return &errdefs.Error{Kind: errdefs.Invalid, Err: err, Hint: fmt.Sprintf("%s is taken for an image. If you mean the directory, write ./%s.", arg, arg)}
}

// isContext says whether the argument is a build context and not an image.
func isContext(arg string) bool {
	if arg == "." || arg == ".." || arg == "-" {
		return true
	}
	return slices.ContainsFunc([]string{"./", "../", "/", "http://", "https://", "git://", "git@", "ssh://", "github.com/"}, func(prefix string) bool {
		return strings.HasPrefix(arg, prefix)
	})
}

// validate refuses what cannot be right before a builder is asked.
func (o *squashOptions) validate(given *pflag.FlagSet) error {
	if o.format != "text" && o.format != "json" {
		return errdefs.Invalidf("Use text or json.", "invalid format %q", o.format)
	}
	var what []string
	for _, name := range []string{"keep-base", "all", "from-layer", "stage"} {
		if given.Changed(name) {
			what = append(what, "--"+name)
		}
	}
	if len(what) > 1 {
		return errdefs.Invalidf("", "%s can not be used together", strings.Join(what, " and "))
	}
	if given.Changed("from-layer") && o.fromLayer < 1 {
		return errdefs.Invalidf("The lowest layer is 1.", "invalid layer %d", o.fromLayer)
	}
	if o.all && o.base != "" {
		return errdefs.Invalidf("Leave out one of them.", "--all keeps no base, so --base says nothing")
	}
	for _, ref := range o.candidates {
		if _, err := reference.ParseNormalizedNamed(ref); err != nil {
			return errdefs.Invalidf("", "reading the candidate %q: %w", ref, err)
		}
	}
	return nil
}

// applyToBuild turns our flags into those of a build.
func (o *squashOptions) applyToBuild(given, flags *pflag.FlagSet) error {
	for _, name := range []string{"base", "candidate", "from-layer"} {
		if given.Changed(name) {
			return errdefs.Invalidf("The base of a build is the image that its Dockerfile begins with; --stage NAME keeps a stage's layers.",
				"--%s is for an image, and there is a build context", name)
		}
	}
	mode := string(frontend.SquashBase)
	switch {
	case o.all:
		mode = string(frontend.SquashAll)
	case given.Changed("stage"):
		if mode = o.stage; mode == "" {
			return errdefs.Invalidf("", "the stage has no name")
		}
	}
	return flags.Set("squash", mode)
}

// forBuilds are the flags of build that say nothing about an image.
var forBuilds = []string{
	"add-host", "allow", "build-arg", "build-context", "cgroup-parent", "file", "link", "network", "no-cache-filter",
	"secret", "shm-size", "ssh", "target", "ulimit", "verify",
}

// applyToImage turns our flags into the build contexts and arguments by which the
// frontend knows them, wherever it runs.
func (o *squashOptions) applyToImage(arg string, given, flags *pflag.FlagSet) error {
	for _, name := range append([]string{"stage"}, forBuilds...) {
		if given.Changed(name) {
			return errdefs.Invalidf("A directory begins with ./ or /.", "--%s is for a build context, and %s is an image", name, arg)
		}
	}
	image, err := imageContext(arg)
	if err != nil {
		return err
	}
	if err := validateTags(flags, image, o.dryRun); err != nil {
		return err
	}
	set := [][2]string{
		{"build-arg", frontend.OpArg + "=" + frontend.OpSquash},
		{"build-context", frontend.ImageContext + "=" + image},
	}
	if o.base != "" {
		base, err := imageContext(o.base)
		if err != nil {
			return err
		}
		set = append(set, [2]string{"build-context", frontend.BaseContext + "=" + base})
	}
	if o.all {
		set = append(set, [2]string{"build-arg", frontend.SquashArg + "=" + string(frontend.SquashAll)})
	}
	if o.fromLayer > 0 {
		set = append(set, [2]string{"build-arg", frontend.FromLayerArg + "=" + strconv.Itoa(o.fromLayer)})
	}
	if len(o.candidates) > 0 {
		set = append(set, [2]string{"build-arg", frontend.CandidatesArg + "=" + strings.Join(o.candidates, ",")})
	}
	for _, s := range set {
		if err := flags.Set(s[0], s[1]); err != nil {
			return fmt.Errorf("setting --%s %s: %w", s[0], s[1], err)
		}
	}
	return nil
}
