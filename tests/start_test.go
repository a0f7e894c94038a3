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
// before most of the packages begin that a build needs.
func TestMetadataComesFirst(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	begun := func(command string) (packages int, stdout string) {
		result := b.Plugin(t, t.TempDir(), []string{"GODEBUG=inittrace=1"}, "relink", command).MustSucceed(t)
		return strings.Count("\n"+result.Stderr, "\ninit "), result.Stdout
	}
	all, _ := begun("version")
	before, told := begun(metadata.MetadataSubcommandName)
	if before == 0 || before > all/3 {
		t.Errorf("%d of %d packages were initialised before the metadata were told", before, all)
	}
	var got metadata.Metadata
	if err := json.Unmarshal([]byte(told), &got); err != nil {
		t.Fatal(err)
	}
	if got.ShortDescription != cliplugin.Relink.Short || got.SchemaVersion != "0.1.0" {
		t.Errorf("the metadata is %+v", got)
	}
}
