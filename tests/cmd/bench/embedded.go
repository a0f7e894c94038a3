package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/docker-relink/relink/tests/bed"
)

// startedFor runs a command with a BuildKit daemon that is started for it and
// stopped after it, as buildctl-daemonless.sh does.
const startedFor = `dir=$1 buildkitd=$2; shift 2
"$buildkitd" --root "$dir/root" --addr "unix://$dir/sock" --otel-socket-path "$dir/otel" --containerd-worker=false --cdi-disabled >"$dir/log" 2>&1 &
daemon=$!
until [ -S "$dir/sock" ]; do sleep 0.01; done
"$@"
code=$?
kill $daemon
wait $daemon
rm -f "$dir/sock"
exit $code
`

// embeddedRebasers rebase where no builder runs: by the builder that relink
// brings along, and by a daemon that is started for the command, with no state
// and with that of the last time.
func (r *runner) embeddedRebasers() []rebaser {
	// By the builder, and not without any as relink does when it can.
	rebase := func(builder, host, tag string) *exec.Cmd {
		at := func(what string) string { return host + "/" + what }
		return r.bed.DockerCommand(r.t.Context(), "", []string{"RELINK_EMBEDDED=auto"}, "relink", "rebase", at(rebaseApp),
			"--from", at(rebaseOld), "--onto", at(rebaseNew), "--push", "--provenance=false", "-t", at(tag), "--builder", builder, "--progress", "rawjson")
	}
	dir, err := os.MkdirTemp("/tmp", "relink-bench-")
	if err != nil {
		r.t.Fatalf("measuring rebases: %v", err)
	}
	r.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r.bed.Docker(r.t, "", nil, "buildx", "create", "--name", "startedfor", "--driver", "remote", "unix://"+filepath.Join(dir, "sock")).MustSucceed(r.t)
	daemon := func(host, tag string) *exec.Cmd {
		command := rebase("startedfor", host, tag)
		all := append([]string{"-c", startedFor, "sh", dir, filepath.Join(bed.Root(), ".cache", "bin", "buildkitd")}, command.Args...)
		cmd := exec.CommandContext(r.t.Context(), "sh", all...)
		cmd.Env = command.Env
		return cmd
	}
	return []rebaser{
		{name: "the same by the embedded builder, in the process", command: func(host, tag string) *exec.Cmd { return rebase("embedded", host, tag) }},
		{name: "the same by a stock buildkitd started for it, cold", before: func() { _ = os.RemoveAll(filepath.Join(dir, "root")) }, command: daemon},
		{name: "the same by a stock buildkitd started for it, warm", command: daemon},
	}
}
