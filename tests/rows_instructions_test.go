package tests

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/docker-relink/relink/tests/bed"
)

var variableRows = []row{
	onUsrmerge("argument of the head in a destination", "ARG PLACE=/opt/link\nRUN true\nCOPY f $PLACE/x"),
	onUsrmerge("argument overridden", "ARG PLACE=/opt/link\nRUN true\nCOPY f $PLACE/x").withArgs("--build-arg", "PLACE=/srv"),
	onUsrmerge("argument without a default", "ARG PLACE\nCOPY f /opt/link/${PLACE:-default}").withArgs("--build-arg", "PLACE=given"),
	onUsrmerge("argument from the environment", "ARG PLACE\nCOPY f /opt/$PLACE").withArgs("--build-arg", "PLACE").withEnv("PLACE=env"),
	onUsrmerge("environment of the head", "ENV PLACE=/opt/link NAME=x\nRUN true\nCOPY f ${PLACE}/${NAME}\nENV NAME=y\nCOPY f $PLACE/$NAME"),
	onUsrmerge("environment from an argument", "ARG V=1\nENV NAME=v$V\nRUN true\nCOPY f /opt/$NAME\nLABEL name=$NAME").withArgs("--build-arg", "V=2"),
	onUsrmerge("path changed by the tail", "COPY f /opt/x\nENV PATH=/opt:$PATH"),
	onUsrmerge("arguments of the platform", "ARG TARGETARCH\nARG TARGETPLATFORM\nCOPY f /opt/$TARGETARCH\nLABEL p=$TARGETPLATFORM"),
	onUsrmerge("expression in the source", "ARG NAME=f\nCOPY ${NAME%x} /opt/${NAME}${UNSET:+set}"),
	{
		name: "global argument in FROM", base: "usrmerge", files: oneFile,
		dockerfile: "ARG BASE=@base@\nARG PLACE=/opt/link\nFROM $BASE\nARG PLACE\nCOPY f $PLACE/x\n", report: linked,
	},
	{
		name: "global argument in FROM overridden", base: "usrmerge", files: oneFile,
		dockerfile: "ARG BASE=scratch\nFROM $BASE\nCOPY f /opt/link/x\n", args: []string{"--build-arg", "BASE=@base@"}, report: linked,
	},
}

var heredocRows = []row{
	onUsrmerge("heredoc", "COPY <<EOF /opt/link/x\nhello\nEOF"),
	onUsrmerge("heredocs with expansion and without", "ARG A=1\nCOPY <<one <<\"two\" /opt/link/\na=$A\none\na=$A\ntwo"),
	onUsrmerge("heredoc with mode and owner", "COPY --chmod=0755 --chown=app <<-EOF /new/script\n\t#!/bin/sh\n\techo hi\nEOF"),
	onUsrmerge("heredoc in the head", "RUN <<EOF\necho hi >/made\nEOF\nCOPY f /opt/link/x"),
	onUsrmerge("heredoc and then a file", "COPY <<EOF /opt/x\nhello\nEOF\nCOPY f /opt/link/f"),
}

// withTar puts an archive in the context: owners, special modes, links, and
// names that the base has as something else.
func (r row) withTar(files ...bed.File) row {
	data, err := bed.Tar(files...)
	if err != nil {
		panic(err) // The files are written in this package.
	}
	return r.with(bed.Text("a.tar", string(data)))
}

