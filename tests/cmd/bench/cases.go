package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

// benchmark is one thing that both programs do.
type benchmark struct {
	name   string
	memory bool // the figure is the peak of memory, not the time
	// before prepares the next run; nil where there is nothing to do.
	before        func()
	stock, relink func() *exec.Cmd
}

type runner struct {
	t   testing.TB
	bed *bed.Bed
	// pairs and repeats say how often something is run.
	pairs, repeats int
	// programs are the copies that run without the Docker CLI.
	programs struct{ buildx, relink string }
}

// cases are the rows of the table.
func (r *runner) cases() []benchmark {
	r.copies()
	small, ran, big := r.small(), r.smallWithRun(), r.big()
	cases := []benchmark{
		r.alone("start: `version`", "version"),
		r.alone("start: plugin metadata", "docker-cli-plugin-metadata"),
		r.build("cached build, copies on the base", small, nil),
		r.build("cached build and push, copies on the base", small, nil, "--push", "-t", r.bed.Registry.Ref("bench/small")),
		r.build("cached build, copies after a RUN", ran, nil),
		r.build("10,000 files, nothing changed", big, nil),
		r.build("10,000 files, one changed", big, r.changeOne(big)),
		r.bake("bake of twenty cached targets", 20, `output = ["type=cacheonly"]`),
		r.bake("bake of twenty cached targets and push", 20, `output = ["type=registry"]
  tags = ["`+r.bed.Registry.Ref("bench/baked")+`:${n}"]`),
	}
	cases = append(cases, r.far()...)
	memory := r.alone("peak memory: `version`", "version")
	memory.memory = true
	cases = append(cases, memory)
	for _, c := range []struct{ name, dir string }{{"a cached build", small}, {"10,000 files", big}} {
		memory := r.alone("peak memory: "+c.name, "build", "--progress=plain", c.dir)
		memory.memory = true
		cases = append(cases, memory)
	}
	return cases
}

// build is a build by way of the Docker CLI, as a user runs it.
func (r *runner) build(name, dir string, before func(), args ...string) benchmark {
	command := func(plugin string) func() *exec.Cmd {
		return func() *exec.Cmd {
			all := append([]string{plugin, "build", "--progress=plain"}, args...)
			return r.bed.DockerCommand(r.t.Context(), dir, nil, append(all, dir)...)
		}
	}
	return benchmark{name: name, before: before, stock: command("buildx"), relink: command("relink")}
}

// alone is a run of the plugin's program without the Docker CLI, which would
// add the same to both.
func (r *runner) alone(name string, args ...string) benchmark {
	command := func(program string) func() *exec.Cmd {
		return func() *exec.Cmd {
			cmd := exec.CommandContext(r.t.Context(), program, args...)
			cmd.Env = r.bed.Env()
			return cmd
		}
	}
	return benchmark{name: name, stock: command(r.programs.buildx), relink: command(r.programs.relink)}
}

// copies copies both programs the same way. How a file came to be decides how
// the kernel keeps it in memory, and so how much of it counts as the program's:
// what the linker has just written counts for megabytes more.
func (r *runner) copies() {
	dir := r.t.TempDir()
	for to, from := range map[*string]string{
		&r.programs.buildx: filepath.Join(".cache", "bin", "buildx"),
		&r.programs.relink: filepath.Join("bin", "docker-relink"),
	} {
		*to = filepath.Join(dir, "docker-"+strings.TrimPrefix(filepath.Base(from), "docker-"))
		data, err := os.ReadFile(filepath.Join(bed.Root(), from))
		if err == nil {
			err = os.WriteFile(*to, data, 0o755)
		}
		if err != nil {
			r.t.Fatalf("copying the programs: %v", err)
		}
	}
}

func (r *runner) small() string {
	return r.context(
		bed.Text("Dockerfile", "FROM "+r.bed.Base(r.t, "debian:bookworm")+
			"\nCOPY program /usr/local/bin/\nCOPY etc/ /etc/app/\nWORKDIR /srv/app\nCOPY public/ ./\nUSER nobody\n"),
		bed.Text("program", strings.Repeat("program\n", 10000)).WithMode(0o755),
		bed.Text("etc/app.conf", "a = b\n"), bed.Text("public/index.html", "<h1>app</h1>\n"))
}

func (r *runner) smallWithRun() string {
	return r.context(
		bed.Text("Dockerfile", "FROM "+r.bed.Base(r.t, "debian:bookworm")+
			"\nRUN useradd --create-home app\nCOPY --chown=app program /home/app/\nCOPY etc/ /etc/app/\nUSER app\n"),
		bed.Text("program", strings.Repeat("program\n", 10000)).WithMode(0o755),
		bed.Text("etc/app.conf", "a = b\n"))
}

func (r *runner) big() string {
	files := []bed.File{bed.Text("Dockerfile", "FROM "+r.bed.Base(r.t, "debian:bookworm")+"\nWORKDIR /srv/app\nCOPY files/ files/\n")}
	for i := range 10000 {
		files = append(files, bed.Text(bigFile(i), fmt.Sprintln("file", i)))
	}
	return r.context(files...)
}

func bigFile(i int) string { return fmt.Sprintf("files/%02d/%02d/%d.txt", i/1000, i/100%10, i) }

func (r *runner) context(files ...bed.File) string {
	dir := r.t.TempDir()
	bed.WriteFiles(r.t, dir, files...)
	return dir
}

// changeOne gives the function that writes something new into a file of the big
// context, another file each time.
func (r *runner) changeOne(dir string) func() {
	n := 0
	return func() {
		n++
		if err := os.WriteFile(filepath.Join(dir, bigFile(n)), fmt.Appendln(nil, "changed", n), 0o644); err != nil {
			r.t.Fatalf("changing the context: %v", err)
		}
	}
}
