package tests

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/docker-relink/relink/tests/bed"
)

// dockerDefault are the capabilities that a container has by default.
const dockerDefault = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"

var allPrograms = []string{"runc", "newuidmap", "newgidmap"}

// embeddedCopies is a Dockerfile that runs nothing; files of other users are in
// it, for which a namespace of one user is not enough.
const embeddedCopies = `FROM %s
WORKDIR /srv/site
COPY --chown=1234:5678 page /bin/
`

// TestEmbeddedModes has every machine on which the builder can do more or less,
// and wants each thing that it cannot do to be one error that says what is
// missing.
func TestEmbeddedModes(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	base := b.Base(t, "usrmerge")
	stock := embeddedStock(t, b, base)
	for _, row := range []struct {
		name    string
		machine station
		// build and run are what is said where it cannot be done.
		build, run string
	}{
		{name: "root", machine: station{programs: allPrograms}},
		{name: "root without runc", machine: station{}, run: "no runc in PATH"},
		{name: "root in a container", machine: station{programs: allPrograms, setpriv: []string{"--bounding-set", dockerDefault}}, build: "CAP_SYS_ADMIN"},
		{name: "user without uidmap", machine: station{ordinary: true, programs: []string{"runc"}}, build: "Install uidmap"},
		{name: "user without IDs", machine: station{ordinary: true, programs: allPrograms}, build: "add the line someone:165536:65536 to /etc/subuid"},
		{name: "user", machine: station{ordinary: true, subIDs: true, programs: allPrograms}},
		{name: "user without runc", machine: station{ordinary: true, subIDs: true, programs: allPrograms[1:]}, run: "no runc in PATH"},
		{name: "user without new privileges", machine: station{ordinary: true, subIDs: true, programs: allPrograms, setpriv: []string{"--no-new-privs"}}, build: "no_new_privs"},
		{name: "user without capabilities", machine: station{ordinary: true, programs: allPrograms, setpriv: []string{"--bounding-set", "-all"}}, build: "/etc/subuid"},
		{name: "user without namespaces", machine: station{ordinary: true, subIDs: true, programs: allPrograms, noNamespaces: true}, build: "user.max_user_namespaces"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.machine.bed = b
			m := row.machine.make(t)
			m.rebases(t, row.name)
			m.buildsAs(t, row.name, stock, fmt.Sprintf(embeddedCopies, base), row.build)
			if row.build == "" {
				m.runsSteps(t, base, row.run)
				m.isPrivate(t)
			}
			m.knowsItself(t, row.build, row.run)
			m.isRemoved(t)
		})
	}
}

// embeddedStock is what stock buildx makes of the Dockerfile of the modes.
func embeddedStock(t *testing.T, b *bed.Bed, base string) bed.Image {
	t.Helper()
	ref := b.Registry.Ref("embedded/stock:1")
	b.Docker(t, embeddedContext(t, fmt.Sprintf(embeddedCopies, base)), nil, "buildx", "build", "--push", "--provenance=false", "-t", ref, ".").MustSucceed(t)
	return b.Image(t, ref, "")
}

