#!/usr/bin/env bash
# Installs the programs that tests and demo run: nft, ip. Does nothing where they are.
set -euo pipefail
missing=()
for program in nft ip; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "error: not installed: ${missing[*]}. Install nftables (1.0.6 or later) and iproute2." >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends nftables iproute2 >/dev/null
