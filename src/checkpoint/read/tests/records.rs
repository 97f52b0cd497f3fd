// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is kept of the records: files, tasks, mounts, the network; and how much.

use criu_images::{CoreEntry, MmEntry, MntEntry, NetDeviceEntry, NetDeviceType, NetNsEntry, TaskCore};
use handmade::regular;

use super::*;
use crate::checkpoint::{ImageProblemKind, Oddity};
use crate::memory::{MemoryLayout, Randomisation};

fn mount(id: u32) -> MntEntry {
    MntEntry::default().with(|mount| {
        mount.mnt_id = id;
        mount.root = b"/".into();
    })
}

#[test]
fn only_files_that_matter_are_kept_and_each_has_its_place() {
    let directory = Directory::with_dump();
    let [link, original] = files();
    directory.write(0, &[link, regular(named(5, "/etc/passwd".as_ref())), original]);
    let checkpoint = directory.read();
    let mut ids: Vec<u32> = checkpoint.files.keys().copied().collect();
    ids.sort_unstable();
    assert_eq!(ids, [ORIGINAL, LINK]);
    let place = &checkpoint.files[&ORIGINAL].evidence;
    assert_eq!((&*place.image, place.record), ("files.img", 2));
    assert_eq!(
        place.offset as usize,
        handmade::offset(&[files()[0].clone(), regular(named(5, "/etc/passwd".as_ref()))], 2)
    );
}

#[test]
fn files_that_contradict_each_other_are_left_out() {
    let directory = Directory::with_dump();
    let [link, original] = files();
    let odd = |entries: &[FileEntry]| {
        directory.write(0, entries);
        let Checkpoint { files, odd, problems, .. } = directory.read();
        let [ImageProblem { kind: ImageProblemKind::OddEntries { first, count: 1, oddity }, .. }] = &problems[..]
        else {
            panic!("{problems:?}")
        };
        let mut ids: Vec<u32> = odd.files.into_iter().collect();
        ids.sort_unstable();
        (first.record, *oddity, ids, files.into_keys().collect::<Vec<u32>>())
    };
    let twice = odd(&[link.clone(), original.clone(), link.clone()]);
    assert_eq!(twice, (2, Oddity::SameFileId, vec![LINK], vec![ORIGINAL]));
    let two_ids = odd(&[link.clone().with(|file| file.id = 77), original.clone()]);
    assert_eq!(two_ids, (0, Oddity::TwoIds, vec![LINK, 77], vec![ORIGINAL]));
    let empty = odd(&[link.with(|file| file.reg = None), original]);
    assert_eq!(empty, (0, Oddity::NoFile, vec![LINK], vec![ORIGINAL]));
}

#[test]
fn a_task_is_what_its_images_tell() {
    let directory = Directory::with_dump();
    let core = TaskCore::default().with(|core| core.comm = b"job".into());
    directory.write(PID, &[CoreEntry::default().with(|entry| entry.tc = Some(core))]);
    directory.write(
        PID,
        &[MmEntry::default().with(|memory| {
            (memory.mm_start_code, memory.mm_start_stack, memory.mm_start_brk) = (Some(1), Some(2), Some(3));
            memory.exe_file_id = 5;
        })],
    );
    let [link, original] = files();
    directory.write(0, &[link, original, regular(named(5, "/usr/bin/job".as_ref()))]);
    let task = directory.read().tasks.remove(0);
    assert_eq!((task.pid, task.name.as_deref()), (PID, Some(&b"job"[..])));
    assert_eq!((task.executable.as_deref(), task.ids), (Some(&b"/usr/bin/job"[..]), Some(namespaces(3))));
    let memory = task.memory.unwrap();
    assert_eq!(memory.layout, MemoryLayout { start_code: 1, start_stack: 2, start_brk: 3 });
    assert_eq!(memory.randomisation, Randomisation::of_personality(0));
}

/// A memory image of an old CRIU, or a cut one.
#[test]
fn half_a_layout_of_the_memory_is_none() {
    let directory = Directory::with_dump();
    directory.write(PID, &[MmEntry::default().with(|memory| memory.mm_start_code = Some(1))]);
    assert_eq!(directory.read().tasks[0].memory, None);
}