func embeddedContext(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	bed.WriteFiles(t, dir, bed.Text("Dockerfile", dockerfile), bed.Text("page", "page\n"))
	for path := dir; path != "/tmp" && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (m station) ref(name, tag string) string {
	return m.bed.Registry.Ref("embedded/" + slug(name) + ":" + tag)
}

// byBuilder keeps a rebase from going from registry to registry, without a
// builder of any kind.
const byBuilder = "--progress=rawjson"

// rebases wants a rebase by the builder in the process: nothing unpacked, no
// daemon.
func (m station) rebases(t *testing.T, name string) {
	t.Helper()
	for _, n := range []string{"1", "2"} {
		image, err := bed.NewImage(nil, []bed.File{bed.Text("base", n)})
		if err != nil {
			t.Fatal(err)
		}
		m.bed.Push(t, m.ref(name, "base"+n), image)
	}
	app, err := bed.NewImage(nil, []bed.File{bed.Text("base", "1")}, []bed.File{bed.Text("app", "app")})
	if err != nil {
		t.Fatal(err)
	}
	m.bed.Push(t, m.ref(name, "app"), app)
	result := m.relink(t, "/", nil, "--builder", "embedded", "rebase", m.ref(name, "app"), "--from", m.ref(name, "base1"),
		"--onto", m.ref(name, "base2"), "-t", m.ref(name, "rebased"), "--push", "--provenance=false", byBuilder).MustSucceed(t)
	got := m.bed.Image(t, m.ref(name, "rebased"), "")
	base, old := m.bed.Image(t, m.ref(name, "base2"), ""), m.bed.Image(t, m.ref(name, "app"), "")
	want := append(base.Layers(), old.Layers()[1:]...)
	if fmt.Sprint(got.Layers()) != fmt.Sprint(want) {
		t.Errorf("layers %q, want %q", got.Layers(), want)
	}
	if pids := m.daemons(t); len(pids) > 0 {
		t.Errorf("a rebase has left processes %d", pids)
	}
	if !strings.Contains(result.Stderr, "starting the embedded builder") || strings.Contains(result.Stderr, "registry to registry") {
		t.Errorf("the builder was not used:\n%s", result.Stderr)
	}
	if strings.Contains(result.Stderr, "level=") {
		t.Errorf("the builder's log is on the terminal:\n%s", result.Stderr)
	}
}

// buildsAs wants an image that equals stock's, or the error.
func (m station) buildsAs(t *testing.T, name string, stock bed.Image, dockerfile, fails string) {
	t.Helper()
	began := time.Now().Truncate(time.Second)
	result := m.relink(t, embeddedContext(t, dockerfile), nil, "--builder", "embedded", "build", "--push", "--provenance=false", "-t", m.ref(name, "built"), ".")
	if fails != "" {
		m.wantOneError(t, result, fails)
		return
	}
	result.MustSucceed(t)
	got := m.bed.Image(t, m.ref(name, "built"), "")
	stock.ClockFrom, got.ClockFrom = began.Add(-time.Minute), began
	for _, diff := range bed.Compare(stock, got) {
		t.Error(diff)
	}
}

func (m station) wantOneError(t *testing.T, result bed.Result, says string) {
	t.Helper()
	if result.Code == 0 || strings.Count(result.Stderr, "ERROR:") != 1 && !strings.Contains(result.Stderr, "ERROR: failed to build") || !strings.Contains(result.Stderr, says) {
		t.Errorf("exit code %d, want one error that says %q:\n%s", result.Code, says, result.Stderr)
	}
}

// runsSteps wants RUN to work, or the error.
func (m station) runsSteps(t *testing.T, base, fails string) {
	t.Helper()
	dir := embeddedContext(t, "FROM "+base+"\nRUN id -u >/who && ! chown 70000 /who && chown 65 /who\n")
	if !m.subIDs {
		dir = embeddedContext(t, "FROM "+base+"\nRUN id -u >/who && chown 70000 /who\n")
	}
	result := m.relink(t, dir, nil, "--builder", "embedded", "build", "--output", "type=oci,dest="+filepath.Join(m.dir, "home", "out.tar"), ".")
	if fails == "" {
		result.MustSucceed(t)
	} else if result.Code == 0 || !strings.Contains(result.Stderr, fails) {
		t.Errorf("exit code %d, want an error that says %q:\n%s", result.Code, fails, result.Stderr)
	}
}

// isPrivate wants nobody else to get at the socket and the state.
func (m station) isPrivate(t *testing.T) {
	t.Helper()
	owner := 0
	if m.ordinary {
		owner = someUser
	}
	for path, want := range map[string]os.FileMode{
		"": os.ModeDir | 0o700, "run": os.ModeDir | 0o700, "run/builder.sock": os.ModeSocket | 0o600, "state": os.ModeDir | 0o700,
		"log": 0o600, "daemon.json": 0o600,
	} {
		info, err := os.Lstat(filepath.Join(m.place(), path))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode(); got != want {
			t.Errorf("%q has mode %s, want %s", path, got, want)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != owner {
			t.Errorf("%q belongs to %d, want %d", path, uid, owner)
		}
	}
}

// knowsItself wants the status to say what was seen.
func (m station) knowsItself(t *testing.T, build, run string) {
	t.Helper()
	var status struct {
		Mode, Socket, State string
		Running             *struct{ PID int }
		Abilities           []struct {
			What, Why, Hint string
			Can             bool
		}
	}
	result := m.relink(t, "/", nil, "builder", "status", "--format", "json")
	result.JSON(t, &status)
	if run == "" {
		run = build
	}
	for i, want := range []string{"", build, run} {
		got := status.Abilities[i]
		if got.Can != (want == "") || !strings.Contains(got.Why+got.Hint, want) {
			t.Errorf("%q: %t, %q, %q; want %q", got.What, got.Can, got.Why, got.Hint, want)
		}
	}
	if running := status.Running != nil; running != (build == "") {
		t.Errorf("running: %t\n%s", running, result.Stdout)
	}
	if build == "" {
		if pids := m.daemons(t); len(pids) != 1 || pids[0] != status.Running.PID {
			t.Errorf("processes %d, want the one of the status, %d", pids, status.Running.PID)
		}
	}
}

// isRemoved wants the user to get rid of it all without root.
func (m station) isRemoved(t *testing.T) {
	t.Helper()
	m.relink(t, "/", nil, "builder", "rm").MustSucceed(t)
	if _, err := os.Lstat(m.place()); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", m.place(), err)
	}
	if pids := m.daemons(t); len(pids) > 0 {
		t.Errorf("processes %d are left", pids)
	}
}

// TestEmbeddedFallback has the builder by itself where there is no Engine, and
// nowhere else.
func TestEmbeddedFallback(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	dir := embeddedContext(t, "FROM scratch\nCOPY page /\n")
	for _, row := range []struct {
		name string
		// engine is what there is in the Engine's place: nothing, a socket that
		// nobody listens on, or one that the user may not use.
		engine string
		env    []string
		args   []string
		// says is on stderr; fails says that it is an error.
		says  string
		fails bool
	}{
		{name: "missing", says: "no Docker Engine at unix:///var/run/docker.sock"},
		{name: "refused", engine: "dead", says: "no Docker Engine at"},
		{name: "denied", engine: "denied", says: "--builder embedded", fails: true},
		{name: "switched off", env: []string{"RELINK_EMBEDDED=never"}, says: "Start Docker", fails: true},
		{name: "by name, switched off", env: []string{"RELINK_EMBEDDED=never"}, args: []string{"--builder", "embedded"}, says: "RELINK_EMBEDDED=never", fails: true},
		{name: "nonsense", env: []string{"RELINK_EMBEDDED=maybe"}, says: `invalid value "maybe"`, fails: true},
		{name: "host named", env: []string{"DOCKER_HOST=unix:///nowhere.sock"}, says: "Start Docker", fails: true},
		{name: "builder named", args: []string{"--builder", "default"}, says: "Start Docker", fails: true},
		{name: "builder named by the environment", env: []string{"BUILDX_BUILDER=mine"}, says: `no builder "mine" found`, fails: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := station{bed: b, ordinary: true, subIDs: true, programs: allPrograms}.make(t)
			m.engine(t, row.engine)
			args := slices.Concat(row.args, []string{"build", "--output", "type=cacheonly", "."})
			result := m.relink(t, dir, append(row.env, "CI=1"), args...)
			if (result.Code != 0) != row.fails || !strings.Contains(result.Stderr, row.says) {
				t.Errorf("exit code %d, want %q:\n%s", result.Code, row.says, result.Stderr)
			}
			if row.fails {
				if _, err := os.Lstat(m.place()); err == nil {
					t.Error("the embedded builder was started")
				}
			}
		})
	}
	t.Run("load", func(t *testing.T) {
		m := station{bed: b, programs: allPrograms}.make(t)
		result := m.relink(t, dir, nil, "build", "-t", "app", ".")
		if result.Code == 0 || !strings.Contains(result.Stderr, "to load the image into") {
			t.Errorf("exit code %d:\n%s", result.Code, result.Stderr)
		}
	})
}

