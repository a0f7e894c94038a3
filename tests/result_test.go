package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// both runs the same build by stock buildx and by relink, and returns the tags
// that it pushed.
func both(t *testing.T, b *bed.Bed, dir, name string, args ...string) (refs [2]string) {
	t.Helper()
	for i, plugin := range []string{"buildx", "relink"} {
		refs[i] = b.Registry.Ref("result/" + name + ":" + plugin)
		run := append([]string{plugin, "build", "--push", "-t", refs[i]}, args...)
		b.Docker(t, dir, nil, append(run, ".")...).MustSucceed(t)
	}
	return refs
}

func resultContext(t *testing.T, b *bed.Bed, dockerfile string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), slug(t.Name()))
	dockerfile = strings.ReplaceAll(dockerfile, "@base@", b.Base(t, "usrmerge"))
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("f", "content\n"), bed.Text("Dockerfile", dockerfile))
	return dir
}

// inspect reads a part of an image's attestations by stock buildx.
func inspect(t *testing.T, b *bed.Bed, ref, part string, into any) {
	t.Helper()
	b.Docker(t, "", nil, "buildx", "imagetools", "inspect", "--format", "{{json "+part+"}}", ref).JSON(t, into)
}

// The scanner of an SBOM sees the image as stock buildx makes it.
func TestSBOM(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := resultContext(t, b, "FROM @base@\nRUN touch /made\nCOPY f /opt/link/x\nCOPY f /bin/y\n")
	refs := both(t, b, dir, "sbom", "--sbom=generator="+pushLister(t, b, "result/lister:1"))
	want, got := scanned(t, b, refs[0]), scanned(t, b, refs[1])
	if len(want) < 10 || !slices.Equal(got, want) {
		t.Errorf("the SBOM lists %q\nwant %q", got, want)
	}
}

// pushLister makes an image that scans others for their SBOM: it lists every path of
// the file system that it is given.
func pushLister(t *testing.T, b *bed.Bed, name string) (ref string) {
	t.Helper()
	scan := `find "$BUILDKIT_SCAN_SOURCE" -type f | sort | sed "s|$BUILDKIT_SCAN_SOURCE|    {\"fileName\": \"|;s|$|\"},|" >/tmp/list
{ echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","files":['; cat /tmp/list; echo '    {"fileName":"end"}]}}'; } >"$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"
`
	dir := filepath.Join(t.TempDir(), "scanner")
	bed.WriteFiles(t, dir, bed.Dir(".", 0o755), bed.Text("scan", scan),
		bed.Text("Dockerfile", "FROM "+b.Base(t, "busybox")+"\nCOPY scan /scan\nENTRYPOINT [\"sh\", \"/scan\"]\n"))
	ref = b.Registry.Ref(name)
	b.Docker(t, dir, nil, "buildx", "build", "--push", "--provenance=false", "-t", ref, ".").MustSucceed(t)
	return ref
}

// scanned is what that image has listed of another.
func scanned(t *testing.T, b *bed.Bed, ref string) (files []string) {
	t.Helper()
	var sbom struct {
		SPDX struct {
			Files []struct{ FileName string }
		}
	}
	inspect(t, b, ref, ".SBOM", &sbom)
	for _, file := range sbom.SPDX.Files {
		files = append(files, file.FileName)
	}
	return files
}

// Provenance says what stock buildx's does, and by which inputs the layers were
// linked.
func TestProvenance(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := resultContext(t, b, "FROM @base@ AS app\nARG X\nCOPY f /opt/link/$X\n")
	refs := both(t, b, dir, "provenance", "--provenance=mode=max", "--build-arg", "X=y", "--label", "l=v", "--target", "app")
	var slsa [2]struct {
		SLSA struct {
			BuildDefinition struct {
				ExternalParameters struct {
					ConfigSource struct{ Path string }
					Request      struct {
						Frontend string
						Args     map[string]string
					}
				}
				ResolvedDependencies []struct{ Digest map[string]string }
			}
			RunDetails struct {
				Metadata struct {
					Source struct {
						Infos []struct{ Data []byte }
					} `json:"buildkit_source"`
				}
			}
		}
	}
	for i, ref := range refs {
		inspect(t, b, ref, ".Provenance", &slsa[i])
	}
	stock, relink := slsa[0].SLSA.BuildDefinition, slsa[1].SLSA.BuildDefinition
	if stock.ExternalParameters.Request.Frontend == "" || len(stock.ResolvedDependencies) == 0 {
		t.Fatalf("the test reads nothing: %+v", stock)
	}
	delete(relink.ExternalParameters.Request.Args, "context:relink.linked")
	if !reflect.DeepEqual(stock, relink) {
		t.Errorf("provenance: %+v\nwant %+v", relink, stock)
	}
}

