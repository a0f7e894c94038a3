package commands

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/buildx/builder"
	"github.com/docker/buildx/util/dockerutil/dockerconfig"
	"github.com/docker/buildx/util/imagetools"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/clientfrontend"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/registry"
)

// rebaseOptions are our own flags; the rest are those of buildx's build.
type rebaseOptions struct {
	image       string
	onto, from  string
	candidates  []string
	forceLayers int
	skipMissing bool
	dryRun      bool
	check       bool
	format      string
	builder     string // "" where the user names none
	current     string // what counts then
}

// buildFlags are the flags of build that say where the result goes and how it is
// described. Those that are about a Dockerfile's instructions are left out.
var buildFlags = []string{
	"annotation", "attest", "cache-from", "cache-to", "iidfile", "label", "load", "metadata-file", "output",
	"platform", "progress", "provenance", "pull", "push", "quiet", "sbom", "tag",
}

// newRebaseCmd makes the rebase command on the flags and the run of buildx's
// build: a rebase is a build of nothing, which our frontend answers.
func newRebaseCmd(dockerCli command.Cli, stock inner) (*cobra.Command, error) {
	var options rebaseOptions
	cmd := &cobra.Command{
		Use:   "rebase [OPTIONS] IMAGE --onto BASE",
		Short: "Put an image's own layers on a new base",
		Long: `Put the layers that an image added to its base on another base, for every
platform, without building anything and without pulling a layer.`,
		Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.image = args[0]
			if named := cmd.Flag("builder"); named.Changed {
				options.builder = named.Value.String()
			} else {
				options.current = named.Value.String()
			}
			if err := stock.follow(cmd, stock.build); err != nil {
				return err
			}
			return runRebase(dockerCli, options, stock.build)
		},
		DisableFlagsInUseLine: true,
	}
	options.bind(cmd.Flags())
	for _, name := range buildFlags {
		flag := stock.build.Flags().Lookup(name)
		if flag == nil {
			return nil, errdefs.Internalf("buildx's build has no --%s", name)
		}
		cmd.Flags().AddFlag(flag)
	}
	return cmd, nil
}

func (o *rebaseOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.onto, "onto", "", "New base (default with --check: the base that the image names)")
	flags.StringVar(&o.from, "from", "", "Old base (default: found by annotations, provenance or layers)")
	flags.StringArrayVar(&o.candidates, "candidate", nil, "Image that the old base may be, when nothing names it")
	flags.IntVar(&o.forceLayers, "force-layers", -1, "Take this number of layers for the old base's, unchecked")
	flags.Lookup("force-layers").DefValue = ""
	flags.BoolVar(&o.skipMissing, "skip-missing-platforms", false, "Leave out platforms that the new base lacks")
	flags.BoolVar(&o.dryRun, "dry-run", false, "Print what would be done, and do nothing")
	flags.BoolVar(&o.check, "check", false, "Tell whether the image stands on its base's current state (exit code 2: it does not)")
	flags.StringVar(&o.format, "format", "text", `Format of --dry-run and --check ("text", "json")`)
}

func runRebase(dockerCli command.Cli, options rebaseOptions, build *cobra.Command) error {
	if err := options.validate(build.Flags()); err != nil {
		return err
	}
	ours, registries := chosenBuilder(dockerCli, options)
	known := registry.NewImages(registries)
	if s := newStraight(known, options, build.Flags(), ours); s != nil {
		done, err := runStraight(dockerCli, s, build)
		if done || err != nil {
			return err
		}
	}
	return runByBuilder(dockerCli, options, build, known)
}

// embeddedDriver is the driver of the builder in this program, which knows no
// more than the program itself.
const embeddedDriver = "embedded"

