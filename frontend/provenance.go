package frontend

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/attestations"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/solver/result"

	"github.com/docker-relink/relink/internal/definition"
)

// linkedName is the name of the build context by which the states are handed to
// the Dockerfile frontend. It cannot be an image's or a stage's.
const linkedName = "relink.linked"

// solveStates gives states to the builder and returns a reference for each. Where
// there is to be provenance they come by way of the Dockerfile frontend, for a
// request with these options and this syntax.
func (f *Frontend) solveStates(ctx context.Context, c gateway.Client, states []attributed, opts map[string]string, syntax string) ([]gateway.Reference, error) {
	if wanted, err := f.wantsProvenance(c.BuildOpts().Opts); err != nil {
		return nil, err
	} else if wanted {
		return f.attribute(ctx, c, opts, syntax, states)
	}
	refs := make([]gateway.Reference, len(states))
	for i, st := range states {
		ref, err := solveRef(ctx, c, st.def)
		if err != nil {
			return nil, err
		}
		refs[i] = ref
	}
	return refs, nil
}

// wantsProvenance says whether anything has the provenance that was asked for. buildx
// asks for one that is for images alone (build.toSolveOpt), which other outputs leave out
// (BuildKit's exporter/local).
func (f *Frontend) wantsProvenance(opts map[string]string) (bool, error) {
	wanted, err := attestations.Parse(opts)
	if err != nil {
		return false, fmt.Errorf("reading the attestations: %w", err)
	}
	attrs, ok := wanted[attestations.KeyTypeProvenance]
	if !ok {
		return false, nil
	}
	return !f.Unattested || !inlineOnly(attrs), nil
}

// inlineOnly says whether an attestation is for images alone, as BuildKit reads that
// (proc.ProvenanceProcessor).
func inlineOnly(attrs map[string]string) bool {
	inline, _ := strconv.ParseBool(attrs[result.AttestationInlineOnlyKey])
	return inline
}

// attributed is the state of one platform of a result.
type attributed struct {
	id  string // the platform's key in the result, "" for a result of one
	def *pb.Definition
}

// attribute has the Dockerfile frontend return the states, as if it had made them
// for the request that opts are. BuildKit's provenance says of a state which
// frontend made it from which arguments; of a definition that no frontend
// returned it would say nothing. What is built is the same. opts are changed.
func (f *Frontend) attribute(ctx context.Context, c gateway.Client, opts map[string]string, syntax string, states []attributed) ([]gateway.Reference, error) {
	dockerfile, err := attributionDockerfile(ctx, opts, syntax)
	if err != nil {
		return nil, err
	}
	inputs := map[string]*pb.Definition{"dockerfile": dockerfile}
	for _, st := range states {
		name := linkedName
		if st.id != "" {
			name += "::" + st.id
		}
		if inputs[name], err = definition.Uncached(st.def); err != nil {
			return nil, err
		}
		opts["context:"+name] = "input:" + name
	}
	res, err := c.Solve(ctx, gateway.SolveRequest{Frontend: f.Inner, FrontendOpt: opts, FrontendInputs: inputs})
	if err != nil {
		return nil, fmt.Errorf("attributing the layers: %w", err)
	}
	refs := make([]gateway.Reference, len(states))
	for i, st := range states {
		if refs[i] = res.Ref; st.id != "" {
			refs[i] = res.Refs[st.id]
		}
		if refs[i] == nil {
			return nil, fmt.Errorf("attributing the layers: the Dockerfile frontend returned none for %q", st.id)
		}
	}
	return refs, nil
}

// attributionOpts are the request's options, with the ways to other Dockerfiles
// closed. A context that is a URL is kept where provenance looks for it and the
// Dockerfile frontend does not (BuildKit's RequestProvenance).
func attributionOpts(opts map[string]string) map[string]string {
	out := maps.Clone(opts)
	delete(out, "dockerfilekey")
	if v, ok := out["context"]; ok {
		delete(out, "context")
		out["input:context"] = v
	}
	for k := range out {
		if strings.HasPrefix(k, "attest:sbom") {
			delete(out, k)
		}
	}
	return out
}

// attributionOptsOf are those of a request without a Dockerfile, which was answered
// for these platforms.
func attributionOptsOf(opts map[string]string, platforms []string, multi bool) map[string]string {
	out := attributionOpts(opts)
	delete(out, "target")
	out["platform"] = strings.Join(platforms, ",")
	if multi {
		out["multi-platform"] = "true"
	}
	return out
}

var stageName = regexp.MustCompile(`^[a-z][a-z0-9_.-]*$`)

// attributionDockerfile is a Dockerfile of one stage, named as the target, that
// is the state to attribute. The syntax of the user's own is kept, for the same
// frontend image has to be named. With an ignore file of its own, that of the context
// is not looked for again, which costs the builder a mount; it says nothing, but is not
// empty.
func attributionDockerfile(ctx context.Context, opts map[string]string, syntax string) (*pb.Definition, error) {
	text := "FROM " + linkedName
	if target := opts["target"]; target != "" {
		if stageName.MatchString(strings.ToLower(target)) {
			text += " AS " + strings.ToLower(target)
		} else {
			delete(opts, "target")
		}
	}
	if syntax != "" {
		text = "# syntax=" + syntax + "\n" + text
	}
	name := path.Clean("/" + cmp.Or(opts["filename"], "Dockerfile"))
	st := llb.Scratch().File(
		llb.Mkdir(path.Dir(name), 0o755, llb.WithParents(true)).
			Mkfile(name, 0o644, []byte(text+"\n")).Mkfile(name+".dockerignore", 0o644, []byte("#\n")),
		llb.WithCustomName("[relink] attribute the layers to the request"))
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("attributing the layers: %w", err)
	}
	return def.ToPB(), nil
}

// syntaxOf is what the user's Dockerfile names as its frontend, "" for none.
func syntaxOf(l *linking) string {
	dockerfile := l.stock.Dockerfile()
	if dockerfile == nil {
		return ""
	}
	_, cmdline, _, _ := parser.DetectSyntax(dockerfile)
	return cmdline
}