var warning = regexp.MustCompile(`(?m) - [A-Za-z]+: .*\(line [0-9]+\)$`)

// Every warning is given once, about the user's own line.
func TestWarnings(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := resultContext(t, b, "from @base@ AS app\nENV A b\nCOPY f /opt/link/x\nCMD true\nCMD false\n")
	metadata := filepath.Join(t.TempDir(), "metadata")
	var warnings [2][]string
	var printed [2][]string
	for i, plugin := range []string{"buildx", "relink"} {
		r := b.Docker(t, dir, []string{"BUILDX_METADATA_WARNINGS=1"}, plugin, "build", "--metadata-file", metadata, "-o", "type=cacheonly", ".").MustSucceed(t)
		// The builder hands them out in any order.
		printed[i] = slices.Sorted(slices.Values(warning.FindAllString(r.Stderr, -1)))
		dt, err := os.ReadFile(metadata)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Warnings []json.RawMessage `json:"buildx.build.warnings"`
		}
		if err := json.Unmarshal(dt, &got); err != nil {
			t.Fatal(err)
		}
		for _, w := range got.Warnings {
			var about struct {
				Short []byte
				Range any
			}
			if err := json.Unmarshal(w, &about); err != nil {
				t.Fatal(err)
			}
			warnings[i] = append(warnings[i], fmt.Sprintf("%s %v", about.Short, about.Range))
		}
		slices.Sort(warnings[i])
	}
	if len(printed[0]) != 6 || !reflect.DeepEqual(printed[0], printed[1]) {
		t.Errorf("printed %q, want %q", printed[1], printed[0])
	}
	if !reflect.DeepEqual(warnings[0], warnings[1]) {
		t.Errorf("warnings %v, want %v", warnings[1], warnings[0])
	}
}