var addRows = []row{
	onUsrmerge("add a file", "ADD f /opt/link/x"),
	onUsrmerge("add a tree", "ADD tree/ /").with(bed.Text("tree/srv/x", "x"), bed.Text("tree/tmp/x", "x")),
	onUsrmerge("add a tree over symlinks", "ADD tree/ /").with(bed.Text("tree/bin/x", "x"), bed.Text("tree/tmp/x", "x")).failing("cannot copy to non-directory"),
	onUsrmerge("add a tar", "ADD a.tar /opt/new/").withTar(
		bed.Dir("d", 0o2750).OwnedBy(5, 6), bed.Text("d/x", "x").OwnedBy(7, 8).WithMode(0o4755),
		bed.Link("d/l", "x"), bed.File{Path: "d/h", Hardlink: "d/x"}).reporting(anything),
	onUsrmerge("add a tar to a symlink", "ADD a.tar /opt/link").withTar(bed.Text("x", "x"), bed.Text("file", "new")).reporting(anything),
	onUsrmerge("add a tar over symlinks", "ADD a.tar /").withTar(
		bed.Dir("bin", 0o755), bed.Text("bin/x", "x"), bed.Text("lib/y", "y"), bed.Text("opt/link/z", "z")).reporting(anything),
	onUsrmerge("add a tar over other types", "ADD a.tar /opt").withTar(
		bed.Text("real", "now a file"), bed.Dir("one", 0o700), bed.Link("setgid", "real")).reporting(anything),
	onUsrmerge("add a tar with an owner", "ADD --chown=app a.tar /opt/new/").withTar(bed.Dir("d", 0o750), bed.Text("d/x", "x").OwnedBy(7, 8)).reporting(anything),
	onUsrmerge("add a tar with a mode beside a copy with one", "ADD --chmod=0700 a.tar /new/d/\nCOPY --chmod=0700 f /new/x").withTar(bed.Dir("d", 0o750), bed.Text("d/x", "x")).reporting(anything),
	onUsrmerge("add a tar and then copy", "ADD a.tar /opt/\nCOPY f /opt/t/x").withTar(bed.Link("t", "real")).
		reporting(unlinked("a symbolic link that an earlier instruction copied")),
	onUsrmerge("copy a tar", "COPY a.tar /opt/link/").withTar(bed.Text("x", "x")),
	onUsrmerge("add a url", "ADD @web@/files/x /opt/link/y"),
	onUsrmerge("add a url to a directory", "ADD @web@/files/x /opt/link/"),
	onUsrmerge("add a url with mode and owner", "ADD --chmod=0755 --chown=app @web@/files/x /opt/new/x"),
	onUsrmerge("add a url and unpack it", "ADD --unpack=true @web@/files/x.tar /opt/link/").reporting(anything),
	onUsrmerge("add a repository", "ADD @web@/git/repo.git#main /opt/link").reporting(anything),
	onUsrmerge("add a repository's directory", "ADD @web@/git/repo.git#main:sub /new/place/\nCOPY f /opt/link/x").reporting(anything),
}

var configRows = []row{
	onUsrmerge("everything in the config", "COPY f /opt/x\nSHELL [\"/bin/sh\", \"-ec\"]\nHEALTHCHECK --interval=3s CMD true\n"+
		"VOLUME /data /more\nSTOPSIGNAL SIGINT\nLABEL a=b c=\"d e\"\nEXPOSE 80 53/udp\nENTRYPOINT [\"/x\"]\nCMD a b\nUSER app\nONBUILD COPY f /y\nMAINTAINER someone"),
	onUsrmerge("shell in the head and a shell form in the tail", "SHELL [\"/bin/sh\", \"-ec\"]\nRUN true\nCOPY f /opt/x\nCMD a b\nENTRYPOINT c d"),
	onUsrmerge("volume and then a copy into it", "VOLUME /opt/real\nCOPY f /opt/link/x"),
	onUsrmerge("health check removed", "HEALTHCHECK CMD true\nRUN true\nCOPY f /opt/x\nHEALTHCHECK NONE"),
	onUsrmerge("entrypoint resets the command", "CMD [\"a\"]\nRUN true\nCOPY f /opt/x\nENTRYPOINT [\"b\"]"),
	onUsrmerge("no copy at all", "LABEL a=b\nENV C=d").reporting(anything),
	onUsrmerge("nothing but FROM", "").reporting(anything),
	onUsrmerge("no tail", "COPY f /opt/x\nRUN true").reporting(anything),
	onUsrmerge("a tail of metadata", "RUN true\nLABEL a=b").reporting(anything),
	{name: "nothing below", files: oneFile, dockerfile: "FROM scratch\nCOPY f /x\nCOPY f /d/y\nWORKDIR /w\nCOPY f z\nENTRYPOINT [\"/x\"]\n"},
	{name: "nothing below and a name", files: oneFile, dockerfile: "FROM scratch AS s\nCOPY f /x\nFROM s\nCOPY f /y\n"},
	{name: "an empty image", dockerfile: "FROM scratch\nLABEL a=b\n"},
	{
		name: "triggers in the base that copy", base: "usrmerge", files: oneFile,
		baseDockerfile: "FROM @registry@/base/usrmerge\nONBUILD COPY f /opt/link/x\nONBUILD ENV A=1\nONBUILD WORKDIR /opt/link2\n",
		dockerfile:     "FROM @base@\nCOPY f y$A\n",
	},
	{
		name: "triggers in the base that run", base: "usrmerge", files: oneFile,
		baseDockerfile: "FROM @registry@/base/usrmerge\nONBUILD RUN ln -s srv /made\n",
		dockerfile:     "FROM @base@\nCOPY f /made/x\n",
	},
	{
		name: "rich config in the base", base: "usrmerge", files: oneFile,
		baseDockerfile: "FROM @registry@/base/usrmerge\nENV A=1\nLABEL l=1\nEXPOSE 80\nVOLUME /v\nUSER app\nWORKDIR /srv/w\nSHELL [\"/bin/sh\",\"-e\",\"-c\"]\nHEALTHCHECK CMD true\nSTOPSIGNAL SIGHUP\nENTRYPOINT [\"e\"]\nCMD [\"c\"]\n",
		dockerfile:     "FROM @base@\nCOPY f .\nCOPY f sub/\nLABEL m=2\nCMD run it\n", report: linked,
	},
	{
		name: "copy after switching the user", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@\nUSER app\nCOPY f /opt/link/x\nCOPY f /new/x\n", report: linked,
	},
}