// chosenBuilder is the builder that would do the work, nil when the user names
// another than ours, with what it knows of registries. An error comes again when it is used.
func chosenBuilder(dockerCli command.Cli, o rebaseOptions) (*builder.Builder, imagetools.Opt) {
	registries := imagetools.Opt{Auth: dockerconfig.LoadAuthConfig(dockerCli)}
	b, err := builder.New(dockerCli, builder.WithName(cmp.Or(o.builder, o.current)), builder.WithSkippedValidation())
	if err != nil {
		return nil, registries
	}
	if opt, err := b.ImageOpt(); err == nil {
		registries = opt
	}
	if o.builder != "" && b.Driver != embeddedDriver {
		return nil, registries
	}
	return b, registries
}

// runStraight rebases without a builder. What goes wrong there is left to the
// builder, which may know more ways, and has the last word on errors.
func runStraight(dockerCli command.Cli, s *straight, build *cobra.Command) (done bool, _ error) {
	ctx := build.Context()
	report, dgst, err := s.run(ctx)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		logrus.Debugf("rebasing without a builder: %v", err)
		return false, nil
	case silent(build):
		if quiet(build) {
			fmt.Fprintln(dockerCli.Out(), dgst)
		}
		return true, nil
	}
	(&rebaseReport{reports: []frontend.RebaseReport{*report}}).print(dockerCli.Err())
	for _, target := range s.targets {
		fmt.Fprintf(dockerCli.Err(), "rebase: pushed %s@%s, from registry to registry\n", target, dgst)
	}
	return true, nil
}

// quiet says whether the digest is all that is to be printed.
func quiet(cmd *cobra.Command) bool {
	quiet, _ := cmd.Flags().GetBool("quiet")
	mode, _ := cmd.Flags().GetString("progress")
	return quiet || mode == "quiet"
}

func runByBuilder(dockerCli command.Cli, options rebaseOptions, build *cobra.Command, known *registry.Images) error {
	if err := options.apply(build.Flags()); err != nil {
		return err
	}
	dir, err := emptyContext()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	report := &rebaseReport{}
	defer useRebase(known, report)()
	if err := runVerified(build.Context(), build, dir, known, report, dockerCli.Err()); err != nil {
		return report.explain(err)
	}
	if !silent(build) && !options.dryRun && !options.check {
		report.print(dockerCli.Err())
	}
	return nil
}

// validate refuses what cannot be right before a builder is asked.
func (o *rebaseOptions) validate(flags *pflag.FlagSet) error {
	if o.onto == "" && !o.check {
		return errdefs.Invalidf("Name it with --onto.", "there is no new base")
	}
	if o.format != "text" && o.format != "json" {
		return errdefs.Invalidf("Use text or json.", "invalid format %q", o.format)
	}
	if o.dryRun && o.check {
		return errdefs.Invalidf("", "--dry-run and --check can not be used together")
	}
	for _, ref := range []*string{&o.image, &o.onto, &o.from} {
		if *ref == "" {
			continue
		}
		context, err := imageContext(*ref)
		if err != nil {
			return err
		}
		*ref = context
	}
	for _, ref := range o.candidates {
		if _, err := reference.ParseNormalizedNamed(ref); err != nil {
			return errdefs.Invalidf("", "reading the candidate %q: %w", ref, err)
		}
	}
	if o.forceLayers < -1 {
		return errdefs.Invalidf("", "invalid number of layers %d", o.forceLayers)
	}
	return validateTags(flags, o.image, o.dryRun || o.check)
}

// validateTags finds a tag that is the image's own while nothing is to be written
// there; idle says that nothing is to be written at all.
func validateTags(flags *pflag.FlagSet, image string, idle bool) error {
	tags, err := flags.GetStringArray("tag")
	if err != nil {
		return err
	}
	push, load := flags.Changed("push"), flags.Changed("load")
	if push && len(tags) == 0 && !idle {
		return errdefs.Invalidf("Name it with -t; -t "+strings.TrimPrefix(image, imageScheme)+" replaces the image.", "there is no tag to push")
	}
	for _, tag := range tags {
		named, err := reference.ParseNormalizedNamed(tag)
		if err != nil {
			return errdefs.Invalidf("", "reading the tag %q: %w", tag, err)
		}
		same := imageScheme+reference.TagNameOnly(named).String() == image
		if same && !push && !load && !flags.Changed("output") && !idle {
			return errdefs.Invalidf("Add --push, or --load for an image of the Docker Engine.", "%s is the image itself, and it is not to be pushed", tag)
		}
	}
	return nil
}

