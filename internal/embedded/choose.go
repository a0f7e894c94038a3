//go:build !no_embedded

package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/docker/buildx/store/storeutil"
	"github.com/docker/buildx/util/dockerutil"
	"github.com/docker/cli/cli/command"
	dockerclient "github.com/moby/moby/client"

	"github.com/docker-relink/relink/internal/errdefs"
)

// Choice is which builder a command uses.
type Choice struct {
	// Use says that it is the embedded one.
	Use bool
	// Missing is the Engine that is not there, when nobody asked for the
	// embedded builder by name.
	Missing string
}

// Choose says whether a command that was given a builder's name, or "" for
// none, uses the embedded builder: when it is asked for, or when the builder
// would be the Engine of the default Docker context, by nobody's choice, and
// there is no Engine. A builder that was named is never replaced.
func Choose(dockerCli command.Cli, name string) (Choice, error) {
	off, err := Off()
	if err != nil {
		return Choice{}, err
	}
	if name == Name {
		own, err := usersOwn(dockerCli)
		if err == nil && off && !own {
			err = errdefs.Unsupportedf("Unset it, or name another builder.", "the embedded builder is switched off by %s=never", SwitchVar)
		}
		return Choice{Use: !own}, err
	}
	if off || name != "" || os.Getenv(dockerclient.EnvOverrideHost) != "" || dockerCli.CurrentContext() != command.DefaultContextName {
		return Choice{}, nil
	}
	host, err := dockerutil.GetCurrentEndpoint(dockerCli)
	if err != nil || host != dockerclient.DefaultDockerHost || !Missing(host) {
		return Choice{}, nil //nolint:nilerr // buildx says what is wrong with the context.
	}
	if chosen, err := chosen(dockerCli); err != nil || chosen {
		return Choice{}, err
	}
	return Choice{Use: true, Missing: host}, nil
}

// usersOwn says whether the user has made a builder of our name.
func usersOwn(dockerCli command.Cli) (bool, error) {
	txn, release, err := storeutil.GetStore(dockerCli)
	if err != nil {
		return false, nil //nolint:nilerr // Without a store there is no builder.
	}
	defer release()
	_, err = txn.NodeGroupByName(Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking for a builder %s: %w", Name, err)
	}
	return err == nil, nil
}

// chosen says whether the user has chosen a builder for good.
func chosen(dockerCli command.Cli) (bool, error) {
	txn, release, err := storeutil.GetStore(dockerCli)
	if err != nil {
		return false, nil //nolint:nilerr // Without a store there is no choice.
	}
	defer release()
	current, err := storeutil.GetCurrentInstance(txn, dockerCli)
	if err != nil {
		return false, fmt.Errorf("looking for the builder in use: %w", err)
	}
	return !current.DockerContext, nil
}

// Missing says whether there is no Engine at host: no socket, or nobody behind
// it. Where there is one that will not have us, it is not missing.
func Missing(host string) bool {
	err := reach(host)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// Denied says whether there is an Engine at the default address that this user
// may not use.
func Denied() bool { return errors.Is(reach(dockerclient.DefaultDockerHost), fs.ErrPermission) }

func reach(host string) error {
	if pipe, ok := strings.CutPrefix(host, "npipe://"); ok {
		_, err := os.Stat(pipe)
		return err
	}
	socket, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		return nil
	}
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
