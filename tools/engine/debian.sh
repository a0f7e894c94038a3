#!/usr/bin/env bash
# Unpacks Debian's Docker Engine into .cache/engine-debian without installing
# it, which would start it as a service of the machine. It is the old Engine of
# the tests: its BuildKit lacks what linking needs.
#
# usage: tools/engine/debian.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-$root}/.cache}/docker-relink-tests

# candidate prints the version of a package that would be installed.
candidate() { apt-cache policy "$1" | awk '/Candidate:/ { print $2 }'; }

# fetch unpacks the packages into the directory $1.
fetch() {
	local work
	work=$(mktemp -d)
	# The user that apt drops its rights to has to be able to write there.
	chmod 0777 "$work"
	(cd "$work" && apt-get download -qq docker.io containerd runc libdevmapper1.02.1 </dev/null)
	for package in "$work"/*.deb; do
		dpkg-deb -x "$package" "$1"
	done
	rm -rf "$work"
}

version=$(candidate docker.io)
if [ -z "$version" ] || [ "$version" = "(none)" ]; then
	apt-get update -qq </dev/null
	version=$(candidate docker.io)
fi
dir=$cache/engine-debian/${version//[^0-9A-Za-z.+-]/_}
mkdir -p "$cache/engine-debian" "$root/.cache"
exec 9>"$dir.lock"
flock 9
if [ ! -d "$dir" ]; then
	echo "unpacking Debian's Docker Engine $version"
	rm -rf "$dir.partial" && mkdir "$dir.partial"
	fetch "$dir.partial"
	mv "$dir.partial" "$dir"
fi
flock -u 9
ln -sfn "$dir" "$root/.cache/engine-debian"