const imageScheme = "docker-image://"

// imageContext is an image as a build context names it: a reference, or what has
// the form of a build context already.
func imageContext(ref string) (string, error) {
	if strings.Contains(ref, "://") {
		return ref, nil
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", errdefs.Invalidf("", "reading the reference %q: %w", ref, err)
	}
	return imageScheme + reference.TagNameOnly(named).String(), nil
}

// arguments are the build arguments by which the frontend knows our flags,
// wherever it runs.
func (o *rebaseOptions) arguments() []string {
	args := []string{frontend.OpArg + "=" + frontend.OpRebase}
	if len(o.candidates) > 0 {
		args = append(args, frontend.CandidatesArg+"="+strings.Join(o.candidates, ","))
	}
	if o.forceLayers >= 0 {
		args = append(args, frontend.ForceLayersArg+"="+strconv.Itoa(o.forceLayers))
	}
	if o.skipMissing {
		args = append(args, frontend.SkipMissingArg+"=true")
	}
	return args
}

// apply turns our flags into the build contexts and arguments of a build.
func (o *rebaseOptions) apply(flags *pflag.FlagSet) error {
	args := o.arguments()
	if o.dryRun {
		tags, err := flags.GetStringArray("tag")
		if err != nil {
			return err
		}
		args = append(args, frontend.TargetsArg+"="+strings.Join(tags, ","))
	}
	var set [][2]string
	for _, arg := range args {
		set = append(set, [2]string{"build-arg", arg})
	}
	for _, context := range [][2]string{
		{frontend.ImageContext, o.image}, {frontend.OntoContext, o.onto}, {frontend.FromContext, o.from},
	} {
		if context[1] != "" {
			set = append(set, [2]string{"build-context", context[0] + "=" + context[1]})
		}
	}
	if request := o.request(); request != "" {
		if err := withoutOutput(flags); err != nil {
			return err
		}
		set = append(set, [2]string{"call", request + ",format=" + o.format})
	}
	for _, s := range set {
		if err := flags.Set(s[0], s[1]); err != nil {
			return fmt.Errorf("setting --%s %s: %w", s[0], s[1], err)
		}
	}
	return nil
}

// request is what is asked instead of a rebase, "" when one is to be done.
func (o *rebaseOptions) request() string {
	switch {
	case o.dryRun:
		return frontend.PlanRequest
	case o.check:
		return frontend.CheckRequest
	default:
		return ""
	}
}

// emptyContext makes a build context with a Dockerfile that is never read: buildx
// wants one.
func emptyContext() (string, error) {
	dir, err := os.MkdirTemp("", "relink-rebase-")
	if err != nil {
		return "", fmt.Errorf("making an empty build context: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("making an empty build context: %w", err)
	}
	return dir, nil
}

// useRebase makes every builder that is loaded from now on rebase in the client,
// and returns the function that ends it.
func useRebase(known *registry.Images, report *rebaseReport) (end func()) {
	host := &clientfrontend.Host{
		Build: func(r clientfrontend.Request) gateway.BuildFunc {
			f := &frontend.Frontend{
				Inner:         r.Frontend,
				Images:        known,
				Reserved:      func(key string) bool { return slices.Contains(r.Annotations, key) },
				ReservedIndex: func(key string) bool { return r.DockerTypes || slices.Contains(r.IndexAnnotations, key) },
				Stored:        r.Stored,
			}
			return report.watch(f.Build)
		},
		Response:  report.take,
		Leftovers: frontend.Leftovers,
	}
	return host.Install()
}
