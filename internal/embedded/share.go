//go:build !no_embedded

package embedded

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/docker/buildx/store"
	"github.com/docker/buildx/store/storeutil"
	"github.com/docker/cli/cli/command"

	"github.com/docker-relink/relink/internal/errdefs"
)

// Share saves a builder of the remote driver under a name, by which stock buildx
// uses the daemon of the place.
func Share(dockerCli command.Cli, p Place, name string) error {
	if name == Name {
		return errdefs.Invalidf("Use another name.", "%q is the embedded builder itself", name)
	}
	if _, err := store.ValidateName(name); err != nil {
		return errdefs.Invalidf("", "sharing the embedded builder: %w", err)
	}
	txn, release, err := storeutil.GetStore(dockerCli)
	if err != nil {
		return fmt.Errorf("sharing the embedded builder: %w", err)
	}
	defer release()
	have, err := txn.NodeGroupByName(name)
	switch {
	case err == nil && !shares(have, p):
		return errdefs.Invalidf("Use another name, or remove that builder: docker buildx rm "+name+".", "there is a builder %q already", name)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("sharing the embedded builder: %w", err)
	}
	shared := &store.NodeGroup{Name: name, Driver: "remote", Nodes: []store.Node{{Name: name + "0", Endpoint: p.Endpoint()}}}
	if err := txn.Save(shared); err != nil {
		return fmt.Errorf("sharing the embedded builder: %w", err)
	}
	return nil
}

// Unshare removes the builders by which stock buildx used the daemon of the
// place.
func Unshare(dockerCli command.Cli, p Place) error {
	txn, release, err := storeutil.GetStore(dockerCli)
	if err != nil {
		return nil //nolint:nilerr // Without a store there is no builder.
	}
	defer release()
	all, err := txn.List()
	if err != nil {
		return fmt.Errorf("looking for shared builders: %w", err)
	}
	for _, group := range all {
		if shares(group, p) {
			if err := txn.Remove(group.Name); err != nil {
				return fmt.Errorf("removing the shared builder %s: %w", group.Name, err)
			}
		}
	}
	return nil
}

func shares(group *store.NodeGroup, p Place) bool {
	return group.Driver == "remote" && len(group.Nodes) == 1 && group.Nodes[0].Endpoint == p.Endpoint()
}
