package tests

import (
	"testing"

	"github.com/docker-relink/relink/tests/bed"
)

var oneFile = []bed.File{bed.Text("f", "hello\n")}

// pathRows copy one file to places where the base has something of its own.
var pathRows = []row{
	onUsrmerge("parent is a symlink", "COPY f /bin/f"),
	onUsrmerge("parent is a symlink to a symlink", "COPY f /opt/link2/f"),
	onUsrmerge("parent is an absolute symlink", "COPY f /opt/absolute/f"),
	onUsrmerge("parent is an absolute symlink at the root", "COPY f /lib64/f"),
	onUsrmerge("parent is a symlink upwards", "COPY f /opt/up/f"),
	onUsrmerge("parent is a symlink that dangles", "COPY f /opt/dangling/f"),
	onUsrmerge("missing directory under a symlink", "COPY f /opt/link2/new/er/f"),
	onUsrmerge("destination is a symlink that dangles", "COPY f /opt/dangling"),
	onUsrmerge("destination is a symlink to a directory", "COPY f /opt/link"),
	onUsrmerge("destination is a symlink to a directory, with a slash", "COPY f /opt/link/"),
	onUsrmerge("destination is a symlink to a file", "COPY f /opt/filelink"),
	onUsrmerge("destination is a symlink at the root", "COPY f /lib"),
	onUsrmerge("destination is a directory", "COPY f /usr/lib"),
	onUsrmerge("destination is a file", "COPY f /etc/os-release"),
	onUsrmerge("destination is a hard link", "COPY f /opt/one"),
	onUsrmerge("destination is setuid", "COPY f /opt/suid"),
	onUsrmerge("destination has extended attributes", "COPY f /opt/attributes"),
	onUsrmerge("the same file over a hard link", "COPY same /opt/one").with(bed.Text("same", "shared\n")).reporting(unlinked("is in the base with the size and time of what is copied there")),
	onUsrmerge("the same file over one with extended attributes", "COPY same /opt/attributes").with(bed.Text("same", "x\n")).reporting(unlinked("is in the base with the size and time of what is copied there")),
	onUsrmerge("the same tree as the base has", "COPY tree/ /opt/").with(bed.Dir("tree/real", 0o755), bed.Text("tree/real/file", "real\n"), bed.Text("tree/new", "new\n")).reporting(unlinked("is in the base with the size and time of what is copied there")),
	{
		name: "missing directory below a setgid one that was made anew", files: oneFile, prepare: pushRemade,
		dockerfile: "FROM @registry@/base/remade\nCOPY f /d/d/x\n",
	},
	onUsrmerge("sticky parent", "COPY f /tmp/f"),
	onUsrmerge("missing directory under a sticky one", "COPY f /tmp/new/f"),
	onUsrmerge("closed parent", "COPY f /root/f"),
	onUsrmerge("missing directory under a closed one", "COPY f /root/new/f"),
	onUsrmerge("setgid parent", "COPY f /opt/setgid/f"),
	onUsrmerge("missing directory under a setgid one", "COPY f /opt/setgid/new/f"),
	onUsrmerge("parent with another owner", "COPY f /opt/nobody/f"),
	onUsrmerge("symlink to the run directory", "COPY f /var/run/f"),
	onUsrmerge("to the root", "COPY f /"),
	onUsrmerge("to the root by a dot", "COPY f ."),
	onUsrmerge("destination with dots in it", "COPY f /opt/./real/../link/../x/f"),
	onUsrmerge("missing directory with a slash", "COPY f /new/place/"),
	onUsrmerge("several into one directory", "COPY f f /opt/link/\nCOPY f /opt/link/g\nCOPY f /opt/real/h"),
	onUsrmerge("the same place twice", "COPY f /opt/x\nCOPY Dockerfile /opt/x"),
	onUsrmerge("into what a copy made", "COPY f /made/by/f\nCOPY f /made/by\nCOPY f /made/by/g/"),
	onUsrmerge("symlink made by the head", "RUN ln -s srv /made\nCOPY f /made/f"),
	onUsrmerge("symlink changed by the head", "RUN rm /opt/link && ln -s ../srv /opt/link\nCOPY f /opt/link2/f"),
	onUsrmerge("directory made by the head", "RUN mkdir -m 0711 /made && chown 5:6 /made\nCOPY f /made/sub/f"),
	onUsrmerge("directory removed by the head", "RUN rm -r /opt/real\nCOPY f /opt/link/f"),
	onUsrmerge("eleven copies", "COPY f /bin/1\nCOPY f /bin/2\nCOPY f /lib/3\nCOPY f /4\nCOPY f /5/\nCOPY f /tmp/6\n"+
		"COPY f /root/7\nCOPY f /opt/link/8\nCOPY f /opt/setgid/9\nCOPY f /srv/10\nCOPY f /var/run/11"),
	{
		name: "base of layers with whiteouts", baseDockerfile: "FROM @registry@/base/usrmerge\n" +
			"RUN rm -r /opt/real && mkdir -m 0700 /opt/real && rm /etc/os-release /opt/link2",
		base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@\nCOPY f /opt/real/\nCOPY f /etc/os-release/f\nCOPY f /opt/link2/f\n", report: linked,
	},
}

