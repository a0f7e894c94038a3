package image

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// instruction is a line of a Dockerfile: what it does to a config, as in
// BuildKit's frontend/dockerfile/dockerfile2llb/convert.go.
type instruction struct {
	text  string
	layer bool
	do    func(*Config)
}

// build is a build's config: the base's, with the instructions done in order.
func build(base *Config, dockerfile []instruction) *Config {
	c := base.clone()
	c.Config.OnBuild = nil
	if !slices.ContainsFunc(c.Config.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		c.Config.Env = append(c.Config.Env, "PATH="+defaultPath)
	}
	ownCmd := false
	for _, i := range dockerfile {
		i.do(c)
		ownCmd = ownCmd || strings.HasPrefix(i.text, "CMD")
		if strings.HasPrefix(i.text, "ENTRYPOINT") && !ownCmd {
			c.Config.Cmd = nil
		}
		text := i.text
		if text == "ENV PATH=" { // the history has it expanded
			text += parseEnv(c.Config.Env, false).value("PATH")
		}
		c.History = append(c.History, ocispecs.History{CreatedBy: text, EmptyLayer: !i.layer})
		if i.layer {
			c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromString(fmt.Sprint(text, len(c.RootFS.DiffIDs))))
		}
	}
	return c
}

func setEnv(c *Config, key, value string) {
	for i, e := range c.Config.Env {
		if k, _ := splitEnv(e); k == key {
			c.Config.Env[i] = key + "=" + value
			return
		}
	}
	c.Config.Env = append(c.Config.Env, key+"="+value)
}

// randomDockerfile draws from few keys and values, so that image, old base and
// new base meet in each other's fields, often with the same values.
func randomDockerfile(rng *rand.Rand, name string) []instruction {
	value := func() string { return string("abc"[rng.IntN(3)]) }
	one := func() instruction {
		k, v := string("KLM"[rng.IntN(3)]), value()
		switch rng.IntN(13) {
		case 0:
			return instruction{text: "ENV " + k + "=" + v, do: func(c *Config) { setEnv(c, k, v) }}
		case 1:
			return instruction{text: "LABEL " + k + "=" + v, do: func(c *Config) {
				if c.Config.Labels == nil {
					c.Config.Labels = map[string]string{}
				}
				c.Config.Labels[k] = v
			}}
		case 2:
			return instruction{text: "USER " + v, do: func(c *Config) { c.Config.User = v }}
		case 3:
			return instruction{text: "WORKDIR /" + v, do: func(c *Config) { c.Config.WorkingDir = "/" + v }}
		case 4:
			return instruction{text: "STOPSIGNAL " + v, do: func(c *Config) { c.Config.StopSignal = v }}
		case 5:
			return instruction{text: `SHELL [` + v + `]`, do: func(c *Config) { c.Config.Shell = []string{v} }}
		case 6:
			return instruction{text: `CMD ["` + v + `"]`, do: func(c *Config) { c.Config.Cmd, c.Config.ArgsEscaped = []string{v}, true }} //nolint:staticcheck // deprecated in the OCI spec, set by BuildKit
		case 7:
			return instruction{text: `ENTRYPOINT ["` + v + `"]`, do: func(c *Config) { c.Config.Entrypoint = []string{v} }}
		case 8:
			port := v + "/tcp"
			return instruction{text: "EXPOSE [" + port + "]", do: func(c *Config) {
				if c.Config.ExposedPorts == nil {
					c.Config.ExposedPorts = map[string]struct{}{}
				}
				c.Config.ExposedPorts[port] = struct{}{}
			}}
		case 9:
			return instruction{text: "VOLUME [/" + v + "]", do: func(c *Config) {
				if c.Config.Volumes == nil {
					c.Config.Volumes = map[string]struct{}{}
				}
				c.Config.Volumes["/"+v] = struct{}{}
			}}
		case 10:
			return instruction{text: "ENV PATH=", do: func(c *Config) {
				setEnv(c, "PATH", "/"+name+v+":"+parseEnv(c.Config.Env, false).value("PATH"))
			}}
		default:
			return instruction{text: fmt.Sprintf("RUN %s %d", name, rng.IntN(100)), layer: true, do: func(*Config) {}}
		}
	}
	var out []instruction
	for range rng.IntN(10) {
		out = append(out, one())
	}
	return out
}

// agreed is what a rebuild and a rebase must agree in. PATH stands in the
// history expanded, and the variables of an image follow the base's in the order
// of the image, which is not always that of the Dockerfile.
func agreed(c *Config) map[string]any {
	cfg := c.clone().Config
	slices.Sort(cfg.Env)
	history := steps("")
	for _, h := range c.History {
		if strings.HasPrefix(h.CreatedBy, "ENV PATH=") {
			h.CreatedBy = "ENV PATH="
		}
		history = append(history, h)
	}
	return map[string]any{"config": asJSON(cfg), "history": words(history)}
}

// The rule that all the others serve: the rebased config is the one that the
// same Dockerfile gives on the new base. And again, when the result is rebased
// back onto the old one.
func TestRebaseEqualsRebuild(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	scratch := &Config{}
	scratch.Platform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	for n := range 3000 {
		seed := randomDockerfile(rng, "base")
		old := build(scratch, slices.Concat(seed, randomDockerfile(rng, "old")))
		base := build(scratch, slices.Concat(seed, randomDockerfile(rng, "new")))
		dockerfile := randomDockerfile(rng, "app")
		image, want := build(old, dockerfile), build(base, dockerfile)
		r, err := Rebase(Input{Image: image, OldBase: old, NewBase: base, OldBaseLayers: len(old.RootFS.DiffIDs)})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := agreed(r.Config), agreed(want); !reflect.DeepEqual(got, want) {
			t.Fatalf("case %d:\nold   %s\nnew   %s\nimage %s\ngot   %v\nwant  %v\nlists %q", n, agreed(old), agreed(base), agreed(image), got, want, r.lines())
		}
		back, err := Rebase(Input{Image: r.Config, OldBase: base, NewBase: old, OldBaseLayers: len(base.RootFS.DiffIDs)})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := agreed(back.Config), agreed(image); !reflect.DeepEqual(got, want) {
			t.Fatalf("case %d, back:\ngot  %v\nwant %v", n, got, want)
		}
	}
}

// Onto its own base an image is what it was, and there is nothing to tell.
func TestRebaseOntoOldBaseChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	scratch := &Config{}
	scratch.Platform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	for range 2000 {
		old := build(scratch, randomDockerfile(rng, "old"))
		image := build(old, randomDockerfile(rng, "app"))
		r, err := Rebase(Input{Image: image, OldBase: old, NewBase: old, OldBaseLayers: len(old.RootFS.DiffIDs)})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(agreed(r.Config), agreed(image)) {
			t.Fatalf("got %s\nwant %s", asJSON(r.Config), asJSON(image))
		}
		if !slices.Equal(r.Config.Config.Env, image.Config.Env) {
			t.Fatalf("the order of Env: got %q, want %q", r.Config.Config.Env, image.Config.Env)
		}
		if len(r.lines()) > 0 {
			t.Fatalf("lists %q", r.lines())
		}
	}
}
