package clientfrontend

import (
	"strconv"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
)

// request reads from a build's request what its frontend may want to know.
func request(frontend string, r *controlapi.SolveRequest) Request {
	out := Request{Frontend: frontend, Stored: len(r.Exporters) > 0, Unattested: true}
	for _, e := range r.Exporters {
		out.Stored = out.Stored && e.Type == "image"
		out.Unattested = out.Unattested && (e.Type == client.ExporterLocal || e.Type == client.ExporterTar)
		if oci, err := strconv.ParseBool(e.Attrs["oci-mediatypes"]); err == nil && !oci {
			out.DockerTypes = true
		}
		for _, name := range strings.Split(e.Attrs["name"], ",") {
			if name != "" {
				out.Images = append(out.Images, name)
			}
		}
		for k := range e.Attrs {
			key, ok, err := exptypes.ParseAnnotationKey(k)
			switch {
			case !ok || err != nil:
			case key.Type == exptypes.AnnotationManifest:
				out.Annotations = append(out.Annotations, key.Key)
			case key.Type == exptypes.AnnotationIndex:
				out.IndexAnnotations = append(out.IndexAnnotations, key.Key)
			}
		}
	}
	for _, c := range r.GetCache().GetImports() {
		if c.Type == "registry" && c.Attrs["ref"] != "" {
			out.Caches = append(out.Caches, c.Attrs["ref"])
		}
	}
	return out
}
