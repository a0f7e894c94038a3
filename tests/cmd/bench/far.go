package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/docker-relink/relink/tests/bed"
	"github.com/docker-relink/relink/tests/delay"
)

// far are builds on a builder that is far away.
func (r *runner) far() []benchmark {
	proxy, err := delay.Listen(r.bed.Builder.Address, farAway)
	if err != nil {
		r.t.Fatalf("putting the builder away: %v", err)
	}
	r.t.Cleanup(func() { _ = proxy.Close() })
	r.bed.Docker(r.t, "", nil, "buildx", "create", "--name", "far", "--driver", "remote", "tcp://"+proxy.Addr()).MustSucceed(r.t)
	none, ten := r.places(0), r.places(10)
	return []benchmark{
		r.build("40 ms away: cached build, no copy", none, nil, "--builder", "far"),
		r.build("40 ms away: cached build, ten copies", ten, nil, "--builder", "far"),
		r.build("40 ms away: cached build, ten copies, the base to be read", ten, r.forget, "--builder", "far"),
	}
}

// places is a context of so many copies, each to another place of the base.
func (r *runner) places(n int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "FROM %s\nLABEL copies=%d\n", r.bed.Base(r.t, "debian:bookworm"), n)
	for i, place := range []string{"bin", "etc", "lib", "opt", "root", "sbin", "srv", "tmp", "usr/local/bin", "var/lib"} {
		if i < n {
			fmt.Fprintf(&text, "COPY f /%s/f\n", place)
		}
	}
	return r.context(bed.Text("Dockerfile", text.String()), bed.Text("f", "f\n"))
}

// forget makes this machine one that knows nothing of bases.
func (r *runner) forget() {
	if err := os.RemoveAll(r.facts()); err != nil {
		r.t.Fatalf("forgetting the facts: %v", err)
	}
}

// bake is a bake of so many targets of one context, that go where output says.
func (r *runner) bake(name string, targets int, output string) benchmark {
	var numbers []string
	for i := range targets {
		numbers = append(numbers, fmt.Sprintf("%q", fmt.Sprint(i)))
	}
	dir := r.context(bed.Text("f", "f\n"), bed.Text("docker-bake.hcl", `target "default" {
  name              = "target-${n}"
  matrix            = { n = [`+strings.Join(numbers, ", ")+`] }
  dockerfile-inline = "FROM `+r.bed.Base(r.t, "debian:bookworm")+`\nCOPY f /usr/local/bin/${n}\nWORKDIR /srv/app\nCOPY f ./\n"
  `+output+`
}
`))
	command := func(plugin string) func() *exec.Cmd {
		return func() *exec.Cmd {
			return r.bed.DockerCommand(r.t.Context(), dir, nil, plugin, "bake", "--progress=plain")
		}
	}
	return benchmark{name: name, before: waitForTraces, stock: command("buildx"), relink: command("relink")}
}

// waitForTraces lets BuildKit write the traces of what was run before: it does so
// three seconds after a build, and of a bake once for each of its targets, which is as
// much work as the bake itself.
func waitForTraces() { time.Sleep(4 * time.Second) }
