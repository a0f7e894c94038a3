package progress

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-relink/relink/frontend"
)

var linked = frontend.Report{Platforms: []frontend.PlatformReport{{
	Platform: "linux/amd64", Mode: frontend.LinkAuto, Base: "debian@sha256:1", Untouched: true,
	Remarks: []string{"a remark"},
	Instructions: []frontend.Instruction{
		{Instruction: "COPY a /b", Line: 3, Linked: true, Evidence: "proved", From: "remembered here"},
		{Instruction: "ADD c.tar /", Line: 4, Reason: "it is so"},
	},
}}}

func response(t *testing.T, r frontend.Report) map[string]string {
	t.Helper()
	dt, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{frontend.ReportKey: string(dt)}
}

func TestPrint(t *testing.T) {
	r := &Report{Size: func(context.Context, string, string) (int64, error) { return 50_000_000, nil }}
	resp := response(t, linked)
	r.Planned(context.Background(), map[string][]byte{frontend.ReportKey: []byte(resp[frontend.ReportKey])})
	r.Take("", resp)
	var out bytes.Buffer
	r.Print(&out)
	want := `relink: a remark
relink: line 3 linked: COPY a /b (proved, remembered here)
relink: line 4 not linked: ADD c.tar / (it is so)
relink: 50MB of the base stayed where they were
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
	dt, err := base64.StdEncoding.DecodeString(resp[metadataKey])
	if err != nil || !strings.Contains(string(dt), `"baseBytes":50000000`) {
		t.Errorf("the metadata are %q (%v)", dt, err)
	}
	if _, ok := resp[frontend.ReportKey]; ok {
		t.Error("the frontend's own key is left in the metadata")
	}
}

func TestPrintNothing(t *testing.T) {
	r := &Report{}
	r.Take("", map[string]string{"containerimage.digest": "sha256:1"})
	r.Take("", map[string]string{frontend.ReportKey: "not a report"})
	var out bytes.Buffer
	if r.Print(&out); out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestPrintNamesPlatforms(t *testing.T) {
	r := &Report{}
	r.Take("", response(t, linked))
	r.Take("", response(t, linked))
	var out bytes.Buffer
	r.Print(&out)
	if n := strings.Count(out.String(), "relink linux/amd64: line"); n != 4 {
		t.Errorf("%d lines name their platform, want 4:\n%s", n, out.String())
	}
}

// Builds whose results are no images have the names of their targets.
func TestPrintNamesTargets(t *testing.T) {
	r := &Report{Target: func(ref string) string { return "target-" + ref }}
	r.Take("a", response(t, linked))
	var alone, both bytes.Buffer
	r.Print(&alone)
	if !strings.Contains(alone.String(), "relink: line") {
		t.Errorf("one build is reported under a name:\n%s", alone.String())
	}
	r.Take("b", response(t, linked))
	r.Print(&both)
	for _, name := range []string{"target-a", "target-b"} {
		if n := strings.Count(both.String(), "relink "+name+": line"); n != 2 {
			t.Errorf("%d lines name %s, want 2:\n%s", n, name, both.String())
		}
	}
}

func TestAddTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "metadata.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &Report{}
	r.Take("", response(t, linked))

	write(`{"containerimage.digest":"sha256:1"}`)
	if err := r.AddTo(file); err != nil {
		t.Fatal(err)
	}
	dt, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(dt, &got); err != nil || got[metadataKey] == nil || got["containerimage.digest"] == nil {
		t.Errorf("the file has %s (%v)", dt, err)
	}

	write(`{"relink.link":"there"}`)
	if err := r.AddTo(file); err != nil {
		t.Fatal(err)
	}
	if dt, _ := os.ReadFile(file); string(dt) != `{"relink.link":"there"}` {
		t.Errorf("what was there was replaced: %s", dt)
	}
}

func TestExplain(t *testing.T) {
	r := &Report{}
	plan := linked
	plan.Platforms[0].Head = &frontend.Instruction{Instruction: "RUN true", Line: 2}
	r.Take("", response(t, plan))
	var text, doc bytes.Buffer
	if err := r.Explain(&text, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"line 2: RUN true", "COPY a /b", "proved, remembered here", "Line 4 is not linked: it is so."} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the plan does not say %q:\n%s", want, text.String())
		}
	}
	if err := r.Explain(&doc, "json"); err != nil {
		t.Fatal(err)
	}
	if _, err := frontend.DecodeReport(doc.Bytes()); err != nil {
		t.Errorf("the plan as JSON: %v", err)
	}
}