// pushRemade makes a base in which a directory was removed and made again, so
// that what was in it is hidden but still below: the kernel makes the same name
// again another way than a new one, and without the setgid bit of its parent.
func pushRemade(t *testing.T, b *bed.Bed) {
	t.Helper()
	image, err := bed.NewImage(nil,
		[]bed.File{bed.Dir("d", 0o755), bed.Dir("d/d", 0o755)},
		[]bed.File{bed.Text(".wh.d", ""), bed.Dir("d", 0o2775), bed.Text("d/new", "")})
	if err != nil {
		t.Fatal(err)
	}
	b.Push(t, b.Registry.Ref("base/remade"), image)
}

// onUsrmerge is a row whose Dockerfile begins with the small base that has all
// the traps.
func onUsrmerge(name, instructions string) row {
	return row{
		name: name, base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@\n" + instructions + "\n", report: linked,
	}
}

func (r row) with(files ...bed.File) row {
	r.files = append(append([]bed.File{}, r.files...), files...)
	return r
}

func (r row) withArgs(args ...string) row {
	r.args = append(append([]string{}, r.args...), args...)
	return r
}

func (r row) withEnv(env ...string) row {
	r.env = append(append([]string{}, r.env...), env...)
	return r
}

func (r row) failing(message string) row {
	r.fails, r.report = message, anything
	return r
}

func (r row) reporting(want expectation) row {
	r.report = want
	return r
}

