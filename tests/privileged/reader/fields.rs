// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What criu-images reads, under the names of CRIU's protocol files.
//!
//! Each type is taken apart whole, so that a field which is added to it cannot be forgotten here.

use std::path::Path;

use base64::Engine;
use criu_images::{
    CoreEntry, DumpStats, FileEntry, GhostFileEntry, ImageKind, InetSkEntry, Inventory, MmEntry, MntEntry,
    NetDeviceEntry, NetNsEntry, PidNsEntry, PstreeEntry, RegFileEntry, RemapFilePathEntry, RestoreStats, StatsEntry,
    TaskCore, TaskKobjIds, Timeval,
};
use serde_json::{Value, json};

use super::compare::records;

/// `enum fd_types`, from 0.
const FD_TYPES: [&str; 21] = [
    "UND",
    "REG",
    "PIPE",
    "FIFO",
    "INETSK",
    "UNIXSK",
    "EVENTFD",
    "EVENTPOLL",
    "INOTIFY",
    "SIGNALFD",
    "PACKETSK",
    "TTY",
    "FANOTIFY",
    "NETLINKSK",
    "NS",
    "TUNF",
    "EXT",
    "TIMERFD",
    "MEMFD",
    "BPFMAP",
    "PIDFD",
];
/// `enum nd_type`, from 0.
const DEVICE_TYPES: [&str; 9] = ["", "LOOPBACK", "VETH", "TUN", "EXTLINK", "VENET", "BRIDGE", "MACVLAN", "SIT"];
/// `enum remap_type`, from 0.
const REMAP_TYPES: [&str; 3] = ["LINKED", "GHOST", "PROCFS"];

/// The records of an image; nothing for a kind that has no type in criu-images.
pub(super) fn of_image(kind: ImageKind, path: &Path) -> Option<Vec<Value>> {
    Some(match kind {
        ImageKind::Inventory => all(kind, path, inventory),
        ImageKind::Pstree => all(kind, path, task),
        ImageKind::Ids => all(kind, path, ids),
        ImageKind::Core => all(kind, path, core),
        ImageKind::Mm => all(kind, path, memory),
        ImageKind::Files => all(kind, path, file),
        ImageKind::RegFiles => all(kind, path, regular_file),
        ImageKind::InetSockets => all(kind, path, socket),
        ImageKind::RemapFilePath => all(kind, path, remap),
        ImageKind::GhostFile => all(kind, path, ghost),
        ImageKind::Mountpoints => all(kind, path, mount),
        ImageKind::NetNs => all(kind, path, |NetNsEntry { ext_key }| json!({ "ext_key": optional_text(ext_key) })),
        ImageKind::PidNs => all(kind, path, |PidNsEntry { ext_key }| json!({ "ext_key": optional_text(ext_key) })),
        ImageKind::NetDevices => all(kind, path, device),
        ImageKind::Stats => all(kind, path, stats),
        ImageKind::TcpStream => return None,
    })
}

fn all<M: prost::Message + Default>(kind: ImageKind, path: &Path, fields: fn(&M) -> Value) -> Vec<Value> {
    records(kind, path).1.iter().map(fields).collect()
}

fn inventory(entry: &Inventory) -> Value {
    let Inventory {
        img_version,
        root_ids,
        ns_per_id,
        dump_uptime,
        pre_dump_mode,
        tcp_close,
        network_lock_method,
        dump_criu_run_id,
    } = entry;
    json!({
        "img_version": img_version,
        "root_ids": root_ids.as_ref().map(ids),
        "ns_per_id": ns_per_id,
        "dump_uptime": dump_uptime,
        "pre_dump_mode": pre_dump_mode,
        "tcp_close": tcp_close,
        "network_lock_method": network_lock_method,
        "dump_criu_run_id": optional_text(dump_criu_run_id),
    })
}

fn task(entry: &PstreeEntry) -> Value {
    let PstreeEntry { pid, ppid, pgid, sid, threads } = entry;
    json!({ "pid": pid, "ppid": ppid, "pgid": pgid, "sid": sid, "threads": threads })
}

fn ids(entry: &TaskKobjIds) -> Value {
    let TaskKobjIds { pid_ns_id, net_ns_id, ipc_ns_id, uts_ns_id, mnt_ns_id, user_ns_id, cgroup_ns_id, time_ns_id } =
        entry;
    json!({
        "pid_ns_id": pid_ns_id,
        "net_ns_id": net_ns_id,
        "ipc_ns_id": ipc_ns_id,
        "uts_ns_id": uts_ns_id,
        "mnt_ns_id": mnt_ns_id,
        "user_ns_id": user_ns_id,
        "cgroup_ns_id": cgroup_ns_id,
        "time_ns_id": time_ns_id,
    })
}

fn core(entry: &CoreEntry) -> Value {
    let CoreEntry { tc, ids: inner } = entry;
    json!({ "tc": tc.as_ref().map(task_core), "ids": inner.as_ref().map(ids) })
}

