#!/usr/bin/env bash
# Builds kube-apiserver and etcd from their Go modules, once, and prints the folder they are in: $NETPOL_TEST_CACHE,
# else netpol/ in $XDG_CACHE_HOME, else in ~/.cache. Minutes the first time; then the stamp file says it is done.
# Needs the Go toolchain and a Go module proxy, nothing else.
set -euo pipefail
out="${NETPOL_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netpol}/control-plane"
here=$(cd "$(dirname "$0")" && pwd)
# Without gitVersion the API server panics at start.
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod")
: "${version:?no version of k8s.io/kubernetes in go.mod}"
stamp="$version $(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -d' ' -f1)"
mkdir -p "$out"
# Two test programs may ask at the same time: the second waits and then finds the stamp.
exec 9>"$out/.lock"
flock 9
if [ "$(cat "$out/.stamp" 2>/dev/null)" != "$stamp" ]; then
  cd "$here"
  export CGO_ENABLED=0 GOFLAGS=-mod=readonly
  echo "building kube-apiserver $version and etcd (some minutes, once)" >&2
  go build -trimpath -o "$out/kube-apiserver" \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" k8s.io/kubernetes/cmd/kube-apiserver
  go build -trimpath -o "$out/etcd" -ldflags '-s -w' go.etcd.io/etcd/server/v3
  printf '%s' "$stamp" >"$out/.stamp"
fi
printf '%s\n' "$out"
