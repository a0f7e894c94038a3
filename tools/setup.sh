#!/usr/bin/env bash
# Installs the Debian packages that the tests and the demo need, or names the
# ones that are missing when it may not install them.
#
# usage: tools/setup.sh [PACKAGE]...    more packages than those for all
set -euo pipefail

# What each package is for: runc runs the build steps, uidmap gives users IDs for
# them, busybox-static and debootstrap make the base images, git serves the git
# contexts.
packages=(runc uidmap busybox-static debootstrap git ca-certificates "$@")

missing=()
for package in "${packages[@]}"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages: ${missing[*]}" >&2
	echo "install them as root: apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
