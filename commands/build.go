package commands

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command"
	controlapi "github.com/moby/buildkit/api/services/control"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	dockerclient "github.com/moby/moby/client"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/clientfrontend"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/memory"
	"github.com/docker-relink/relink/internal/registry"
	"github.com/docker-relink/relink/progress"
)

// buildOptions are our own flags; every other flag of build is buildx's.
type buildOptions struct {
	link    string
	verify  bool
	explain bool
	format  string
	squash  squashValue
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
		`Build copies independently of the base ("auto", "strict", "always", "never") (default "auto")`)
	stock.Flags().BoolVar(&options.verify, "verify", false, "Read what was inherited from an earlier base, and fail where it is wrong")
	stock.Flags().BoolVar(&options.explain, "explain", false, "Print what would be linked and why, without building")
	stock.Flags().StringVar(&options.format, "format", "text", `Format of --explain ("text", "json")`)
	if err := options.squash.bind(stock.Flags()); err != nil {
		return nil, err
	}
	_ = stock.RegisterFlagCompletionFunc("link", cobra.FixedCompletions(frontend.LinkModes(), cobra.ShellCompDirectiveNoFileComp))

	runStock := stock.RunE
	stock.RunE = func(cmd *cobra.Command, args []string) error {
		if err := options.apply(cmd.Flags()); err != nil {
			return err
		}
		report := &progress.Report{}
		run := func() error { return runStock(cmd, args) }
		if err := runReported(cmd, dockerCli, report, run); err != nil {
			return err
		}
		if file := metadataFile(cmd); file != "" {
			if err := report.AddTo(file); err != nil {
				return err
			}
		}
		switch {
		case options.explain:
			return report.Explain(dockerCli.Out(), options.format)
		case !silent(cmd):
			report.Print(dockerCli.Err())
		}
		return nil
	}
	return stock, nil
}

// runReported runs a command of buildx with our frontend in the client, which
// reports what it did, and looks at what was pushed where that has to be.
func runReported(cmd *cobra.Command, dockerCli command.Cli, report *progress.Report, run func() error) error {
	failed := &failure{}
	end, verify := useFrontend(dockerCli, report, failed, metadataFile(cmd) != "")
	defer end()
	if err := run(); err != nil {
		return withHint(failed.explain(err))
	}
	return verify(cmd.Context())
}

func metadataFile(cmd *cobra.Command) string {
	file, _ := cmd.Flags().GetString("metadata-file")
	return file
}

// withHint says what to do when there is no engine to build with.
func withHint(err error) error {
	if dockerclient.IsErrConnectionFailed(err) {
		return &errdefs.Error{
			Kind: errdefs.Unsupported, Err: err,
			Hint: engineHint(),
		}
	}
	return err
}

// apply turns our flags into the build arguments by which the frontend knows
// them, wherever it runs.
func (o buildOptions) apply(flags *pflag.FlagSet) error {
	if !slices.Contains(progress.ExplainFormats(), o.format) {
		return errdefs.Invalidf("Use one of "+strings.Join(progress.ExplainFormats(), ", ")+".", "invalid format %q", o.format)
	}
	if err := checkBuildArgs(flags); err != nil {
		return err
	}
	var args []string
	if o.link != "" {
		if _, err := frontend.ParseLinkMode(o.link); err != nil {
			return err
		}
		args = append(args, frontend.LinkArg+"="+o.link)
	}
	if o.verify {
		args = append(args, frontend.VerifyArg+"=true")
	}
	if o.squash.mode != frontend.SquashNone {
		args = append(args, frontend.SquashArg+"="+string(o.squash.mode))
	}
	if o.explain {
		args = append(args, frontend.ExplainArg+"=true")
		if err := withoutOutput(flags); err != nil {
			return err
		}
	}
	for _, arg := range args {
		if err := flags.Set("build-arg", arg); err != nil {
			return err
		}
	}
	return nil
}

// withoutOutput takes every output away, so that nothing is exported.
func withoutOutput(flags *pflag.FlagSet) error {
	for _, name := range []string{"push", "load"} {
		if err := flags.Set(name, "false"); err != nil {
			return err
		}
	}
	for name, values := range map[string][]string{"output": {"type=cacheonly"}, "cache-to": {}} {
		list, ok := flags.Lookup(name).Value.(pflag.SliceValue)
		if !ok {
			return errdefs.Internalf("the flag --%s takes no list", name)
		}
		if err := list.Replace(values); err != nil {
			return err
		}
	}
	return nil
}

