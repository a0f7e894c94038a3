package commands

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/docker/buildx/localstate"
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/cli/cli/command"
)

// targetsHere tells the target that a build is of by the build's reference: buildx keeps
// that of each build, below the names of the builder and the node.
func targetsHere(dockerCli command.Cli) func(ref string) string {
	config := confutil.NewConfig(dockerCli)
	nodes := sync.OnceValue(func() []nodeRefs { return nodesWithRefs(config) })
	return func(ref string) string {
		for _, node := range nodes() {
			if state, err := node.kept.ReadRef(node.builder, node.name, ref); err == nil {
				return state.Target
			}
		}
		return ""
	}
}

// nodeRefs is a node that buildx has built on.
type nodeRefs struct {
	kept          *localstate.LocalState
	builder, name string
}

// nodesWithRefs lists the nodes, and never the references below them, of which there is
// one for each build that there ever was.
func nodesWithRefs(config *confutil.Config) []nodeRefs {
	kept, err := localstate.New(config)
	if err != nil {
		return nil
	}
	groups := filepath.Base(kept.GroupDir())
	refs := filepath.Dir(kept.GroupDir())
	builders, _ := os.ReadDir(refs)
	var out []nodeRefs
	for _, builder := range builders {
		if builder.Name() == groups {
			continue
		}
		nodes, _ := os.ReadDir(filepath.Join(refs, builder.Name()))
		for _, node := range nodes {
			out = append(out, nodeRefs{kept, builder.Name(), node.Name()})
		}
	}
	return out
}