var stageRows = []row{
	{
		name: "target is not the last stage", base: "usrmerge", files: oneFile, args: []string{"--target", "first"},
		dockerfile: "FROM @base@ AS first\nCOPY f /opt/link/x\nFROM first AS last\nRUN false\n", report: linked,
	},
	{
		name: "stage from a stage, both copy", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS first\nCOPY f /opt/link/x\nWORKDIR /opt/link\nFROM first\nCOPY f y\nCOPY f /bin/y\n", report: linked,
	},
	{
		name: "stage from a stage that runs last", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS first\nCOPY f /opt/x\nRUN rm -r /opt/real && ln -s srv /made\nFROM first\nCOPY f /made/y\nCOPY f /opt/link/x\n", report: linked,
	},
	{
		name: "stage from a stage that copies after it ran", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS first\nARG A=1\nRUN ln -s srv /made\nCOPY f /made/1\nENV B=2\nFROM first\nARG A\nCOPY f /made/a${A}b$B\n", report: linked,
	},
	{
		name: "stages in a chain", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS a\nCOPY f /opt/link/a\nFROM a AS b\nWORKDIR /opt/link\nFROM b AS c\nCOPY f c\nFROM c\nLABEL x=y\n", report: linked,
	},
	{
		name: "copy from a stage", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS build\nRUN mkdir -p -m 0711 /out/d && echo x >/out/d/x && ln /out/d/x /out/h && ln -s d /out/l && chmod 4755 /out/h && chown 5:6 /out/d\n" +
			"FROM @base@\nCOPY --from=build /out/ /opt/\nCOPY --from=build /out/d/x /opt/link/\nCOPY --from=build /out /new\n", report: linked,
	},
	{
		name: "copy of links and attributes from a stage", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS build\nFROM @base@\nCOPY --from=build /opt /copy\nCOPY --from=build /opt/attributes /opt/suid /opt/link2/\nCOPY --from=build /bin /programs\n", report: linked,
	},
	{
		name: "copy from a stage by number and from an image", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@\nRUN touch /made\nFROM @base@\nCOPY --from=0 /made /opt/link/\nCOPY --from=@base@ /etc/os-release /lib/\n", report: linked,
	},
	{
		name: "copy over the base from itself", base: "usrmerge",
		dockerfile: "FROM @base@ AS b\nFROM b\nCOPY --from=b / /\n", report: unlinked("is in the base with the size and time of what is copied there"),
	},
	{
		name: "copy from a stage that is built of the target's base", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS base\nRUN ln -s srv /made\nFROM base AS build\nRUN echo x >/out\nFROM base\nCOPY --from=build /out /made/\n", report: linked,
	},
	{
		name: "stage that nothing reaches", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@ AS never\nRUN false\nFROM @base@\nCOPY f /opt/link/x\n", report: linked,
	},
	{
		name: "run with a mount before the tail", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@\nRUN --mount=type=bind,target=/ctx cat /ctx/f >/made\nCOPY f /opt/link/x\n", report: linked,
	},
	{
		name: "run between copies", base: "usrmerge", files: oneFile,
		dockerfile: "FROM @base@\nCOPY f /opt/link/x\nRUN cp /opt/link/x /opt/link/y\nCOPY f /opt/link/z\n", report: linked,
	},
	{
		name: "network of the host", base: "usrmerge", files: oneFile, args: []string{"--allow", "network.host"},
		dockerfile: "FROM @base@\nRUN --network=host true\nCOPY f /opt/link/x\n", report: linked,
	},
}

