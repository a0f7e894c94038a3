package tests

import "github.com/docker-relink/relink/tests/bed"

var ownerRows = []row{
	onUsrmerge("owner by number", "COPY --chown=5:6 f /opt/real/x"),
	onUsrmerge("owner by one number", "COPY --chown=5 f /opt/real/x"),
	onUsrmerge("owner with missing parents", "COPY --chown=5:6 f /new/er/x"),
	onUsrmerge("owner with missing parents under a symlink", "COPY --chown=5:6 f /opt/link/new/x"),
	onUsrmerge("owner of a tree over existing directories", "COPY --chown=5:6 tree/ /opt/").with(
		bed.Text("tree/real/x", "x"), bed.Text("tree/setgid/x", "x"), bed.Text("tree/new/x", "x")),
	onUsrmerge("owner by name", "COPY --chown=app:staff f /opt/real/x"),
	onUsrmerge("owner by one name", "COPY --chown=app f /home/app/x"),
	onUsrmerge("owner by a group's name alone", "COPY --chown=:staff f /opt/x"),
	onUsrmerge("owner by name and number", "COPY --chown=app:77 f /opt/x\nCOPY --chown=77:app f /opt/y"),
	onUsrmerge("owner by name with missing parents", "COPY --chown=app:app f /home/app/a/b/c"),
	onUsrmerge("owner by a name that is not known", "COPY --chown=stranger:strangers f /opt/x"),
	onUsrmerge("owner from an argument", "ARG OWNER=app\nCOPY --chown=${OWNER}:$OWNER f /opt/x"),
	onUsrmerge("user and group made by the head", "RUN echo new:x:1234:1235::/:/bin/sh >>/etc/passwd && echo crowd:x:4321: >>/etc/group\n"+
		"COPY --chown=new:crowd f /opt/x\nCOPY --chown=new f /opt/y"),
	onUsrmerge("user made by the tail", "COPY passwd /etc/passwd\nCOPY --chown=late f /opt/x\nUSER late\nWORKDIR /late").with(
		bed.Text("passwd", "late:x:2000:2001::/:/bin/sh\n")).reporting(anything),
	onUsrmerge("owner of what is there", "COPY --chown=app f /etc/os-release\nCOPY --chown=app tree /opt/real").with(bed.Dir("tree", 0o755)),
	{
		name: "owner from the environment of the base only", base: "usrmerge", files: oneFile,
		baseDockerfile: "FROM @registry@/base/usrmerge\nENV OWNER=app PLACE=/opt/link\nWORKDIR /srv/www\nUSER nobody\n",
		dockerfile:     "FROM @base@\nCOPY --chown=${OWNER} f ${PLACE}/x\nCOPY f here\nCOPY f ./new/\nWORKDIR sub\n", report: linked,
	},
	{
		name: "owner by name on nothing", files: oneFile,
		dockerfile: "FROM scratch\nCOPY --chown=app:app f /x\n", fails: "invalid user index",
	},
	{
		name: "user database behind a symlink", base: "usrmerge", files: oneFile,
		baseDockerfile: "FROM @registry@/base/usrmerge\nRUN mv /etc/passwd /srv/users && ln -s ../srv/users /etc/passwd\n",
		dockerfile:     "FROM @base@\nCOPY --chown=app f /x\n",
	},
}

var modeRows = []row{
	onUsrmerge("mode of a file", "COPY --chmod=0600 f /opt/real/x"),
	onUsrmerge("mode with missing parents", "COPY --chmod=0700 f /new/er/x"),
	onUsrmerge("mode with special bits", "COPY --chmod=4755 f /opt/x\nCOPY --chmod=2711 f /opt/y"),
	onUsrmerge("mode of a tree", "COPY --chmod=0750 tree /opt/tree").with(bed.Text("tree/d/x", "x"), bed.Link("tree/l", "d/x")),
	onUsrmerge("mode of a tree over existing directories", "COPY --chmod=0750 tree/ /opt/").with(bed.Text("tree/real/x", "x"), bed.Text("tree/setgid/x", "x")),
	onUsrmerge("symbolic mode", "COPY --chmod=u+x,go-rwx f /opt/x").reporting(anything),
	onUsrmerge("symbolic mode of a tree", "COPY --chmod=a=rX,u+w tree /opt/tree").with(bed.Dir("tree", 0o700), bed.Text("tree/x", "x").WithMode(0o711)).reporting(anything),
	onUsrmerge("mode from an argument", "ARG MODE=0640\nCOPY --chmod=$MODE f /opt/x"),
	onUsrmerge("mode and owner", "COPY --chmod=0640 --chown=app:staff f /opt/new/x"),
	onUsrmerge("special modes in the context", "COPY tree /opt/tree").with(
		bed.Dir("tree", 0o1777), bed.Text("tree/suid", "x").WithMode(0o4755), bed.Text("tree/none", "x").WithMode(0o000+0o1000)),
}

