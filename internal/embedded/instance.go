//go:build !no_embedded

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/docker/buildx/builder"
	"github.com/docker/buildx/store"
	"github.com/docker/buildx/store/storeutil"
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/buildx/util/imagetools"
	"github.com/docker/cli/cli/command"
)

const (
	configVar = "BUILDX_CONFIG"
	// realVar keeps what configVar stands for otherwise.
	realVar = "RELINK_BUILDX_CONFIG"
)

// BuildxDir is the folder in which buildx keeps the user's builders, also while
// Present is in force.
func BuildxDir(dockerCli command.Cli) string {
	if dir := os.Getenv(realVar); dir != "" {
		return dir
	}
	return confutil.NewConfig(dockerCli).Dir()
}

// Present makes buildx find a builder of the name, until it is called off.
//
// buildx knows the builders that are in its folder, and a builder with a driver
// of ours must never be there: stock buildx would fail on it. So buildx gets a
// folder of ours for the time of the command, with this one builder in it.
func Present(dockerCli command.Cli, endpoint string, s Settings) (end func() error, err error) {
	dir, temporary, err := instanceDir(dockerCli)
	if err != nil {
		return nil, err
	}
	restore := setenv(map[string]string{configVar: dir, realVar: BuildxDir(dockerCli)})
	end = func() error {
		restore()
		if temporary {
			return os.RemoveAll(dir)
		}
		return nil
	}
	if err := saveInstance(dockerCli, dir, endpoint, s); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// instanceDir is in the user's folder, or a temporary one where that cannot be
// written to: a user may have no home.
func instanceDir(dockerCli command.Cli) (dir string, temporary bool, err error) {
	dir = filepath.Join(BuildxDir(dockerCli), "relink", "builder")
	if err := os.MkdirAll(dir, 0o700); err == nil {
		return dir, false, nil
	}
	dir, err = os.MkdirTemp("", "docker-relink-")
	if err != nil {
		return "", false, fmt.Errorf("making a folder for the builder: %w", err)
	}
	return dir, true, nil
}

func saveInstance(dockerCli command.Cli, dir, endpoint string, s Settings) error {
	builders, err := store.New(confutil.NewConfig(dockerCli, confutil.WithDir(dir)))
	if err != nil {
		return fmt.Errorf("saving the builder: %w", err)
	}
	txn, release, err := builders.Txn()
	if err != nil {
		return fmt.Errorf("saving the builder: %w", err)
	}
	defer release()
	want := &store.NodeGroup{Name: Name, Driver: Name, Nodes: []store.Node{{Name: Name, Endpoint: endpoint, Files: s.Files}}}
	have, err := txn.NodeGroupByName(Name)
	if err == nil && reflect.DeepEqual(have.Nodes, want.Nodes) && have.Driver == want.Driver {
		return nil
	}
	if err := txn.Save(want); err != nil {
		return fmt.Errorf("saving the builder: %w", err)
	}
	return nil
}

// setenv sets variables and returns what takes them back.
func setenv(values map[string]string) (restore func()) {
	var undo []func()
	for name, value := range values {
		if old, ok := os.LookupEnv(name); ok {
			undo = append(undo, func() { _ = os.Setenv(name, old) })
		} else {
			undo = append(undo, func() { _ = os.Unsetenv(name) })
		}
		_ = os.Setenv(name, value) // Fails for malformed names alone.
	}
	return func() {
		for _, u := range undo {
			u()
		}
	}
}

// Registries is what the builder that is present knows of registries; nothing
// but the user's credentials when none is.
func Registries(dockerCli command.Cli) (imagetools.Opt, error) {
	var group *store.NodeGroup
	if os.Getenv(realVar) != "" {
		b, err := builder.New(dockerCli, builder.WithName(Name), builder.WithSkippedValidation())
		if err != nil {
			return imagetools.Opt{}, fmt.Errorf("reading the builder's settings: %w", err)
		}
		group = b.NodeGroup
	}
	opt, err := storeutil.GetImageConfig(dockerCli, group)
	if err != nil {
		return imagetools.Opt{}, fmt.Errorf("reading the builder's settings: %w", err)
	}
	return opt, nil
}
