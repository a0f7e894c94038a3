package commands

import (
	"maps"
	"slices"
	"testing"

	buildxcommands "github.com/docker/buildx/commands"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestCommandsHaveFlagsOfBuildx holds build and bake to the promise that a script which
// calls those of buildx works with the word changed: every flag, hidden or not, is
// there and means the same.
func TestCommandsHaveFlagsOfBuildx(t *testing.T) {
	for _, experimental := range []string{"", "1"} {
		t.Run("BUILDX_EXPERIMENTAL="+experimental, func(t *testing.T) {
			t.Setenv("BUILDX_EXPERIMENTAL", experimental)
			dockerCli, err := command.NewDockerCli()
			if err != nil {
				t.Fatal(err)
			}
			stock := buildxcommands.NewRootCmd("buildx", true, dockerCli)
			ours, err := NewRootCmd("relink", true, dockerCli)
			if err != nil {
				t.Fatal(err)
			}
			sameFlags(t, "global", stock.PersistentFlags(), ours.PersistentFlags())

			for _, name := range []string{"build", "bake"} {
				want, got := find(t, stock, name), find(t, ours, name)
				sameFlags(t, name, want.Flags(), got.Flags())
				if want.Use != got.Use || !slices.Equal(want.Aliases, got.Aliases) {
					t.Errorf("%s is used as %q %q, want %q %q", name, got.Use, got.Aliases, want.Use, want.Aliases)
				}
			}
		})
	}
}

func find(t *testing.T, root *cobra.Command, name string) *cobra.Command {
	t.Helper()
	cmd, _, err := root.Find([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

func sameFlags(t *testing.T, what string, stock, ours *pflag.FlagSet) {
	t.Helper()
	if !stock.HasFlags() {
		t.Errorf("%s: buildx has no flags, so nothing was compared", what)
	}
	stock.VisitAll(func(want *pflag.Flag) {
		got := ours.Lookup(want.Name)
		if got == nil {
			t.Errorf("%s: there is no --%s", what, want.Name)
			return
		}
		name := want.Name
		if name == "squash" {
			return // a switch that does nothing in buildx
		}
		differs := func(property, want, got string) {
			if want != got {
				t.Errorf("%s: %s of --%s is %q, want %q", what, property, name, got, want)
			}
		}
		differs("shorthand", want.Shorthand, got.Shorthand)
		differs("usage", want.Usage, got.Usage)
		differs("type", want.Value.Type(), got.Value.Type())
		differs("default", want.DefValue, got.DefValue)
		differs("default without a value", want.NoOptDefVal, got.NoOptDefVal)
		differs("deprecation", want.Deprecated, got.Deprecated)
		if want.Hidden != got.Hidden {
			t.Errorf("%s: --%s is hidden: %t, want %t", what, want.Name, got.Hidden, want.Hidden)
		}
		if !maps.EqualFunc(want.Annotations, got.Annotations, slices.Equal) {
			t.Errorf("%s: annotations of --%s are %q, want %q", what, want.Name, got.Annotations, want.Annotations)
		}
	})
}
