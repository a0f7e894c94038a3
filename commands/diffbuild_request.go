package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/docker/buildx/driver"
	controlapi "github.com/moby/buildkit/api/services/control"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"

	"github.com/docker-relink/relink/frontend"
	"github.com/docker-relink/relink/internal/clientfrontend"
	"github.com/docker-relink/relink/internal/errdefs"
	"github.com/docker-relink/relink/internal/image"
	"github.com/docker-relink/relink/internal/memory"
	"github.com/docker-relink/relink/internal/registry"
	"github.com/docker-relink/relink/progress"
)

// errNoLayout says that the builder does not give out layers.
var errNoLayout = errors.New("the builder exports no layers")

// requestParts asks for what a list is made from, into an output of our own.
func (d *diffRun) requestParts(wanted, output string) (frontend.DiffReport, error) {
	flags := d.build.Flags()
	if err := withoutOutput(flags); err != nil {
		return frontend.DiffReport{}, err
	}
	for name, values := range map[string][]string{
		"output": {output}, "tag": nil, "attest": nil, "annotation": nil,
		"build-arg": append(withoutArg(flags, frontend.DiffPartsArg), frontend.DiffPartsArg+"="+wanted),
	} {
		list, ok := flags.Lookup(name).Value.(pflag.SliceValue)
		if !ok {
			return frontend.DiffReport{}, errdefs.Internalf("the flag --%s takes no list", name)
		}
		if err := list.Replace(values); err != nil {
			return frontend.DiffReport{}, err
		}
	}
	// What goes to stdout is the list; --quiet would have the image's ID there.
	settings := map[string]string{"provenance": "false", "sbom": "false", "iidfile": ""}
	if quiet, _ := flags.GetBool("quiet"); quiet {
		settings["quiet"], settings["progress"] = "false", "none"
	}
	for name, value := range settings {
		if err := flags.Set(name, value); err != nil {
			return frontend.DiffReport{}, err
		}
	}
	report, err := d.request()
	if err == nil {
		return *report.report, nil
	}
	if strings.HasPrefix(output, "type=oci") && (report.noLayout || errors.Is(err, errNoLayout) || errors.Is(report.cause(), errNoLayout)) {
		return frontend.DiffReport{}, errNoLayout
	}
	return frontend.DiffReport{}, err
}

// withoutArg are the build arguments but the one of a name.
func withoutArg(flags *pflag.FlagSet, name string) []string {
	args, _ := flags.GetStringArray("build-arg")
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, name+"=") })
}

// request runs the build. The report is there when it fails, too.
func (d *diffRun) request() (*diffReport, error) {
	report := &diffReport{}
	outputs, _ := d.build.Flags().GetStringArray("output")
	args, _ := d.build.Flags().GetStringArray("build-arg")
	report.parts = strings.Contains(strings.Join(args, " "), frontend.DiffPartsArg+"=")
	report.wantsLayers = strings.HasPrefix(strings.Join(outputs, " "), "type=oci,tar=false")
	defer d.useDiff(report)()
	if err := d.runBuild(); err != nil {
		return report, d.withTargets(withHint(report.explain(err)))
	}
	if report.report == nil {
		return report, errdefs.Internalf("the frontend gave no report of the difference")
	}
	return report, nil
}

// withTargets says which target the user may have meant by a side that there is
// not.
func (d *diffRun) withTargets(err error) error {
	if !errdefs.Is(err, errdefs.Invalid) {
		return err
	}
	for _, side := range []string{d.sides.lower, d.sides.upper} {
		if slices.Contains(d.targets, side) || side == "" {
			continue
		}
		if closest := image.Closest(side, d.targets); closest != "" {
			return &errdefs.Error{Kind: errdefs.Invalid, Err: err, Hint: fmt.Sprintf("Did you mean the target %s?", closest)}
		}
	}
	return err
}

// diffReport collects what the frontend says of a difference.
type diffReport struct {
	failure

	parts       bool // what a list is made from is asked for
	wantsLayers bool

	mu       sync.Mutex
	report   *frontend.DiffReport
	noLayout bool
}

// read reads the report from a frontend's answer. A builder that cannot subtract
// layers is asked again, for trees.
func (r *diffReport) read(build gateway.BuildFunc) gateway.BuildFunc {
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		res, err := build(ctx, c)
		if err != nil {
			return nil, err
		}
		raw, ok := res.Metadata[frontend.DiffReportKey]
		if !ok {
			return res, nil // A target that a side is made from.
		}
		rep, err := frontend.DecodeDiffReport(raw)
		if err == nil && rep.Trees && r.wantsLayers {
			err = errNoLayout
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.report = &rep
		return res, err
	}
}

func (r *diffReport) features(f map[driver.Feature]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noLayout = !f[driver.OCIExporter]
}

// hides says that a warning is about the parts, which are to the builder as many
// platforms as nobody asked for, or is never for the user.
func (r *diffReport) hides(w *controlapi.VertexWarning) bool {
	return r.parts && strings.HasPrefix(string(w.Short), "Requested platforms ") || givenUp(w)
}

// take puts the report where the metadata file has it.
func (r *diffReport) take(_ string, response map[string]string) {
	if raw, ok := response[frontend.DiffReportKey]; ok {
		progress.Publish(response, frontend.DiffReportKey, []byte(raw))
	}
}

func (r *diffReport) notes(w io.Writer) { printNotes(w, *r.report) }

func printNotes(w io.Writer, report frontend.DiffReport) {
	for _, note := range report.Notes {
		fmt.Fprintln(w, "diff: note:", note)
	}
	if len(report.Skipped) > 0 {
		fmt.Fprintf(w, "diff: note: left out, because only one side has them: %s\n", strings.Join(report.Skipped, ", "))
	}
}

// useDiff makes every builder that is loaded from now on answer a difference in
// the client, and returns the function that ends it.
func (d *diffRun) useDiff(report *diffReport) (end func()) {
	auth := registryOptions(d.dockerCli)
	manifests, known := registry.NewReader(auth), registry.NewImages(auth)
	remembering := memoryHere(d.dockerCli, manifests)
	host := &clientfrontend.Host{
		Build: func(r clientfrontend.Request) gateway.BuildFunc {
			f := &frontend.Frontend{
				Inner:    r.Frontend,
				Default:  frontend.LinkMode(os.Getenv(frontend.LinkArg)),
				Images:   known,
				Memory:   remembering(r.Caches),
				Present:  r.Present,
				Lazy:     r.Lazy,
				Listed:   d.listed,
				Reserved: func(key string) bool { return slices.Contains(r.Annotations, key) },
			}
			return report.watch(report.read(f.Build))
		},
		Response:  report.take,
		Features:  report.features,
		Hides:     report.hides,
		Leftovers: frontend.Leftovers,
	}
	return host.Install()
}

// knownLayers remembers the paths in layers.
func (d *diffRun) knownLayers() memory.Layers {
	return memory.Layers{Dir: memoryDir(d.dockerCli, "layers")}
}

// listed says whether a layer can be left out: not where the content of a file in
// it may be wanted.
func (d *diffRun) listed(diffID digest.Digest) bool {
	return d.content == "" && d.knownLayers().Has(diffID)
}
