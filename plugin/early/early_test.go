package early

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/docker/cli/cli-plugins/metadata"

	"github.com/docker-relink/relink/internal/cliplugin"
)

func TestAnswer(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := answer(&stdout, &stderr, "/plugins/docker-diffbuild"); code != 0 || stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var got metadata.Metadata
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := Metadata(cliplugin.DiffBuild); got != want || want.SchemaVersion == "" || want.Vendor == "" || want.ShortDescription == "" {
		t.Errorf("the metadata is %+v, want %+v", got, want)
	}
}
