#!/usr/bin/env bash
# Builds a current Docker Engine into a directory: dockerd, the containerd and
# its shim that dockerd starts, runc, and docker-init.
#
# usage: tools/engine/build.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")"

out=$1
version=$(go list -m -f '{{.Version}}' github.com/moby/moby/v2)

# What is left out of containerd would be most of its build, and an Engine uses
# none of it.
CGO_ENABLED=0 go build -trimpath -tags no_cri,no_btrfs,no_zfs,no_devmapper \
	-ldflags "-s -w -X github.com/moby/moby/v2/dockerversion.Version=${version#v}" -o "$out/" \
	github.com/moby/moby/v2/cmd/dockerd \
	github.com/containerd/containerd/v2/cmd/containerd \
	github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2

# runc enters namespaces in C, and needs libseccomp for the profiles that the
# daemons give to every container. It is linked statically because it is also put
# into the image of the docker-container driver, which has no C library.
CGO_ENABLED=1 go build -trimpath -tags seccomp,netgo,osusergo -ldflags "-s -w -extldflags=-static" -o "$out/" \
	github.com/opencontainers/runc

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$out/docker-init" ./init