// checkBuildArgs refuses a bad value of ours before a builder is asked.
func checkBuildArgs(flags *pflag.FlagSet) error {
	args, err := flags.GetStringArray("build-arg")
	if err != nil {
		return err
	}
	for _, arg := range args {
		if mode, ok := strings.CutPrefix(arg, frontend.LinkArg+"="); ok {
			if _, err := frontend.ParseLinkMode(mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// useFrontend makes every builder that is loaded from now on run our frontend
// in the client, and returns the function that ends it, and the one that verifies
// rebases that were pushed. With withRecord, buildx reads the provenance of each build
// in the builder's record of it.
func useFrontend(dockerCli command.Cli, report *progress.Report, failed *failure, withRecord bool) (end func(), verify func(context.Context) error) {
	auth := registryOptions(dockerCli)
	manifests, known := registry.NewReader(auth), registry.NewImages(auth)
	remembering := memoryHere(dockerCli, manifests)
	report.Size, report.Describe, report.Target = manifests.Size, known.Describe, targetsHere(dockerCli)
	rebases := &rebaseReport{}
	host := &clientfrontend.Host{
		Build: func(r clientfrontend.Request) gateway.BuildFunc {
			f := &frontend.Frontend{
				Inner:         r.Frontend,
				Default:       frontend.LinkMode(os.Getenv(frontend.LinkArg)),
				Image:         first(r.Images),
				Images:        known,
				Memory:        remembering(append(r.Caches, r.Images...)),
				Present:       r.Present,
				Lazy:          r.Lazy,
				Reserved:      func(key string) bool { return slices.Contains(r.Annotations, key) },
				ReservedIndex: func(key string) bool { return r.DockerTypes || slices.Contains(r.IndexAnnotations, key) },
				Stored:        r.Stored,
				Unattested:    r.Unattested && !withRecord,
			}
			return failed.watch(func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
				res, err := f.Build(ctx, c)
				if err == nil {
					report.Planned(ctx, res.Metadata)
				}
				return res, err
			})
		},
		Pushed:    rebases.keep,
		Response:  report.Take,
		Hides:     givenUp,
		Leftovers: frontend.Leftovers,
	}
	return host.Install(), func(ctx context.Context) error { return rebases.verify(ctx, known, dockerCli.Err()) }
}

// givenUp says that a warning is of a reading that was given up.
func givenUp(w *controlapi.VertexWarning) bool { return frontend.GivenUp(w.GetInfo()) }

// memoryDir is the folder for a kind of what is remembered on this machine.
func memoryDir(dockerCli command.Cli, what string) string {
	return filepath.Join(buildxDir(dockerCli), "relink", what)
}

// memoryHere gives each build of a command its memory, by the images that it believes.
// They share what this machine remembers. Where the working directory is not known,
// nothing is remembered of Dockerfiles, whose names are relative to it.
func memoryHere(dockerCli command.Cli, manifests memory.Manifests) func(images []string) *memory.Memory {
	shared := memory.Memory{Store: &memory.Store{Dir: memoryDir(dockerCli, "facts")}, Manifests: manifests}
	if here, err := os.Getwd(); err == nil {
		shared.Dockerfiles = memory.Dockerfiles{Dir: memoryDir(dockerCli, "dockerfiles"), At: here}
	}
	return func(images []string) *memory.Memory {
		m := shared
		m.Images = images
		return &m
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// silent says whether the user asked for output that is for programs only.
func silent(cmd *cobra.Command) bool {
	if quiet, _ := cmd.Flags().GetBool("quiet"); quiet {
		return true
	}
	return slices.Contains([]string{"quiet", "none", "rawjson"}, progressMode(cmd.Flags()))
}

// progressMode is how the progress is shown: as the flag says, or else the variable,
// as in buildx.
func progressMode(flags *pflag.FlagSet) string {
	mode, _ := flags.GetString("progress")
	if mode == "auto" {
		return cmp.Or(os.Getenv("BUILDKIT_PROGRESS"), mode)
	}
	return mode
}
