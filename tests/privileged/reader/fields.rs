// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What criu-images reads, under the names of CRIU's protocol files.
//!
//! `whole` checks that these are all fields of a message: one that is added to it cannot be forgotten here.

use std::fmt::Debug;
use std::path::Path;

use base64::Engine;
use criu_images::{
    CoreEntry, DumpStats, Entry, FileEntry, GhostFileEntry, ImageKind, InetSkEntry, Inventory, MmEntry, MntEntry,
    NetDeviceEntry, NetNsEntry, PidNsEntry, PstreeEntry, RegFileEntry, RemapFilePathEntry, RestoreStats, SkOpts,
    StatsEntry, TaskCore, TaskKobjIds, TcpStreamEntry, ThreadCore, Timeval, UnixSkEntry,
};
use serde_json::{Value, json};

use super::compare::records;

/// `enum fd_types`, from 0.
const FD_TYPES: &str = "UND REG PIPE FIFO INETSK UNIXSK EVENTFD EVENTPOLL INOTIFY SIGNALFD PACKETSK TTY FANOTIFY \
                        NETLINKSK NS TUNF EXT TIMERFD MEMFD BPFMAP PIDFD";
/// `enum nd_type`, from 0, which means nothing.
const DEVICE_TYPES: &str = "- LOOPBACK VETH TUN EXTLINK VENET BRIDGE MACVLAN SIT";
/// `enum remap_type`, from 0.
const REMAP_TYPES: &str = "LINKED GHOST PROCFS";

/// The records of an image.
pub(super) fn of_image(kind: ImageKind, path: &Path) -> Vec<Value> {
    match kind {
        ImageKind::Inventory => all(path, inventory),
        ImageKind::Pstree => all(path, task),
        ImageKind::Ids => all(path, ids),
        ImageKind::Core => all(path, core),
        ImageKind::Mm => all(path, memory),
        ImageKind::Files => all(path, file),
        ImageKind::RegFiles => all(path, regular_file),
        ImageKind::InetSockets => all(path, socket),
        ImageKind::RemapFilePath => all(path, remap),
        ImageKind::GhostFile => all(path, ghost),
        ImageKind::Mountpoints => all(path, mount),
        ImageKind::NetNs => {
            all(path, |entry: &NetNsEntry| whole(entry, json!({ "ext_key": optional_text(&entry.ext_key) })))
        }
        ImageKind::PidNs => {
            all(path, |entry: &PidNsEntry| whole(entry, json!({ "ext_key": optional_text(&entry.ext_key) })))
        }
        ImageKind::NetDevices => all(path, device),
        ImageKind::Stats => all(path, stats),
        ImageKind::TcpStream => all(path, queues),
        other => panic!("{other:?} is not compared"),
    }
}

fn all<E: Entry>(path: &Path, fields: fn(&E) -> Value) -> Vec<Value> {
    records(path).1.iter().map(fields).collect()
}

/// The fields of a message, which have to be all that `Debug` shows of it.
fn whole(message: &impl Debug, fields: Value) -> Value {
    let text = format!("{message:#?}");
    let is_field = |line: &&str| line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    let count = fields.as_object().expect("an object").len();
    assert_eq!(text.lines().filter(is_field).count(), count, "not all fields are compared: {text}");
    fields
}

fn inventory(entry: &Inventory) -> Value {
    whole(
        entry,
        json!({
            "img_version": entry.img_version,
            "root_ids": entry.root_ids.as_ref().map(ids),
            "ns_per_id": entry.ns_per_id,
            "dump_uptime": entry.dump_uptime,
            "pre_dump_mode": entry.pre_dump_mode,
            "tcp_close": entry.tcp_close,
            "network_lock_method": entry.network_lock_method,
            "dump_criu_run_id": optional_text(&entry.dump_criu_run_id),
            "allow_uprobes": entry.allow_uprobes,
            "compress": entry.compress,
            "compress_block_size": entry.compress_block_size,
        }),
    )
}

fn task(entry: &PstreeEntry) -> Value {
    whole(
        entry,
        json!({ "pid": entry.pid, "ppid": entry.ppid, "pgid": entry.pgid, "sid": entry.sid, "threads": entry.threads }),
    )
}

fn ids(entry: &TaskKobjIds) -> Value {
    whole(
        entry,
        json!({
            "pid_ns_id": entry.pid_ns_id,
            "net_ns_id": entry.net_ns_id,
            "ipc_ns_id": entry.ipc_ns_id,
            "uts_ns_id": entry.uts_ns_id,
            "mnt_ns_id": entry.mnt_ns_id,
            "user_ns_id": entry.user_ns_id,
            "cgroup_ns_id": entry.cgroup_ns_id,
            "time_ns_id": entry.time_ns_id,
        }),
    )
}

fn core(entry: &CoreEntry) -> Value {
    whole(
        entry,
        json!({
            "tc": entry.tc.as_ref().map(task_core),
            "ids": entry.ids.as_ref().map(ids),
            "thread_core": entry.thread_core.as_ref().map(thread_core),
        }),
    )
}

fn thread_core(entry: &ThreadCore) -> Value {
    whole(entry, json!({ "blk_sigset": entry.blk_sigset }))
}

fn task_core(entry: &TaskCore) -> Value {
    whole(
        entry,
        json!({
            "task_state": entry.task_state,
            "exit_code": entry.exit_code,
            "personality": entry.personality,
            "blk_sigset": entry.blk_sigset,
            "comm": text(&entry.comm),
        }),
    )
}

