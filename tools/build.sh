#!/usr/bin/env bash
# Builds the engines and peers named in tools/go.mod and the linter of
# tools/lint/go.mod, and links them into .cache/bin, as the programs of
# tools/peers/go.mod and tools/containerdiff/go.mod that only benchmarks run; and the Docker Engine of
# tools/engine/go.mod, whose programs must not be taken for the machine's own,
# into .cache/engine.
#
# The binaries live outside the working tree, under a key made of all that
# decides what they are, so that a second clone does not build them again.
#
# usage: tools/build.sh [engines|lint|peers|dockerd]...
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-$root}/.cache}/docker-relink-tests
bin=$root/.cache/bin

# version prints the version of a module that tools/go.mod pins.
version() { (cd "$root/tools" && go list -m -f '{{.Version}}' "$1"); }

# build compiles every tool of the module in $1 into the directory $2.
build() {
	if [ "$1" = "$root/tools/engine" ]; then
		"$1/build.sh" "$2"
		return
	fi
	local ldflags="-s -w"
	if [ "$1" = "$root/tools" ]; then
		# Without these the daemons call themselves "0.0.0+unknown".
		ldflags+=" -X github.com/moby/buildkit/version.Version=$(version github.com/moby/buildkit)"
		ldflags+=" -X github.com/docker/buildx/version.Version=$(version github.com/docker/buildx)"
		ldflags+=" -X github.com/docker/cli/cli/version.Version=$(version github.com/docker/cli | sed 's/^v//; s/+.*//')"
	fi
	(cd "$1" && CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$2/" tool)
}

# provide makes the tools of the module in $1 present in the directory $2.
provide() {
	local module=$1 into=$2 key dir
	key=$(cat "$module"/go.{mod,sum} "$root/tools/build.sh" $(compgen -G "$module/build.sh") $(compgen -G "$module/init/*.go") <(go env GOVERSION GOARCH) | sha256sum | cut -c1-16)
	dir=$cache/tools/$key
	mkdir -p "$cache/tools" "$into"
	exec 9>"$dir.lock"
	flock 9
	if [ ! -d "$dir" ]; then
		echo "building the tools of ${module#"$root"/} (a few minutes the first time)"
		rm -rf "$dir.partial" && mkdir "$dir.partial"
		build "$module" "$dir.partial"
		mv "$dir.partial" "$dir"
	fi
	flock -u 9
	ln -sf "$dir"/* "$into/"
}

for what in "${@:-engines}"; do
	case $what in
	engines) provide "$root/tools" "$bin" ;;
	lint) provide "$root/tools/lint" "$bin" ;;
	peers)
		provide "$root/tools/peers" "$bin"
		# A module of its own: it needs older versions than all others.
		provide "$root/tools/containerdiff" "$bin"
		;;
	dockerd) provide "$root/tools/engine" "$root/.cache/engine" ;;
	*) echo "unknown set of tools: $what" >&2 && exit 2 ;;
	esac
done