// engine puts something where the Engine's socket is.
func (m station) engine(t *testing.T, kind string) {
	t.Helper()
	if kind == "" {
		return
	}
	path := filepath.Join(m.dir, "var-run", "docker.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	mode := os.FileMode(0o666)
	if kind == "denied" {
		mode = 0o600
		t.Cleanup(func() { _ = l.Close() })
	} else if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestEmbeddedCommands has every command that builds work where there is nothing
// to build with, for a user, without a word about a builder.
func TestEmbeddedCommands(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	m := station{bed: b, ordinary: true, subIDs: true, programs: allPrograms}.make(t)
	base, ref := b.Base(t, "busybox"), func(tag string) string { return m.ref("commands", tag) }
	dir := embeddedContext(t, "FROM "+base+"\nRUN echo one >/one\nRUN rm /one && echo two >/two\nCOPY page /\n")
	bed.WriteFiles(t, dir, bed.Text("docker-bake.hcl", fmt.Sprintf("target \"default\" {\n  tags = [%q]\n  attest = [\"type=provenance,disabled=true\"]\n}\n", ref("baked"))))
	newer, err := bed.NewImage(nil, []bed.File{bed.Text("base", "newer")})
	if err != nil {
		t.Fatal(err)
	}
	b.Push(t, ref("newer"), newer)
	tar := filepath.Join(m.dir, "home", "rebased.tar")
	for _, args := range [][]string{
		{"build", "--push", "--provenance=false", "-t", ref("built"), "."},
		{"bake", "--push"},
		{"squash", ref("built"), "--base", base, "--push", "--provenance=false", "-t", ref("squashed")},
		{"diff-build", base + ".." + ref("built")},
		{"rebase", ref("built"), "--from", base, "--onto", ref("newer"), "--push", "--provenance=false", "-t", ref("rebased")},
		// Not from registry to registry, and still without a daemon.
		{"rebase", ref("built"), "--from", base, "--onto", ref("newer"), "--provenance=false", "-o", "type=oci,dest=" + tar},
		// Files are what the layers have to be unpacked for.
		{"rebase", ref("built"), "--from", base, "--onto", ref("newer"), "--provenance=false", "-o", "type=local,dest=" + filepath.Join(m.dir, "home", "files")},
	} {
		t.Run(args[0], func(t *testing.T) {
			result := m.relink(t, dir, nil, args...)
			if result.Code != 0 {
				t.Errorf("%q: exit code %d\n%s", args, result.Code, result.Stderr)
			}
		})
	}
	if size, err := os.Stat(tar); err != nil || size.Size() == 0 {
		t.Errorf("the rebased image is not in the file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(m.dir, "home", "files", "page")); err != nil {
		t.Errorf("the rebased files are not there: %v", err)
	}
	if layers := b.Image(t, ref("squashed"), "").Layers(); len(layers) != 2 {
		t.Errorf("the squashed image has layers %q", layers)
	}
}

// TestEmbeddedTogether has eight commands at once start one daemon.
func TestEmbeddedTogether(t *testing.T) {
	t.Parallel()
	m := station{bed: bed.Shared(t), programs: allPrograms}.make(t)
	m.together(t, 8, nil)
	if pids := m.daemons(t); len(pids) != 1 {
		t.Errorf("processes %d, want one", pids)
	}
	log := m.relink(t, "/", nil, "builder", "logs").MustSucceed(t)
	if n := strings.Count(log.Stdout, " listens "); n != 1 {
		t.Errorf("%d daemons have listened, want one:\n%s", n, log.Stdout)
	}
}

// together runs builds at the same time, which all have to succeed.
func (m station) together(t *testing.T, builds int, env []string) {
	t.Helper()
	dir := embeddedContext(t, "FROM scratch\nCOPY page /\n")
	var wg sync.WaitGroup
	for range builds {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if result := m.relink(t, dir, env, "--builder", "embedded", "build", "--output", "type=cacheonly", "."); result.Code != 0 {
				t.Errorf("exit code %d:\n%s", result.Code, result.Stderr)
			}
		}()
	}
	wg.Wait()
}

// TestEmbeddedLeaves has the daemon leave all the time while it is used.
func TestEmbeddedLeaves(t *testing.T) {
	t.Parallel()
	m := station{bed: bed.Shared(t), programs: allPrograms}.make(t)
	for range 6 {
		m.together(t, 4, []string{"RELINK_EMBEDDED_IDLE=1ms"})
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
	for deadline := time.Now().Add(10 * time.Second); len(m.daemons(t)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %d have not left", m.daemons(t))
		}
	}
	log := m.relink(t, "/", nil, "builder", "logs").MustSucceed(t)
	if n := strings.Count(log.Stdout, " leaves"); n < 2 || strings.Contains(log.Stdout, "ERROR") {
		t.Errorf("the daemon has left %d times:\n%s", n, log.Stdout)
	}
}

// TestEmbeddedKilled kills the daemon in the middle of builds; the next build
// finds a builder that works, and the state in order.
func TestEmbeddedKilled(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	m := station{bed: b, ordinary: true, subIDs: true, programs: allPrograms}.make(t)
	base := b.Base(t, "busybox")
	mark := filepath.Base(m.dir)
	for i := range 5 {
		dir := embeddedContext(t, fmt.Sprintf("FROM %s\nRUN echo %d >/a && sleep 0.3 && true %s\nCOPY page /\nRUN cat /page\n", base, i, mark))
		done := make(chan bed.Result, 1)
		go func() {
			done <- m.relink(t, dir, nil, "--builder", "embedded", "build", "--output", "type=cacheonly", ".")
		}()
		if !eventually(30*time.Second, func() bool { return len(m.daemons(t)) > 0 }) {
			t.Fatalf("no daemon was started:\n%s", (<-done).Stderr)
		}
		time.Sleep(time.Duration(rand.IntN(1200)) * time.Millisecond)
		for _, pid := range m.daemons(t) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Logf("killing the daemon: %v", err)
			}
		}
		<-done
		wantNoStep(t, mark)
		m.relink(t, dir, nil, "--builder", "embedded", "build", "--output", "type=cacheonly", ".").MustSucceed(t)
	}
}

