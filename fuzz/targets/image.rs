// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One image of any kind, read as every message that there is. Where it does not begin with the magic numbers of a
//! kind, its first byte chooses one.
#![no_main]

use criu_gc_fuzz::head;
use criu_images::{
    ByteOrder, CoreEntry, FileEntry, GhostFileEntry, ImageKind, ImageReader, InetSkEntry, Inventory, MmEntry, MntEntry,
    NetDeviceEntry, NetNsEntry, PidNsEntry, PstreeEntry, RegFileEntry, RemapFilePathEntry, StatsEntry, TaskKobjIds,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    match ImageKind::ALL.iter().find(|kind| data.starts_with(&head(**kind))) {
        Some(kind) => read_as_everything(*kind, data),
        None => {
            let kind = ImageKind::ALL[usize::from(*first) % ImageKind::ALL.len()];
            read_as_everything(kind, &[head(kind), rest.to_vec()].concat());
        }
    }
});

fn read_as_everything(kind: ImageKind, bytes: &[u8]) {
    read::<Inventory>(kind, bytes, |entry| ignore(entry.network_lock()));
    read::<FileEntry>(kind, bytes, |entry| ignore(entry.fd_type()));
    read::<RegFileEntry>(kind, bytes, |entry| ignore(entry.mount_id()));
    read::<RemapFilePathEntry>(kind, bytes, |entry| ignore(entry.remap()));
    read::<GhostFileEntry>(kind, bytes, |entry| ignore(entry.device()));
    read::<MntEntry>(kind, bytes, |entry| ignore((entry.device(), entry.fs_type())));
    read::<InetSkEntry>(kind, bytes, |entry| {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            ignore((entry.local(order), entry.peer(order), entry.is_tcp_connection()));
        }
    });
    read::<NetDeviceEntry>(kind, bytes, |entry| ignore(entry.device_type()));
    read::<NetNsEntry>(kind, bytes, drop);
    read::<PidNsEntry>(kind, bytes, drop);
    read::<PstreeEntry>(kind, bytes, drop);
    read::<TaskKobjIds>(kind, bytes, drop);
    read::<CoreEntry>(kind, bytes, drop);
    read::<MmEntry>(kind, bytes, drop);
    read::<StatsEntry>(kind, bytes, drop);
}

/// Reads all records: each lies in the image, behind the one before it.
fn read<M: prost::Message + Default>(kind: ImageKind, bytes: &[u8], ask: impl Fn(M)) {
    let Ok(mut reader) = ImageReader::open(kind, bytes) else { return };
    let (mut end, mut index) = (0, 0);
    loop {
        match reader.next_record::<M>() {
            Ok(None) => return,
            Ok(Some(record)) => {
                assert!(record.offset >= end && record.offset + 4 <= bytes.len() as u64);
                assert_eq!(record.index, index);
                end = record.offset + 4;
                ask(record.message);
            }
            Err(problem) => assert!(problem.offset <= bytes.len() as u64 || problem.is_truncation()),
        }
        index += 1;
    }
}

/// That there is an answer is all that is asked for.
fn ignore<T>(_: T) {}
