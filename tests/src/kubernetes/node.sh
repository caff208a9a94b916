#!/usr/bin/env bash
# The first process of a node, born in namespaces of its own for processes, mounts, network and host name. Furnishes the
# node and stays: when it ends the kernel ends everything else of the node, and the mounts are gone with it.
#   node.sh NAME FOLDER CGROUP
set -euo pipefail
name=$1 folder=$2 cgroup=$3
# The machine's /proc is still there: its first word is this process's number as the machine counts.
read -r pid _ </proc/self/stat
mount -t proc proc /proc
printf '%s' "$name" >/proc/sys/kernel/hostname
# What a node writes is in memory and its own, as are the paths: no program needs to be told other ones.
for place in /run /var/lib /var/log; do
  mount -t tmpfs -o mode=0755 node "$place"
done
mkdir -p /run/tmp /run/sysctl /run/cni /run/cgroup
cp "$folder"/*.conflist /run/cni/
# Of the machine's control groups it sees one of its own, and all of its containers are below that. In either version of
# the file system: the first has a tree for each controller.
grep -E '^[^ ]+ [^ ]+ cgroup2? ' /proc/mounts >/run/cgroups
while read -r _ place _; do
  own="$place/$cgroup"
  mkdir -p "$own"
  for file in cpuset.cpus cpuset.mems; do
    # Empty in a new group of the first version, and no process can be in such a one.
    if [ -f "$own/notify_on_release" ] && [ -f "$own/$file" ]; then cat "$place/$file" >"$own/$file"; fi
  done
  for controller in $(cat "$place/cgroup.controllers" 2>/dev/null); do
    echo "+$controller" >"$place/cgroup.subtree_control" && echo "+$controller" >"$own/cgroup.subtree_control" || true
  done
  mount --bind "$own" /run/cgroup
  umount "$place"
  mount --move /run/cgroup "$place"
done </run/cgroups
# A kubelet sets these for the whole machine unless they are so already: it is shown that they are.
while read -r key value; do
  printf '%s\n' "$value" >"/run/sysctl/${key//\//.}"
  mount --bind "/run/sysctl/${key//\//.}" "/proc/sys/$key"
done <<EOF
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
EOF
mount --make-rshared /
printf '%s' "$pid" >"$folder/.init"
mv "$folder/.init" "$folder/init"
# Bash reaps whatever loses its parent while it waits.
while :; do
  sleep infinity &
  wait "$!" || true
done
