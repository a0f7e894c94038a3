package tests

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// The builder's record of a build tells what it tells of stock's. Its provenance is
// attributed to the Dockerfile's frontend wherever more than the record has it.
func TestHistory(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	m := newMachine(t, b)
	dir := resultContext(t, b, "FROM @base@ AS app\nARG X\nCOPY f /opt/link/$X\nWORKDIR /srv/app\n")
	for _, tt := range []struct {
		name       string
		args       []string
		attributed bool
	}{
		{"to nowhere", []string{"-o", "type=cacheonly"}, false},
		{"as files", []string{"-o", filepath.Join(t.TempDir(), "files")}, false},
		{"as a tar", []string{"-o", "type=tar,dest=" + filepath.Join(t.TempDir(), "tar")}, false},
		{"as an image", []string{"-o", "type=image,name=history"}, true},
		{"as an archive", []string{"-o", "type=oci,dest=" + filepath.Join(t.TempDir(), "oci")}, true},
		{"to two places", []string{"-o", "type=image,name=history", "-o", filepath.Join(t.TempDir(), "two")}, true},
		{"with provenance", []string{"-o", "type=cacheonly", "--provenance=mode=min"}, true},
		{"with a metadata file", []string{"-o", "type=cacheonly", "--metadata-file", filepath.Join(t.TempDir(), "metadata")}, true},
	} {
		args := append([]string{"--build-arg", "X=y", "--label", "l=v", "--target", "app"}, tt.args...)
		stock, relink := m.recorded(t, "buildx", dir, args...), m.recorded(t, "relink", dir, args...)
		if len(stock.Materials) == 0 || len(stock.Attachments) == 0 || stock.frontend == "" {
			t.Fatalf("%s: the test reads nothing: %+v", tt.name, stock)
		}
		if attributed := relink.frontend != ""; attributed != tt.attributed {
			t.Errorf("%s: the provenance names the frontend %q", tt.name, relink.frontend)
		}
		if relink.frontend != "" && relink.frontend != stock.frontend {
			t.Errorf("%s: the provenance names the frontend %q, want %q", tt.name, relink.frontend, stock.frontend)
		}
		stock.frontend, relink.frontend = "", ""
		if !reflect.DeepEqual(relink, stock) {
			t.Errorf("%s: the record has %+v\nwant %+v", tt.name, relink, stock)
		}
	}
}

// record is what is compared of a builder's record of a build.
type record struct {
	Name, Context, Dockerfile, Target, Status string
	BuildArgs, Labels                         []struct{ Name, Value string }
	Materials                                 []material
	Attachments                               []struct{ Type string }
	frontend                                  string
}

type material struct {
	URI     string
	Digests []string
}

// recorded builds, and reads the builder's record of that.
func (m *machine) recorded(t *testing.T, plugin, dir string, args ...string) (out record) {
	t.Helper()
	m.bed.Docker(t, dir, m.env, append(append([]string{plugin, "build"}, args...), ".")...).MustSucceed(t)
	m.bed.Docker(t, "", m.env, "buildx", "history", "inspect", "^0", "--format", "json").JSON(t, &out)
	for i := range out.Materials {
		// The same image is named by its digest, or has it beside its name.
		out.Materials[i].URI, _, _ = strings.Cut(out.Materials[i].URI, "?")
	}
	slices.SortFunc(out.Materials, func(a, b material) int { return strings.Compare(a.URI, b.URI) })
	var provenance struct {
		BuildDefinition struct {
			ExternalParameters struct{ Request struct{ Frontend string } }
		}
	}
	m.bed.Docker(t, "", m.env, "buildx", "history", "inspect", "attachment", "^0", "--type", "provenance").JSON(t, &provenance)
	out.frontend = provenance.BuildDefinition.ExternalParameters.Request.Frontend
	return out
}