fn file(entry: &FileEntry) -> Value {
    whole(
        entry,
        json!({
            "type": name(FD_TYPES, entry.kind),
            "id": entry.id,
            "reg": entry.reg.as_deref().map(regular_file),
            "isk": entry.isk.as_deref().map(socket),
            "usk": entry.usk.as_deref().map(unix_socket),
        }),
    )
}

fn regular_file(entry: &RegFileEntry) -> Value {
    whole(
        entry,
        json!({
            "id": entry.id,
            "flags": entry.flags,
            "name": text(&entry.name),
            "mnt_id": entry.mnt_id,
            "size": entry.size,
            "ext": entry.ext,
            "mode": entry.mode,
        }),
    )
}

fn socket(entry: &InetSkEntry) -> Value {
    whole(
        entry,
        json!({
            "id": entry.id,
            "ino": entry.ino,
            "family": entry.family,
            "type": entry.sock_type,
            "proto": entry.proto,
            "state": entry.state,
            "src_port": entry.src_port,
            "dst_port": entry.dst_port,
            "src_addr": entry.src_addr,
            "dst_addr": entry.dst_addr,
            "opts": entry.opts.as_ref().map(socket_options),
            "ns_id": entry.ns_id,
            "uid": entry.uid,
        }),
    )
}

fn socket_options(entry: &SkOpts) -> Value {
    whole(entry, json!({ "reuseaddr": entry.reuseaddr }))
}

fn unix_socket(entry: &UnixSkEntry) -> Value {
    whole(
        entry,
        json!({
            "id": entry.id,
            "ino": entry.ino,
            "name": quoted(&entry.name),
            "name_dir": optional_text(&entry.name_dir),
            "deleted": entry.deleted,
            "mnt_id": entry.mnt_id,
        }),
    )
}

fn remap(entry: &RemapFilePathEntry) -> Value {
    let remap_type = entry.remap_type.map(|number| name(REMAP_TYPES, number));
    whole(entry, json!({ "orig_id": entry.orig_id, "remap_id": entry.remap_id, "remap_type": remap_type }))
}

fn ghost(entry: &GhostFileEntry) -> Value {
    whole(
        entry,
        json!({
            "uid": entry.uid,
            "gid": entry.gid,
            "mode": entry.mode,
            "dev": entry.dev,
            "ino": entry.ino,
            "rdev": entry.rdev,
            "mtim": entry.mtim.as_ref().map(time),
            "chunks": entry.chunks,
            "size": entry.size,
            "symlnk_target": optional_text(&entry.symlink_target),
        }),
    )
}

fn time(entry: &Timeval) -> Value {
    whole(entry, json!({ "tv_sec": entry.tv_sec, "tv_usec": entry.tv_usec }))
}

fn queues(entry: &TcpStreamEntry) -> Value {
    whole(
        entry,
        json!({
            "inq_len": entry.inq_len,
            "inq_seq": entry.inq_seq,
            "outq_len": entry.outq_len,
            "outq_seq": entry.outq_seq,
        }),
    )
}

fn mount(entry: &MntEntry) -> Value {
    whole(
        entry,
        json!({
            "fstype": entry.fstype,
            "mnt_id": entry.mnt_id,
            "root_dev": entry.root_dev,
            "parent_mnt_id": entry.parent_mnt_id,
            "flags": entry.flags,
            "root": text(&entry.root),
            "mountpoint": text(&entry.mountpoint),
            "source": text(&entry.source),
            "options": text(&entry.options),
            "shared_id": entry.shared_id,
            "master_id": entry.master_id,
            "with_plugin": entry.with_plugin,
            "ext_mount": entry.ext_mount,
            "fsname": optional_text(&entry.fsname),
            "internal_sharing": entry.internal_sharing,
            "deleted": entry.deleted,
            "sb_flags": entry.sb_flags,
            "ext_key": optional_text(&entry.ext_key),
        }),
    )
}

fn device(entry: &NetDeviceEntry) -> Value {
    whole(
        entry,
        json!({
            "type": name(DEVICE_TYPES, entry.kind),
            "ifindex": entry.ifindex,
            "name": text(&entry.name),
            "address": base64(&entry.address),
        }),
    )
}

fn memory(entry: &MmEntry) -> Value {
    whole(
        entry,
        json!({
            "mm_start_code": entry.mm_start_code,
            "mm_start_stack": entry.mm_start_stack,
            "mm_start_brk": entry.mm_start_brk,
            "exe_file_id": entry.exe_file_id,
        }),
    )
}

fn stats(entry: &StatsEntry) -> Value {
    let (dump, restore) = (entry.dump.as_ref().map(dump_stats), entry.restore.as_ref().map(restore_stats));
    whole(entry, json!({ "dump": dump, "restore": restore }))
}

fn dump_stats(entry: &DumpStats) -> Value {
    whole(entry, json!({ "freezing_time": entry.freezing_time, "frozen_time": entry.frozen_time }))
}

fn restore_stats(entry: &RestoreStats) -> Value {
    whole(entry, json!({}))
}

fn name(names: &'static str, number: i32) -> &'static str {
    let number = usize::try_from(number).ok();
    number.and_then(|number| names.split_whitespace().nth(number)).expect("a number that has a name")
}

/// As Python writes it: it ends each line.
fn base64(bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.is_empty() { text } else { text + "\n" }
}

/// As Python writes the name of a socket, whose NUL is one of its bytes.
fn quoted(bytes: &[u8]) -> String {
    text(bytes).replace('\0', "=00")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("names that CRIU's reader can read")
}

fn optional_text(bytes: &Option<Vec<u8>>) -> Option<&str> {
    bytes.as_deref().map(text)
}