var optionRows = []row{
	onUsrmerge("no cache for the stage", "RUN true\nCOPY f /opt/link/x").withArgs("--no-cache-filter", "0"),
	{
		name: "no cache for a named stage", base: "usrmerge", files: oneFile, args: []string{"--no-cache-filter", "app"},
		dockerfile: "FROM @base@ AS app\nRUN touch /made\nCOPY f /opt/link/x\n", report: linked,
	},
	onUsrmerge("no cache", "RUN true\nCOPY f /opt/link/x").withArgs("--no-cache"),
	onUsrmerge("labels and build arguments", "COPY f /opt/link/x").withArgs("--label", "a=b", "--build-arg", "HTTP_PROXY=http://proxy"),
	{
		name: "named context in place of the base", base: "usrmerge", files: oneFile,
		dockerfile: "FROM example.com/no/such:image\nCOPY f /opt/link/x\n", report: linked,
		args: []string{"--build-context", "example.com/no/such:image=docker-image://@base@"},
	},
	{
		name: "named context in place of a stage", base: "usrmerge", files: oneFile,
		dockerfile: "FROM scratch AS base\nCOPY f /never\nFROM base\nCOPY f /opt/link/x\n", report: linked,
		args: []string{"--build-context", "base=docker-image://@base@"},
	},
	{
		name: "named context of files as the base", base: "usrmerge", files: append([]bed.File{bed.Link("tree/l", "d"), bed.Dir("tree/d", 0o711)}, oneFile...),
		dockerfile: "FROM files\nCOPY f /l/x\n", args: []string{"--build-context", "files=@dir@/tree"},
	},
	onUsrmerge("named context to copy from", "COPY --from=more x /opt/link/").with(bed.Text("sub/x", "x")).withArgs("--build-context", "more=@dir@/sub"),
	onUsrmerge("another Dockerfile", "RUN false").with(bed.Text("other/Dockerfile.x", "FROM scratch\nCOPY f /x\n")).withArgs("-f", "other/Dockerfile.x").reporting(anything),
	{
		name: "directives and comments", base: "usrmerge", files: oneFile,
		dockerfile: "# escape=`\n# check=skip=all\n\n# a comment\nFROM @base@\n# more\nCOPY f `\n  # inside\n  /opt/link/x\n", report: linked,
	},
	{
		name: "two platforms", files: oneFile, prepare: pushTwoPlatforms,
		dockerfile: "FROM @registry@/base/two\nARG TARGETARCH\nCOPY f /place/$TARGETARCH\nCOPY f /here/x\n",
		args:       []string{"--platform", "linux/amd64,linux/arm64"}, report: linked,
	},
	{
		name: "two platforms with a stage that runs on one", files: oneFile, prepare: pushTwoPlatforms, base: "usrmerge",
		dockerfile: "FROM --platform=$BUILDPLATFORM @base@ AS build\nARG TARGETARCH\nRUN echo $TARGETARCH >/out\nFROM @registry@/base/two\nCOPY --from=build /out /here/x\n",
		args:       []string{"--platform", "linux/amd64,linux/arm64"}, report: linked,
	},
	{
		name: "another platform", files: oneFile, prepare: pushTwoPlatforms,
		dockerfile: "FROM @registry@/base/two\nCOPY f /place/x\n", args: []string{"--platform", "linux/arm64"}, report: linked,
	},
	onUsrmerge("epoch", "COPY f /opt/link/x\nCOPY <<EOF /y\nhi\nEOF\nWORKDIR /new").withEnv("SOURCE_DATE_EPOCH=1600000000"),
	onUsrmerge("epoch with rewritten timestamps", "COPY f /opt/link/x\nCOPY <<EOF /y\nhi\nEOF\nWORKDIR /new").
		withEnv("SOURCE_DATE_EPOCH=1600000000").withArgs("--output", "type=image,name=@ref@,push=true,rewrite-timestamp=true"),
	onUsrmerge("annotations", "COPY f /opt/link/x").withArgs("--annotation", "a=b"),
	onUsrmerge("docker media types", "COPY f /opt/link/x").withArgs("--output", "type=image,name=@ref@,push=true,oci-mediatypes=false"),
	onUsrmerge("zstd", "COPY f /opt/link/x").withArgs("--output", "type=image,name=@ref@,push=true,compression=zstd,force-compression=true"),
	onUsrmerge("inline cache", "COPY f /opt/link/x").withArgs("--cache-to", "type=inline"),
}

