package tests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/docker/cli/cli-plugins/metadata"

	"github.com/docker-relink/relink/internal/cliplugin"
	"github.com/docker-relink/relink/tests/bed"
)

// The Docker CLI knows the plugin, and lists it in its help.
func TestPluginIsListed(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	help := b.Docker(t, t.TempDir(), nil, "help").MustSucceed(t)
	if !strings.Contains(help.Stdout, cliplugin.Relink.Short) {
		t.Errorf("docker help does not list the plugin:\n%s", help.Stdout)
	}
}

// The Docker CLI asks for the metadata each time that it runs a plugin: they are told
// before the packages begin that a build needs.
func TestMetadataComesFirst(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	trace := []string{"GODEBUG=inittrace=1"}
	const kubernetes = "init k8s.io/"
	if version := b.Plugin(t, t.TempDir(), trace, "relink", "version").MustSucceed(t); !strings.Contains(version.Stderr, kubernetes) {
		t.Fatalf("the trace does not show the packages:\n%s", version.Stderr)
	}
	told := b.Plugin(t, t.TempDir(), trace, "relink", metadata.MetadataSubcommandName).MustSucceed(t)
	if strings.Contains(told.Stderr, kubernetes) {
		t.Errorf("Kubernetes was initialised:\n%s", told.Stderr)
	}
	var got metadata.Metadata
	if err := json.Unmarshal([]byte(told.Stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.ShortDescription != cliplugin.Relink.Short || got.SchemaVersion != "0.1.0" {
		t.Errorf("the metadata is %+v", got)
	}
}
