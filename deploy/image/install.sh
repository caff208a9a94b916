#!/usr/bin/env bash
# Installs the C compilers that the image is built with. Does nothing where they are.
set -euo pipefail
[ $# -gt 0 ] || set -- amd64 arm64
missing=()
for arch in "$@"; do
  case $arch in
    amd64) command -v musl-gcc >/dev/null || missing+=(musl-tools) ;;
    arm64) command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
  esac
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "error: not installed: ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