// treeRows copy trees over trees.
var treeRows = []row{
	onUsrmerge("tree over symlinked directories", "COPY tree/ /").with(
		bed.Text("tree/bin/tool", "t").WithMode(0o755), bed.Text("tree/lib/x/y", "y"), bed.Text("tree/var/run/pid", "1"),
	).failing("cannot copy to non-directory"),
	onUsrmerge("tree over directories of other modes", "COPY tree/ /").with(
		bed.Dir("tree/tmp", 0o700), bed.Text("tree/tmp/x", "x"), bed.Dir("tree/root", 0o755), bed.Text("tree/root/x", "x"),
		bed.Dir("tree/opt", 0o500), bed.Dir("tree/opt/setgid", 0o711), bed.Text("tree/opt/setgid/x", "x"),
	),
	onUsrmerge("tree with owners of its own", "COPY tree/ /etc/app.d/").with(
		bed.Dir("tree", 0o700).OwnedBy(7, 8), bed.Text("tree/x", "x").OwnedBy(9, 9), bed.Text("tree/default.conf", "mine"),
	),
	onUsrmerge("tree into a symlink to a directory", "COPY tree /opt/link").with(
		bed.Dir("tree", 0o700), bed.Text("tree/x", "x"), bed.Text("tree/file", "new"),
	),
	onUsrmerge("tree into a symlink that dangles", "COPY tree /opt/dangling").with(bed.Text("tree/x", "x")),
	onUsrmerge("tree to a missing place", "COPY tree /new/place").with(bed.Dir("tree", 0o2750), bed.Text("tree/x", "x")),
	onUsrmerge("tree of another mode to plain directories", "COPY tree /opt\nCOPY tree /usr/\nCOPY --chmod=0700 f /usr/lib/f\nCOPY f /usr/lib/\nCOPY f Dockerfile /usr/\nCOPY f /usr/bin").with(
		bed.Dir("tree", 0o700), bed.Text("tree/x", "x"), bed.Dir("tree/bin", 0o700)),
	onUsrmerge("tree with a symlink over a file", "COPY tree/ /opt/").with(bed.Link("tree/one", "two")),
	onUsrmerge("tree with a symlink over a symlink", "COPY tree/ /opt/").with(bed.Link("tree/link", "elsewhere")),
	onUsrmerge("tree with a symlink over a directory", "COPY tree/ /opt/").with(bed.Link("tree/real", "setgid")).failing("cannot replace to directory"),
	onUsrmerge("tree with a file over a directory", "COPY tree/ /opt/").with(bed.Text("tree/real", "file")).failing("cannot replace to directory"),
	onUsrmerge("tree with a file over a symlink", "COPY tree/ /opt/").with(bed.Text("tree/link", "file"), bed.Text("tree/dangling", "file")),
	onUsrmerge("tree with a directory over a file", "COPY tree/ /opt/").with(bed.Text("tree/one/x", "x")).failing("cannot copy to non-directory"),
	onUsrmerge("tree with a directory over a symlink to a file", "COPY tree/ /opt/").with(bed.Text("tree/filelink/x", "x")).failing("cannot copy to non-directory"),
	onUsrmerge("tree with a directory over a symlink that dangles", "COPY tree/ /opt/").with(bed.Text("tree/dangling/x", "x")).failing("cannot copy to non-directory"),
	onUsrmerge("tree with symlinks of all kinds", "COPY tree /opt/tree\nCOPY tree /opt/link").with(
		bed.Link("tree/absolute", "/etc"), bed.Link("tree/up", "../../.."), bed.Link("tree/dangling", "no"), bed.Text("tree/x", "x"), bed.Link("tree/y", "x"),
	),
	onUsrmerge("tree with empty directories", "COPY tree /opt/\nCOPY tree/ /opt/t/").with(bed.Dir("tree/empty", 0o711), bed.Dir("tree/sticky", 0o1777)),
	onUsrmerge("symlink as the source", "COPY tree/l /opt/l\nCOPY tree/d /opt/d").with(
		bed.Text("tree/x", "x"), bed.Link("tree/l", "x"), bed.Text("tree/real/y", "y"), bed.Link("tree/d", "real"),
	),
	onUsrmerge("hard links in the context", "COPY tree /opt/tree").with(
		bed.Text("tree/a", "a"), bed.File{Path: "tree/b", Hardlink: "tree/a"},
	),
	onUsrmerge("wildcard of files", "COPY *.txt /opt/link/").with(bed.Text("a.txt", "a"), bed.Text("b.txt", "b")),
	onUsrmerge("wildcard of directories", "COPY d* /opt/link/").with(bed.Text("d1/a", "a"), bed.Text("d2/b", "b"), bed.Dir("d2/file", 0o755)).failing("cannot copy to non-directory"),
	onUsrmerge("wildcard of directories that fit", "COPY d* /opt/link/").with(bed.Text("d1/a", "a"), bed.Dir("d2", 0o700), bed.Text("d2/file", "b")),
	onUsrmerge("wildcard without a match", "COPY *.none /opt/link/new/"),
	onUsrmerge("wildcard inside a path", "COPY d*/a /opt/link/").with(bed.Text("d1/a", "1"), bed.Text("d2/a", "2")),
	onUsrmerge("parents", "COPY --parents opt/link/x etc/new/y /").with(bed.Text("opt/link/x", "x"), bed.Text("etc/new/y", "y")).failing("cannot copy to non-directory"),
	onUsrmerge("parents with a pivot and wildcards", "COPY --parents src/./**/*.c /opt/").with(
		bed.Dir("src/real", 0o700), bed.Text("src/real/x.c", "x"), bed.Text("src/link/y.c", "y"), bed.Text("src/z.h", "z"),
	).failing("cannot copy to non-directory"),
	onUsrmerge("parents that fit", "COPY --parents opt/real/x etc/new/y /\nCOPY --parents opt etc/new /opt/link2/").with(
		bed.Dir("opt", 0o700), bed.Dir("opt/real", 0o1755), bed.Text("opt/real/x", "x"), bed.Text("etc/new/y", "y")),
	onUsrmerge("parents with a pivot and wildcards that fit", "COPY --parents src/./**/*.c /opt/link/\nCOPY --parents src/*/x.c /opt/").with(
		bed.Dir("src/real", 0o700), bed.Text("src/real/x.c", "x"), bed.Text("src/real/d/y.c", "y"), bed.Text("src/z.h", "z"),
	),
	onUsrmerge("several sources to a file", "COPY f Dockerfile /opt/one"),
	onUsrmerge("several sources to a missing directory", "COPY f Dockerfile /opt/new"),
	onUsrmerge("exclude", "COPY --exclude=*.o --exclude=skip tree/ /opt/real/").with(
		bed.Text("tree/a.c", "a"), bed.Text("tree/a.o", "a"), bed.Text("tree/skip/x", "x"), bed.Text("tree/file", "new"),
	),
	onUsrmerge("ignore file", "COPY . /opt/link/").with(
		bed.Text(".dockerignore", "Dockerfile\n.dockerignore\nskip\n"), bed.Text("skip/x", "x"), bed.Text("sub/y", "y"),
	),
	onUsrmerge("stock links and plain copies mixed", "COPY --link f /bin/linked\nCOPY f /lib/plain\nCOPY --link f /new/linked").reporting(anything),
}