// wantNoStep wants no build step to run that has the mark on its command line.
func wantNoStep(t *testing.T, mark string) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		// A process may end while this looks at it.
		if command, err := os.ReadFile(file); err == nil && strings.Contains(string(command), "true "+mark) {
			t.Errorf("a step runs on: %q (%s)", command, file)
		}
	}
}

// TestEmbeddedShared has stock buildx use the daemon, which stays for it.
func TestEmbeddedShared(t *testing.T) {
	t.Parallel()
	b := bed.Shared(t)
	m := station{bed: b, programs: allPrograms}.make(t)
	env := []string{"RELINK_EMBEDDED_IDLE=1ms", "BUILDX_CONFIG=" + filepath.Join(m.dir, "buildx")}
	m.relink(t, "/", env, "builder", "start", "--share", "mine").MustSucceed(t)
	before := m.daemons(t)
	dir := embeddedContext(t, "FROM "+b.Base(t, "busybox")+"\nRUN cat /etc/passwd\n")
	b.Docker(t, dir, env, "buildx", "build", "--builder", "mine", "--output", "type=cacheonly", ".").MustSucceed(t)
	m.relink(t, dir, env, "--builder", "embedded", "build", "--output", "type=cacheonly", ".").MustSucceed(t)
	time.Sleep(200 * time.Millisecond)
	if after := m.daemons(t); fmt.Sprint(before) != fmt.Sprint(after) || len(after) != 1 {
		t.Errorf("processes %d, then %d: want one that stays", before, after)
	}
	listed := b.Docker(t, "", env, "buildx", "ls").MustSucceed(t)
	if !strings.Contains(listed.Stdout, "mine") || strings.Contains(listed.Stdout, "embedded") {
		t.Errorf("buildx ls:\n%s", listed.Stdout)
	}
	m.relink(t, "/", env, "builder", "rm").MustSucceed(t)
	listed = b.Docker(t, "", env, "buildx", "ls").MustSucceed(t)
	if strings.Contains(listed.Stdout, "mine") {
		t.Errorf("the shared builder is still there:\n%s", listed.Stdout)
	}
}

