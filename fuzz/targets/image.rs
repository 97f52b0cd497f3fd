// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One image of any kind. Where it does not begin with the magic numbers of a kind, its first byte chooses one.
#![no_main]

use criu_gc_fuzz::head;
use criu_images::{
    ByteOrder, CoreEntry, Entry, FileEntry, GhostFileEntry, ImageKind, ImageReader, InetSkEntry, Inventory, MmEntry,
    MntEntry, NetDeviceEntry, NetNsEntry, PidNsEntry, PstreeEntry, RegFileEntry, RemapFilePathEntry, StatsEntry,
    TaskCore, TaskKobjIds, TcpStreamEntry,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    match ImageKind::ALL.iter().find(|kind| data.starts_with(&head(**kind))) {
        Some(kind) => read_image(*kind, data),
        None => {
            let kind = ImageKind::ALL[usize::from(*first) % ImageKind::ALL.len()];
            read_image(kind, &[head(kind), rest.to_vec()].concat());
        }
    }
});

fn read_image(kind: ImageKind, bytes: &[u8]) {
    match kind {
        ImageKind::Inventory => read::<Inventory>(bytes, |entry| ignore((entry.version(), entry.network_lock()))),
        ImageKind::Pstree => read::<PstreeEntry>(bytes, drop),
        ImageKind::Ids => read::<TaskKobjIds>(bytes, drop),
        ImageKind::Core => read::<CoreEntry>(bytes, |entry| ignore(entry.tc.as_ref().map(TaskCore::state))),
        ImageKind::Mm => read::<MmEntry>(bytes, drop),
        ImageKind::Files => read::<FileEntry>(bytes, |entry| ignore(entry.fd_type())),
        ImageKind::RegFiles => read::<RegFileEntry>(bytes, |entry| ignore(entry.mount_id())),
        ImageKind::InetSockets => read::<InetSkEntry>(bytes, |entry| {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                ignore((entry.local(order), entry.peer(order), entry.is_tcp_connection()));
            }
        }),
        ImageKind::RemapFilePath => read::<RemapFilePathEntry>(bytes, |entry| ignore(entry.remap())),
        ImageKind::GhostFile => read::<GhostFileEntry>(bytes, |entry| ignore(entry.device())),
        ImageKind::Mountpoints => read::<MntEntry>(bytes, |entry| ignore((entry.device(), entry.fs_type()))),
        ImageKind::NetNs => read::<NetNsEntry>(bytes, drop),
        ImageKind::NetDevices => read::<NetDeviceEntry>(bytes, |entry| ignore(entry.device_type())),
        ImageKind::Stats => read::<StatsEntry>(bytes, drop),
        ImageKind::TcpStream => read::<TcpStreamEntry>(bytes, drop),
        ImageKind::PidNs => read::<PidNsEntry>(bytes, drop),
        other => panic!("{other:?} is not read"),
    }
}

/// Reads all records: each lies in the image, behind the one before it.
fn read<E: Entry>(bytes: &[u8], ask: impl Fn(E)) {
    let Ok(reader) = ImageReader::open(bytes) else { return };
    let mut end = 0;
    for (index, record) in reader.enumerate() {
        match record {
            Ok(record) => {
                assert!(record.offset >= end && record.offset + 4 <= bytes.len() as u64);
                assert_eq!(record.index, index as u64);
                end = record.offset + 4;
                ask(record.entry);
            }
            Err(error) => assert!(error.offset() <= bytes.len() as u64),
        }
    }
}

/// That there is an answer is all that is asked for.
fn ignore<T>(_: T) {}
