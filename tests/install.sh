#!/usr/bin/env bash
# Installs the programs that tests, demo and cluster run: nft, ip, iptables, runc. Does nothing where they are.
set -euo pipefail
missing=()
for program in nft ip iptables runc; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "error: not installed: ${missing[*]}. Install nftables (1.0.6 or later), iproute2, iptables and runc." >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends nftables iproute2 iptables runc >/dev/null