// TestEmbeddedReplaced has commands meet a daemon that is not theirs: with other
// settings, or of another version.
func TestEmbeddedReplaced(t *testing.T) {
	t.Parallel()
	m := station{bed: bed.Shared(t), programs: allPrograms}.make(t)
	for _, other := range []func(){
		func() {},
		func() {
			bed.WriteFiles(t, filepath.Join(m.dir, "docker", "buildx"), bed.Text("buildkitd.default.toml", "[registry.\"example.com\"]\n  http = true\n"))
		},
		func() {
			record := filepath.Join(m.place(), "daemon.json")
			data, err := os.ReadFile(record)
			if err != nil {
				t.Fatal(err)
			}
			old := regexp.MustCompile(`"version":"[^"]*"`).ReplaceAllString(string(data), `"version":"0.0.1"`)
			if err := os.WriteFile(record, []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		before := m.daemons(t)
		other()
		m.together(t, 3, nil)
		after := m.daemons(t)
		if len(after) != 1 || len(before) > 0 && after[0] == before[0] {
			t.Errorf("processes %d, then %d: want another one", before, after)
		}
		m.together(t, 1, nil)
		if again := m.daemons(t); fmt.Sprint(again) != fmt.Sprint(after) {
			t.Errorf("processes %d, then %d: want the same", after, again)
		}
	}
}

// TestEmbeddedStateInUse has something else use the folder: it is left alone.
func TestEmbeddedStateInUse(t *testing.T) {
	t.Parallel()
	m := station{bed: bed.Shared(t), programs: allPrograms}.make(t)
	m.together(t, 1, nil)
	m.relink(t, "/", nil, "builder", "stop").MustSucceed(t)
	if pids := m.daemons(t); len(pids) > 0 {
		t.Errorf("processes %d are left", pids)
	}
	lock := flock.New(filepath.Join(m.place(), "alive.lock"))
	if locked, err := lock.TryLock(); err != nil || !locked {
		t.Fatalf("locking the folder: %t, %v", locked, err)
	}
	result := m.relink(t, embeddedContext(t, "FROM scratch\nCOPY page /\n"), nil, "--builder", "embedded", "build", "--output", "type=cacheonly", ".")
	if result.Code == 0 || !strings.Contains(result.Stderr, "is in use") {
		t.Errorf("exit code %d:\n%s", result.Code, result.Stderr)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	m.together(t, 1, nil)
}

// TestEmbeddedInherits has the daemon keep nothing of whoever started it: a lock
// that a script holds is free when the script ends.
func TestEmbeddedInherits(t *testing.T) {
	t.Parallel()
	m := station{bed: bed.Shared(t), programs: allPrograms}.make(t)
	lock, err := os.Create(filepath.Join(m.dir, "script.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	cmd := m.command(t, embeddedContext(t, "FROM scratch\nCOPY page /\n"), nil, "--builder", "embedded", "build", "--output", "type=cacheonly", ".")
	// The first ones are where the daemon has files of its own.
	cmd.ExtraFiles = []*os.File{lock, lock, lock, lock, lock, lock}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The daemon runs, and the lock ends with our own file.
	if pids := m.daemons(t); len(pids) != 1 {
		t.Errorf("processes %d, want one", pids)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	other := flock.New(lock.Name())
	if locked, err := other.TryLock(); err != nil || !locked {
		t.Errorf("the script's lock is held: %t, %v", !locked, err)
	}
}

// TestEmbeddedUnderCI has the daemon leave at once.
func TestEmbeddedUnderCI(t *testing.T) {
	t.Parallel()
	m := station{bed: bed.Shared(t), programs: allPrograms}.make(t)
	m.together(t, 1, []string{"CI=true"})
	for deadline := time.Now().Add(10 * time.Second); len(m.daemons(t)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %d have not left", m.daemons(t))
		}
	}
}