#[test]
fn namespaces_may_be_in_the_core_image() {
    let directory = Directory::with_dump();
    directory.remove(&format!("ids-{PID}.img"));
    directory.write(PID, &[CoreEntry::default().with(|entry| entry.ids = Some(namespaces(4)))]);
    assert_eq!(directory.read().tasks[0].ids, Some(namespaces(4)));
}

/// A dump that was killed early.
#[test]
fn without_a_tree_the_tasks_are_those_with_namespaces() {
    let directory = Directory::with_dump();
    directory.remove("pstree.img");
    directory.write(PID + 1, &[namespaces(3)]);
    let pids: Vec<u32> = directory.read().tasks.iter().map(|task| task.pid).collect();
    assert_eq!(pids, [PID, PID + 1]);
}

#[test]
fn mounts_are_those_of_all_namespaces_of_the_tree() {
    let directory = Directory::with_dump();
    directory.write(0, &[task(PID), task(PID + 1)]);
    directory.write(PID + 1, &[namespaces(4)]);
    directory.write(3, &[mount(31)]);
    directory.write(4, &[mount(41), mount(42)]);
    // Of an earlier dump into the directory; its ids may be those of other mounts now.
    directory.write(9, &[mount(31), mount(91)]);
    let mounts: Vec<(u32, u32)> = directory.read().mounts.iter().map(|(id, mount)| (*id, mount.namespace)).collect();
    assert_eq!(mounts, [(31, 3), (41, 4), (42, 4)]);
}

#[test]
fn two_mounts_of_the_tree_with_one_id_are_left_out() {
    let directory = Directory::with_dump();
    directory.write(0, &[task(PID), task(PID + 1)]);
    directory.write(PID + 1, &[namespaces(4)]);
    directory.write(3, &[mount(30), mount(31)]);
    directory.write(4, &[mount(31), mount(31)]);
    let Checkpoint { mounts, odd, problems, .. } = directory.read();
    assert_eq!((mounts.into_keys().collect::<Vec<u32>>(), odd.has_lost_mounts), (vec![30], true));
    let [ImageProblem { kind: ImageProblemKind::OddEntries { first, count: 2, oddity }, .. }] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert_eq!((first.to_string().as_str(), *oddity), ("mountpoints-4.img record 0 at offset 8", Oddity::SameMountId));
}

#[test]
fn where_no_task_tells_its_namespaces_all_mounts_count() {
    let directory = Directory::with_dump();
    directory.remove(&format!("ids-{PID}.img"));
    directory.write(9, &[mount(91)]);
    assert_eq!(directory.read().mounts.len(), 1);
}

#[test]
fn the_network_is_that_of_the_root_task_without_its_loopback_device() {
    let device = |kind: NetDeviceType, index: u32, name: &str| {
        NetDeviceEntry::default().with(|device| {
            (device.kind, device.ifindex) = (kind.into(), index);
            device.name = name.into();
        })
    };
    let directory = Directory::with_dump();
    directory.write(2, &[NetNsEntry::default().with(|namespace| namespace.ext_key = Some(b"pod".into()))]);
    directory.write(2, &[device(NetDeviceType::Loopback, 1, "lo"), device(NetDeviceType::Veth, 2, "eth0")]);
    directory.write(5, &[device(NetDeviceType::Veth, 3, "of another namespace")]);
    let network = directory.read().network;
    assert_eq!(network.external_key.as_deref(), Some(&b"pod"[..]));
    let devices: Vec<(u32, &[u8])> = network.devices.iter().map(|device| (device.index, &*device.name)).collect();
    assert_eq!(devices, [(2, &b"eth0"[..])]);
}

/// Addresses only ever add a tie.
#[test]
fn addresses_that_cannot_be_read_are_none() {
    let directory = Directory::with_dump();
    directory.write_file(&criu_images::interface_addresses_file_name(2), b"not what ip writes");
    assert_eq!(directory.read().network.addresses, []);
}

#[test]
fn more_than_any_dump_leaves_is_not_read() {
    let directory = Directory::with_dump();
    directory.write(0, &remaps(90_000));
    assert_eq!(directory.read().remaps.len(), 90_000);
    directory.write(0, &remaps(120_000));
    directory.assert_refused("the images name more objects than criu-gc holds in 256 MiB of memory");
}
