#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Makes the images that the examples and tests of criu-images read: make.sh CRIU DIRECTORY
# A real criu dumps a process that has a deleted file open, whose content still has another name. It needs root, and
# works in namespaces and on a tmpfs of its own.
set -euo pipefail
if [ "${INSIDE:-}" != yes ]; then
    INSIDE=yes exec unshare --mount --net --pid --fork --mount-proc "$0" "$@"
fi
criu=$1 target=$2
ip link set lo up
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
cd /mnt
mkdir images data
echo content >data/report
ln data/report data/report.keep
touch output
LC_ALL=C setsid sleep 1000 3<data/report <output >output 2>&1 10>&- &
task=$!
sleep 0.5
rm data/report
"$criu" dump --tree "$task" --images-dir images --link-remap --log-file /mnt/log || { cat /mnt/log >&2; exit 1; }
for image in inventory pstree remap-fpath files; do
    cp "images/$image.img" "$target"
done