// pushTwoPlatforms makes a base whose trees differ between its platforms.
func pushTwoPlatforms(t *testing.T, b *bed.Bed) {
	t.Helper()
	var images []v1.Image
	for arch, target := range map[string]string{"amd64": "one", "arm64": "two"} {
		image, err := bed.NewImage(func(c *v1.ConfigFile) {
			c.Architecture = arch
			c.Config.Env = append(c.Config.Env, "ARCH="+arch)
		}, []bed.File{bed.Dir("one", 0o755), bed.Dir("two", 0o711), bed.Link("place", target), bed.Dir("here", 0o1777)})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image)
	}
	b.PushIndex(t, b.Registry.Ref("base/two"), images...)
}

var failingRows = []row{
	onUsrmerge("source is missing", "COPY f /opt/x\n\nCOPY missing /opt/y").failing("not found"),
	onUsrmerge("unknown instruction", "COPY f /x\nCOPPY f /y").failing("unknown instruction: COPPY"),
	onUsrmerge("unknown flag", "COPY --nope f /x").failing("unknown flag: --nope"),
	onUsrmerge("copy without a destination", "COPY f").failing("COPY requires at least two arguments"),
	onUsrmerge("target by number", "COPY f /x").withArgs("--target", "0").failing("target stage \"0\" could not be found"),
	onUsrmerge("bad mode", "COPY --chmod=nope f /opt/x").failing("chmod"),
	onUsrmerge("head fails", "RUN exit 3\nCOPY f /x").failing("exit code: 3"),
	onUsrmerge("directory onto a file", "COPY tree /opt/one").with(bed.Text("tree/x", "x")).failing("cannot copy to non-directory"),
	onUsrmerge("path through a file", "COPY f /opt/one/x").failing("not a directory"),
	onUsrmerge("the second instruction fails", "COPY f /opt/x\nCOPY f /etc/passwd/x\nCOPY f /opt/y").failing("not a directory"),
	onUsrmerge("copy from an unknown stage", "COPY --from=localhost:1/none f /x").failing("localhost:1/none"),
	onUsrmerge("unknown target", "COPY f /x").withArgs("--target", "none").failing("target stage \"none\" could not be found"),
	{name: "unknown base", files: oneFile, dockerfile: "FROM @registry@/base/none\nCOPY f /x\n", fails: "not found"},
	{name: "empty Dockerfile", files: oneFile, dockerfile: "# nothing\n", fails: "file with no instructions"},
	{name: "copy before FROM", files: oneFile, dockerfile: "COPY f /x\nFROM scratch\n", fails: "no build stage in current context"},
	onUsrmerge("stages in a circle", "COPY --from=b f /x\nFROM scratch AS b\nCOPY --from=a f /x").failing("a"),
	onUsrmerge("wrong checksum", "ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 @web@/files/x /opt/").failing("digest mismatch"),
}

var debianRows = []row{
	onDebian("bookworm"),
	onDebian("trixie"),
}

// onDebian is a Dockerfile as many are, with a trap in each of its lines.
func onDebian(suite string) row {
	return row{
		name: "application on Debian " + suite, base: "debian:" + suite,
		files: []bed.File{
			bed.Text("tool", "#!/bin/sh\n").WithMode(0o755), bed.Text("conf/app.conf", "a=b\n"),
			bed.Text("root/usr/lib/app/x", "x"), bed.Text("root/etc/y", "y"), bed.Text("root/var/tmp/z", "z"),
		},
		dockerfile: `FROM @base@
RUN useradd --uid 1500 --create-home app
WORKDIR /app
COPY tool /bin/
COPY tool /lib/x86_64-linux-gnu/
COPY --chown=app:app conf conf
COPY conf/app.conf /var/run/app.conf
COPY conf/app.conf /tmp/
COPY root/ /
COPY conf/app.conf /etc/default
USER app
WORKDIR /home/app/work
COPY --chmod=0600 --chown=app conf/app.conf .
EXPOSE 8080
CMD ["tool"]
`,
		report: linked,
	}
}