var workdirRows = []row{
	onUsrmerge("workdir that is missing", "WORKDIR /new/er\nCOPY f ."),
	onUsrmerge("workdir that exists", "WORKDIR /opt/setgid\nCOPY f x"),
	onUsrmerge("workdir under a symlink", "WORKDIR /opt/link2/new\nCOPY f x"),
	onUsrmerge("workdir is a symlink", "WORKDIR /opt/link\nCOPY f x"),
	onUsrmerge("workdir is a symlink that dangles", "WORKDIR /opt/dangling\nCOPY f x"),
	onUsrmerge("workdir is a file", "WORKDIR /opt/one\nCOPY f x").failing("not a directory"),
	onUsrmerge("workdir that is relative", "WORKDIR /opt\nWORKDIR link\nWORKDIR new\nCOPY f ./x\nWORKDIR ..\nCOPY f y"),
	onUsrmerge("workdir with variables", "ARG A=opt\nENV B=link\nWORKDIR /$A/${B}/${C:-new}\nCOPY f x"),
	onUsrmerge("workdir sticky", "WORKDIR /tmp\nCOPY f x"),
	onUsrmerge("workdir is the root", "WORKDIR /\nCOPY f x"),
	onUsrmerge("workdir alone", "WORKDIR /new"),
	onUsrmerge("workdir last", "COPY f /opt/x\nWORKDIR /opt/new"),
	onUsrmerge("user by name before workdir", "USER app\nWORKDIR /home/app/work\nCOPY f x\nCOPY --chown=app f y"),
	onUsrmerge("user by number before workdir", "USER 5:6\nWORKDIR /work/er\nCOPY f x"),
	onUsrmerge("user and group by name before workdir", "USER app:staff\nWORKDIR /work\nCOPY f x"),
	onUsrmerge("user with a group from the user database", "USER nobody\nWORKDIR /work\nCOPY f x"),
	onUsrmerge("user that is not known before workdir", "USER stranger\nWORKDIR /work\nCOPY f x").reporting(anything),
	onUsrmerge("user before an existing workdir", "USER app\nWORKDIR /opt/real\nCOPY f x"),
	onUsrmerge("copies into a workdir that was missing", "WORKDIR /new/app\nCOPY f ./\nCOPY f sub/\nCOPY tree .\nCOPY --chown=app f owned/\nCOPY --chmod=0700 f closed/\nWORKDIR sub\nCOPY f ./g").with(
		bed.Dir("tree", 0o700), bed.Text("tree/x", "x")),
	onUsrmerge("workdir that copies have made", "COPY tree /new/app/\nWORKDIR /new/app\nWORKDIR d\nCOPY f ./").with(bed.Dir("tree/d", 0o700), bed.Text("tree/d/x", "x")),
	onUsrmerge("workdir twice", "WORKDIR /new/app\nWORKDIR /new/app\nCOPY f .\nWORKDIR /new/app"),
	onUsrmerge("workdir and a copy of its name", "WORKDIR /new/app\nCOPY tree /new/app\nCOPY f /new\nCOPY *.none ./none/").with(bed.Dir("tree", 0o700), bed.Text("tree/x", "x")),
	onUsrmerge("workdir of the head", "WORKDIR /srv/www\nRUN touch made\nCOPY f x\nWORKDIR sub\nCOPY f y"),
}
