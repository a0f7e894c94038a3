#!/usr/bin/env bash
# Makes the Debian base images of the tests, once, as compressed tars outside
# the working tree.
#
# usage: tools/bases.sh SUITE...    prints the path of each tar
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-$root}/.cache}/docker-relink-tests/bases
mkdir -p "$cache"

# mirror prints where this machine gets its own packages from; debootstrap has
# a default when it prints nothing.
mirror() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		grep -v security | head -n 1 || true
}

# bootstrap makes the tar of suite $1 at $2.
bootstrap() {
	local suite=$1 tar=$2 tree
	tree=$(mktemp -d "$cache/$suite.XXXXXX")
	# $tree has to be read now: it is out of scope when the trap runs.
	# shellcheck disable=SC2064
	trap "rm -rf '$tree'" EXIT
	debootstrap --variant=minbase "$suite" "$tree" $(mirror) </dev/null >"$cache/$suite.log" 2>&1 || {
		tail -n 20 "$cache/$suite.log" >&2
		return 1
	}
	chmod 0755 "$tree" # mktemp closes it, and this is the mode of "/".
	rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/* "$tree"/var/log/*.log
	tar --create --numeric-owner --xattrs --sort=name --exclude='./dev/*' -C "$tree" . | gzip -6 >"$tar.partial"
	mv "$tar.partial" "$tar"
	rm -rf "$tree"
	trap - EXIT
}

for suite in "$@"; do
	tar=$cache/debian-$suite.tar.gz
	exec 9>"$tar.lock"
	flock 9
	if [ ! -s "$tar" ]; then
		echo "debootstrap $suite" >&2
		bootstrap "$suite" "$tar"
	fi
	flock -u 9
	echo "$tar"
done