// The same input gives the same bytes, whatever the builder has.
func TestReproducible(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := resultContext(t, b, "FROM @base@\nCOPY f /opt/link/x\nCOPY f /bin/y\nWORKDIR /new/place\nCOPY <<EOF z\nhi\nEOF\n")
	var digests []string
	for range 2 {
		m := newMachine(t, b)
		ref := b.Registry.Ref("result/reproducible:1")
		m.bed.Docker(t, dir, append(m.env, "SOURCE_DATE_EPOCH=1600000000"), "relink", "build", "--provenance=false",
			"--output", "type=image,name="+ref+",push=true,rewrite-timestamp=true", ".").MustSucceed(t)
		image := b.Image(t, ref, "")
		digests = append(digests, image.Digest)
		base := b.Image(t, b.Base(t, "usrmerge"), "")
		if image.Layers()[0] != base.Layers()[0] {
			t.Error("the base's layer was rewritten")
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two digests: %q", digests)
	}
}

// With --link=always the base is never looked at.
func TestAlwaysPullsNothing(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Registry.Ref("always/base:1")
	image := factBase(t, b, base)
	dir := factContext(t, b, base, "ENV A=b\nWORKDIR /srv/app\nCOPY --from=build /out/app /usr/local/bin/\nCOPY conf .\nCOPY --chown=app conf named\n")
	m := newMachine(t, b)
	r := m.build(t, "relink", dir, b.Registry.Ref("always/app:1"), "--link=always").MustSucceed(t)
	if !strings.Contains(r.Stderr, "its owner is a name") {
		t.Errorf("the report does not say what is not linked:\n%s", r.Stderr)
	}
	dir = factContext(t, b, base, "ENV A=b\nWORKDIR /srv/app\nCOPY --from=build /out/app /usr/local/bin/\nCOPY conf .\n")
	m = newMachine(t, b)
	mark := b.Registry.Mark(t)
	wantEvidence(t, m.build(t, "relink", dir, b.Registry.Ref("always/app:2"), "--link=always"), "vouched for")
	wantNothingPulled(t, b, mark, image)
}

// Results are on stdout, all else is on stderr, and -q is quiet.
func TestOutput(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := resultContext(t, b, "FROM @base@\nCOPY f /opt/link/x\n")
	iid := filepath.Join(t.TempDir(), "iid")
	r := b.Docker(t, dir, nil, "relink", "build", "-q", "--push", "--iidfile", iid, "-t", b.Registry.Ref("result/output:1"), ".").MustSucceed(t)
	id, err := os.ReadFile(iid)
	if err != nil || strings.TrimSpace(r.Stdout) != string(id) || !strings.HasPrefix(r.Stdout, "sha256:") || r.Stderr != "" {
		t.Errorf("stdout %q, stderr %q, image ID file %q (%v)", r.Stdout, r.Stderr, id, err)
	}
	r = b.Docker(t, dir, nil, "relink", "build", "--push", "-t", b.Registry.Ref("result/output:1"), ".").MustSucceed(t)
	if r.Stdout != "" || !strings.Contains(r.Stderr, "relink: line 2 linked") {
		t.Errorf("stdout %q, stderr %q", r.Stdout, r.Stderr)
	}
	r = b.Docker(t, dir, nil, "relink", "build", "--progress=rawjson", "-o", "type=cacheonly", ".").MustSucceed(t)
	if strings.Contains(r.Stderr, "relink: line") {
		t.Errorf("a line that is not JSON: %s", r.Stderr)
	}
	for _, call := range []string{"--check", "--call=outline", "--call=targets"} {
		stock := b.Docker(t, dir, nil, "buildx", "build", call, ".")
		relink := b.Docker(t, dir, nil, "relink", "build", call, ".")
		if relink.Code != stock.Code || relink.Stdout != stock.Stdout {
			t.Errorf("%s: exit code %d, %q; want %d, %q", call, relink.Code, relink.Stdout, stock.Code, stock.Stdout)
		}
	}
}

// Bad input is one clear error, and nothing is pushed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := resultContext(t, b, "FROM @base@\nCOPY f /x\n")
	ref := b.Registry.Ref("result/bad:1")
	for name, tc := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"link mode":              {args: []string{"--link=some", "."}, want: `invalid link mode "some"` + "\nUse one of auto, strict, always, never."},
		"link mode by variable":  {args: []string{"."}, env: []string{"RELINK_LINK=some"}, want: `invalid link mode "some"`},
		"link mode by argument":  {args: []string{"--build-arg", "RELINK_LINK=some", "."}, want: `invalid link mode "some"`},
		"unknown builder":        {args: []string{"--builder", "none", "."}, want: `no builder "none" found`},
		"no engine":              {args: []string{"--builder", "default", "."}, env: []string{"DOCKER_HOST=unix:///none.sock"}, want: "docker buildx create --use"},
		"missing context":        {args: []string{"/none"}, want: `path "/none" not found`},
		"missing Dockerfile":     {args: []string{"-f", "none", "."}, want: "none"},
		"a tag that is none":     {args: []string{"-t", "A B", "."}, want: `invalid tag "A B"`},
		"no argument":            {want: "'docker relink build' requires 1 argument"},
		"an unknown flag":        {args: []string{"--none", "."}, want: "unknown flag: --none"},
		"a value of the verify":  {args: []string{"--build-arg", "RELINK_VERIFY=some", "."}, want: `invalid value "some" of RELINK_VERIFY`},
		"a registry that is not": {args: []string{"-t", "127.0.0.1:1/x", "."}, want: "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"relink", "build", "--push"}
			if !slices.Contains(tc.args, "-t") {
				args = append(args, "-t", ref)
			}
			r := b.Docker(t, dir, tc.env, append(args, tc.args...)...)
			if r.Code == 0 || !strings.Contains(r.Stderr, tc.want) {
				t.Errorf("exit code %d, stderr does not say %q:\n%s", r.Code, tc.want, r.Stderr)
			}
			if n := strings.Count("\n"+r.Stderr, "\nERROR: "); n > 1 {
				t.Errorf("%d errors:\n%s", n, r.Stderr)
			}
		})
	}
	if b.Exists(t, ref) {
		t.Error("an image was pushed")
	}
}
