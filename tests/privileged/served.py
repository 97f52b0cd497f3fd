# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Serves a directory by FUSE at a mount point: served.py DIRECTORY MOUNTPOINT CONTROL [USER]

The file CONTROL says how: "slow" answers after a while, "mute" takes requests and never answers, "mute from a removal on"
begins that with the first request to remove a name; else it answers at once. The structures are those of linux/fuse.h, version 7.31."""
import ctypes
import os
import stat
import struct
import sys
import time

LOOKUP, FORGET, GETATTR, UNLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 10, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42
DELAY = 0.15

source, mountpoint, control, *user = sys.argv[1:]
# Whose mount it is; to such a one all files are said to be root's.
user = int(user[0]) if user else None
# The mount covers what is served where both are one.
base = os.open(source, os.O_PATH | os.O_DIRECTORY)
device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={device},rootmode=40000,user_id={user or 0},group_id={user or 0},allow_other"
if libc.mount(b"served", mountpoint.encode(), b"fuse.served", 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
libc.prctl(15, b"serves", 0, 0, 0)
# The name of each node; the directory itself is the first.
names = {1: "."}


def node(name):
    for number, known in names.items():
        if known == name:
            return number
    number = max(names) + 1
    names[number] = name
    return number


def attributes(name):
    found = os.stat(name, dir_fd=base, follow_symlinks=False)
    owner = (found.st_uid, found.st_gid) if user is None else (0, 0)
    times = [found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns]
    return struct.pack(
        "<6Q3I7I", found.st_ino, found.st_size, found.st_blocks,
        *[at // 10**9 for at in times], *[at % 10**9 for at in times],
        found.st_mode, found.st_nlink, *owner, 0, 4096, 0,
    )


def entries(offset, size):
    listed = b""
    for at, name in enumerate(sorted(os.listdir(f"/proc/self/fd/{base}"))):
        if at < offset:
            continue
        raw = os.fsencode(name)
        found = os.stat(name, dir_fd=base, follow_symlinks=False)
        entry = struct.pack("<QQII", found.st_ino, at + 1, len(raw), stat.S_IFMT(found.st_mode) >> 12) + raw
        entry += b"\0" * (-len(entry) % 8)
        if len(listed) + len(entry) > size:
            break
        listed += entry
    return listed


def answer(operation, number, body):
    if operation == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, *[0] * 8)
    if operation == LOOKUP:
        name = os.fsdecode(body.split(b"\0")[0])
        return struct.pack("<4Q2I", node(name), 0, 0, 0, 0, 0) + attributes(name)
    if operation == GETATTR:
        return struct.pack("<QII", 0, 0, 0) + attributes(names[number])
    if operation == UNLINK:
        os.unlink(os.fsdecode(body.split(b"\0")[0]), dir_fd=base)
        return b""
    if operation in (OPEN, OPENDIR):
        return struct.pack("<QII", 0, 0, 0)
    if operation in (READ, READDIR):
        offset, size = struct.unpack("<8xQI", body[:20])
        if operation == READDIR:
            return entries(offset, size)
        file = os.open(names[number], os.O_RDONLY, dir_fd=base)
        content = os.pread(file, size, offset)
        os.close(file)
        return content
    if operation == STATFS:
        return struct.pack("<5Q4I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
    if operation in (FLUSH, RELEASE, RELEASEDIR):
        return b""
    raise OSError(38, "not served")


while True:
    try:
        request = os.read(device, 1 << 20)
    except FileNotFoundError:
        continue
    operation, unique, number = struct.unpack("<4xIQQ", request[:24])
    if operation in (FORGET, BATCH_FORGET, INTERRUPT):
        continue
    with open(control) as file:
        manner = file.read().strip()
    is_removal = manner == "mute from a removal on" and operation == UNLINK
    if is_removal:
        with open(control, "w") as file:
            file.write("mute")
    if is_removal or manner == "mute":
        continue
    if manner == "slow":
        time.sleep(DELAY)
    try:
        payload, error = answer(operation, number, request[40:]), 0
    except OSError as failure:
        payload, error = b"", failure.errno
    try:
        os.write(device, struct.pack("<IiQ", 16 + len(payload), -error, unique) + payload)
    except FileNotFoundError:
        # Whoever asked has been interrupted.
        pass
