#!/usr/bin/env bash
# Builds the container image: one static binary and nothing else, for each architecture given (amd64, arm64; both without
# arguments), as one OCI archive in $NETPOL_IMAGE_DIR (target/image), and prints its path. The same sources and compiler give the same bytes. Needs neither
# root nor a container engine. Import it with `ctr -n k8s.io images import`, `skopeo copy oci-archive:…`, `podman load`.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- amd64 arm64

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
: "${version:?no version in Cargo.toml}"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$(realpath -m "${NETPOL_IMAGE_DIR:-$target/image}")
layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT
blobs="$layout/blobs/sha256"
mkdir -p "$blobs" "$out"

# An archive of all in a folder, without a trace of when, where and by whom.
archive() {
  tar --create --directory "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar .
}

# Puts standard input among the blobs and prints its descriptor: media type, digest and size.
blob() {
  local file digest
  file=$(mktemp "$layout/blob.XXXXXX")
  cat >"$file"
  digest=$(sha256sum "$file" | cut -d' ' -f1)
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%d' "$1" "$digest" "$(stat -c %s "$file")"
  mv "$file" "$blobs/$digest"
}

# Builds the binary for an architecture and prints its path.
binary() {
  local triple compiler
  case $1 in
    amd64) triple=x86_64-unknown-linux-musl compiler=musl-gcc ;;
    arm64) triple=aarch64-unknown-linux-musl compiler=aarch64-linux-gnu-gcc ;;
    *) echo "error: architecture $1: amd64 or arm64" >&2; return 1 ;;
  esac
  command -v "$compiler" >/dev/null || {
    echo "error: $compiler is not installed; \`make install-image\` installs it" >&2
    return 1
  }
  # Paths of whoever builds would be in the messages of panics.
  export RUSTFLAGS="--remap-path-prefix=$PWD=/netpol --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  if rustup target add "$triple" >/dev/null 2>&1; then
    # Only one crate holds C, and it asks nothing of a C library. The linker comes with the compiler.
    local variable=${triple//-/_}
    export "CC_$variable=$compiler" "CARGO_TARGET_${variable^^}_LINKER=rust-lld"
  elif [ "${triple%%-*}" = "$(uname -m)" ]; then
    # Good for tests; a static glibc looks names up by libraries that the image does not have.
    echo "warning: no standard library for $triple (\`rustup target add $triple\` says why): linking glibc instead" >&2
    triple=${triple/musl/gnu}
    RUSTFLAGS+=" -C target-feature=+crt-static"
  else
    echo "error: no standard library for $triple; \`rustup target add $triple\` says why" >&2
    return 1
  fi
  cargo build --quiet --locked --profile image --target "$triple" -p netpol-agent --bin netpol >&2
  printf '%s\n' "$target/$triple/image/netpol"
}

manifests=""
for arch in "$@"; do
  program=$(binary "$arch")
  root="$layout/root-$arch"
  mkdir "$root"
  install -m 755 "$program" "$root/netpol"
  diff_id=$(archive "$root" | sha256sum | cut -d' ' -f1)
  layer=$(archive "$root" | gzip -9n | blob application/vnd.oci.image.layer.v1.tar+gzip)
  config=$(printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/netpol"],"Env":["PATH=/"],"Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$arch" "\"org.opencontainers.image.version\":\"$version\",\"org.opencontainers.image.licenses\":\"Apache-2.0\"" "$diff_id" |
    blob application/vnd.oci.image.config.v1+json)
  manifest=$(printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s},"layers":[%s}]}' \
    "$config" "$layer" | blob application/vnd.oci.image.manifest.v1+json)
  manifests+="${manifests:+,}$manifest,\"platform\":{\"architecture\":\"$arch\",\"os\":\"linux\"}}"
  echo "$arch: binary $(stat -c %s "$program") bytes, layer $(sed 's/.*"size":\([0-9]*\).*/\1/' <<<"$layer") bytes" >&2
done

rm -rf "$layout"/root-*
index=$(printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$manifests" |
  blob application/vnd.oci.image.index.v1+json)
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s,"annotations":{"io.containerd.image.name":"docker.io/library/netpol:%s","org.opencontainers.image.ref.name":"%s"}}]}' \
  "$index" "$version" "$version" >"$layout/index.json"
file="$out/netpol-$version.tar"
archive "$layout" >"$file"
printf '%s\n' "$file"