fn task_core(entry: &TaskCore) -> Value {
    let TaskCore { task_state, exit_code, personality, comm } = entry;
    json!({ "task_state": task_state, "exit_code": exit_code, "personality": personality, "comm": text(comm) })
}

fn file(entry: &FileEntry) -> Value {
    let FileEntry { kind, id, reg, isk } = entry;
    json!({
        "type": name(&FD_TYPES, *kind),
        "id": id,
        "reg": reg.as_deref().map(regular_file),
        "isk": isk.as_deref().map(socket),
    })
}

fn regular_file(entry: &RegFileEntry) -> Value {
    let RegFileEntry { id, flags, name, mnt_id, size, ext, mode } = entry;
    json!({
        "id": id,
        "flags": flags,
        "name": text(name),
        "mnt_id": mnt_id,
        "size": size,
        "ext": ext,
        "mode": mode,
    })
}

fn socket(entry: &InetSkEntry) -> Value {
    let InetSkEntry { id, ino, family, sock_type, proto, state, src_port, dst_port, src_addr, dst_addr, ns_id } = entry;
    json!({
        "id": id,
        "ino": ino,
        "family": family,
        "type": sock_type,
        "proto": proto,
        "state": state,
        "src_port": src_port,
        "dst_port": dst_port,
        "src_addr": src_addr,
        "dst_addr": dst_addr,
        "ns_id": ns_id,
    })
}

fn remap(entry: &RemapFilePathEntry) -> Value {
    let RemapFilePathEntry { orig_id, remap_id, remap_type } = entry;
    let remap_type = remap_type.map(|number| name(&REMAP_TYPES, number));
    json!({ "orig_id": orig_id, "remap_id": remap_id, "remap_type": remap_type })
}

fn ghost(entry: &GhostFileEntry) -> Value {
    let GhostFileEntry { uid, gid, mode, dev, ino, rdev, mtim, chunks, size, symlink_target } = entry;
    json!({
        "uid": uid,
        "gid": gid,
        "mode": mode,
        "dev": dev,
        "ino": ino,
        "rdev": rdev,
        "mtim": mtim.map(|Timeval { tv_sec, tv_usec }| json!({ "tv_sec": tv_sec, "tv_usec": tv_usec })),
        "chunks": chunks,
        "size": size,
        "symlnk_target": optional_text(symlink_target),
    })
}

fn mount(entry: &MntEntry) -> Value {
    let MntEntry {
        fstype,
        mnt_id,
        root_dev,
        parent_mnt_id,
        flags,
        root,
        mountpoint,
        source,
        options,
        shared_id,
        master_id,
        with_plugin,
        ext_mount,
        fsname,
        internal_sharing,
        deleted,
        sb_flags,
        ext_key,
    } = entry;
    json!({
        "fstype": fstype,
        "mnt_id": mnt_id,
        "root_dev": root_dev,
        "parent_mnt_id": parent_mnt_id,
        "flags": flags,
        "root": text(root),
        "mountpoint": text(mountpoint),
        "source": text(source),
        "options": text(options),
        "shared_id": shared_id,
        "master_id": master_id,
        "with_plugin": with_plugin,
        "ext_mount": ext_mount,
        "fsname": optional_text(fsname),
        "internal_sharing": internal_sharing,
        "deleted": deleted,
        "sb_flags": sb_flags,
        "ext_key": optional_text(ext_key),
    })
}

fn device(entry: &NetDeviceEntry) -> Value {
    let NetDeviceEntry { kind, ifindex, name: device, address } = entry;
    let address = base64::engine::general_purpose::STANDARD.encode(address);
    // Python ends each line of base64.
    let address = if address.is_empty() { address } else { address + "\n" };
    json!({ "type": name(&DEVICE_TYPES, *kind), "ifindex": ifindex, "name": text(device), "address": address })
}

fn memory(entry: &MmEntry) -> Value {
    let MmEntry { mm_start_code, mm_start_stack, mm_start_brk, exe_file_id } = entry;
    json!({
        "mm_start_code": mm_start_code,
        "mm_start_stack": mm_start_stack,
        "mm_start_brk": mm_start_brk,
        "exe_file_id": exe_file_id,
    })
}

fn stats(entry: &StatsEntry) -> Value {
    let StatsEntry { dump, restore } = entry;
    json!({
        "dump": dump.map(|DumpStats { freezing_time, frozen_time }| {
            json!({ "freezing_time": freezing_time, "frozen_time": frozen_time })
        }),
        "restore": restore.map(|RestoreStats {}| json!({})),
    })
}

fn name(names: &[&'static str], number: i32) -> &'static str {
    usize::try_from(number).ok().and_then(|number| names.get(number)).expect("a number that has a name")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("names that CRIU's reader can read")
}

fn optional_text(bytes: &Option<Vec<u8>>) -> Option<&str> {
    bytes.as_deref().map(text)
}
