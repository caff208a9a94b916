#!/usr/bin/env bash
# Builds kube-apiserver and etcd from their Go modules into "$1" (a directory), once: Go's build cache and
# the stamp file make later runs take seconds. Needs the Go toolchain and a Go module proxy, nothing else.
set -euo pipefail
out=${1:?usage: build.sh OUTPUT-DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
# Without gitVersion the API server panics at start.
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod")
: "${version:?no version of k8s.io/kubernetes in go.mod}"
stamp="$version $(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -d' ' -f1)"
mkdir -p "$out"
# Two test programs may ask at the same time: the second waits and then finds the stamp.
exec 9>"$out/.lock"
flock 9
if [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
cd "$here"
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
go build -trimpath -o "$out/kube-apiserver" \
  -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" k8s.io/kubernetes/cmd/kube-apiserver
go build -trimpath -o "$out/etcd" -ldflags '-s -w' go.etcd.io/etcd/server/v3
printf '%s' "$stamp" >"$out/.stamp"
