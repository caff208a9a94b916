#!/usr/bin/env bash
# Builds real programs from their Go modules, once, and prints the folder they are in: control-plane/ in
# $NETPOL_TEST_CACHE, else in netpol/ in $XDG_CACHE_HOME, else in ~/.cache. Minutes the first time; then stamps say it
# is done. Needs the Go toolchain and a Go module proxy, nothing else.
#   build.sh            kube-apiserver and etcd
#   build.sh helm       helm alone
#   build.sh cluster    the first two, and what a cluster of nodes needs beside them, kubectl and agnhost included
set -euo pipefail
out="${NETPOL_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netpol}/control-plane"
here=$(cd "$(dirname "$0")" && pwd)
# Without gitVersion the API server panics at start.
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod")
: "${version:?no version of k8s.io/kubernetes in go.mod}"
kubernetes="-s -w -X k8s.io/component-base/version.gitVersion=$version"
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
mkdir -p "$out"
# Two test programs may ask at the same time: the second waits and then finds the stamps.
exec 9>"$out/.lock"
flock 9

# build MODULE LDFLAGS PACKAGE...: into $out, a program is named as its package's last part that is no version.
# A stamp for each program says of which module's state it is, sources of ours included.
build() {
  local module="$here/$1" flags=$2 package name stamp
  shift 2
  stamp="$(cat "$module"/go.* $(find "$module" -maxdepth 1 -name '*.go') | sha256sum | cut -d' ' -f1) $flags"
  for package in "$@"; do
    name=$(basename "${package%/server/v3}")
    if [ "$(cat "$out/.stamp-$name" 2>/dev/null)" != "$stamp" ]; then
      echo "building $name (minutes the first time)" >&2
      # Renamed into place: a program that runs cannot be written to.
      (cd "$module" && go build -trimpath -tags no_btrfs,no_devmapper,no_zfs -ldflags "$flags" -o "$out/.new-$name" "$package")
      mv "$out/.new-$name" "$out/$name"
      printf '%s' "$stamp" >"$out/.stamp-$name"
    fi
  done
}

if [ "${1:-}" = helm ]; then
  build helm '-s -w' helm.sh/helm/v4/cmd/helm
  printf '%s\n' "$out"
  exit
fi
build . "$kubernetes" k8s.io/kubernetes/cmd/kube-apiserver
build . '-s -w' go.etcd.io/etcd/server/v3
if [ "${1:-}" = cluster ]; then
  build . "$kubernetes" k8s.io/kubernetes/cmd/{kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubectl} \
    k8s.io/kubernetes/test/images/agnhost
  build containers '-s -w' github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr} \
    github.com/containernetworking/plugins/plugins/{ipam/host-local,main/bridge,main/loopback,main/ptp,meta/portmap}
  build gap-sender '-s -w' netpol.test/gap-sender
fi
printf '%s\n' "$out"
