// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What holds for every image, whoever wrote it.

use criu_images::*;
use proptest::prelude::*;
use prost::Message;

/// The image of these records, framed as CRIU 1.6 and later do.
fn image(kind: ImageKind, records: &[Vec<u8>]) -> Vec<u8> {
    let magics = kind.head_magic().into_iter().chain([kind.magic()]);
    let mut bytes: Vec<u8> = magics.flat_map(u32::to_le_bytes).collect();
    for record in records {
        bytes.extend((record.len() as u32).to_le_bytes());
        bytes.extend(record);
    }
    bytes
}

/// Reads all records, none of which may lie outside the image or out of order; says what was read.
fn read<M: Message + Default>(kind: ImageKind, bytes: &[u8]) -> (Vec<M>, Vec<Problem>) {
    let mut reader = match ImageReader::open(kind, bytes) {
        Ok(reader) => reader,
        Err(problem) => return (Vec::new(), vec![problem]),
    };
    let (mut messages, mut problems, mut end) = (Vec::new(), Vec::new(), 0);
    loop {
        match reader.next_record::<M>() {
            Ok(Some(record)) => {
                assert!(record.offset >= end && record.offset + 4 <= bytes.len() as u64);
                assert_eq!(record.index, (messages.len() + problems.len()) as u64);
                end = record.offset + 4;
                messages.push(record.message);
            }
            Ok(None) => break (messages, problems),
            Err(problem) => problems.push(problem),
        }
    }
}

/// Reads the image as one of `M`, and asks each of them something.
fn ask<M: Message + Default, T>(kind: ImageKind, bytes: &[u8], question: impl Fn(&M) -> T) {
    for entry in read::<M>(kind, bytes).0 {
        let _ = question(&entry);
    }
}

/// Reads the image as if it held each of the entries in turn, and asks them all they can be asked.
fn read_as_everything(kind: ImageKind, bytes: &[u8]) {
    read::<PstreeEntry>(kind, bytes);
    read::<TaskKobjIds>(kind, bytes);
    read::<MmEntry>(kind, bytes);
    read::<NetNsEntry>(kind, bytes);
    read::<PidNsEntry>(kind, bytes);
    read::<StatsEntry>(kind, bytes);
    ask(kind, bytes, Inventory::network_lock);
    ask(kind, bytes, FileEntry::fd_type);
    ask(kind, bytes, RegFileEntry::mount_id);
    ask(kind, bytes, RemapFilePathEntry::remap);
    ask(kind, bytes, GhostFileEntry::device);
    ask(kind, bytes, NetDeviceEntry::device_type);
    ask(kind, bytes, |mount: &MntEntry| (mount.device(), mount.fs_type()));
    ask(kind, bytes, |core: &CoreEntry| core.tc.as_ref().map(TaskCore::state));
    ask(kind, bytes, |socket: &InetSkEntry| {
        (socket.local(ByteOrder::Big), socket.peer(ByteOrder::Little), socket.is_tcp_connection())
    });
}

prop_compose! {
    fn reg_file()(
        id: u32, flags: u32, name: Vec<u8>, mnt_id: Option<i32>, size: Option<u64>, ext: bool, mode: Option<u32>,
    ) -> RegFileEntry {
        RegFileEntry { id, flags, name, mnt_id, size, ext, mode }
    }
}

prop_compose! {
    fn socket()(
        ids in any::<[u32; 2]>(), kind in any::<[u32; 4]>(), ports in any::<[u32; 2]>(),
        src_addr: Vec<u32>, dst_addr: Vec<u32>, ns_id: Option<u32>,
    ) -> InetSkEntry {
        let ([id, ino], [family, sock_type, proto, state], [src_port, dst_port]) = (ids, kind, ports);
        InetSkEntry { id, ino, family, sock_type, proto, state, src_port, dst_port, src_addr, dst_addr, ns_id }
    }
}

prop_compose! {
    fn file()(
        kind: i32, id: u32, reg in proptest::option::of(reg_file()), isk in proptest::option::of(socket()),
    ) -> FileEntry {
        FileEntry { kind, id, reg: reg.map(Box::new), isk: isk.map(Box::new) }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(kind in proptest::sample::select(ImageKind::ALL), bytes: Vec<u8>) {
        read_as_everything(kind, &bytes);
        interface_addresses(&bytes);
        let _ = ImageKind::of_file_name(&bytes);
    }

    #[test]
    fn no_bytes_after_the_magic_make_it_panic(kind in proptest::sample::select(ImageKind::ALL), rest: Vec<u8>) {
        let mut bytes = image(kind, &[]);
        bytes.extend(&rest);
        read_as_everything(kind, &bytes);
        let mut saved = 0x4736_1222_u32.to_le_bytes().to_vec();
        saved.extend(&rest);
        interface_addresses(&saved);
    }

    #[test]
    fn no_records_make_it_panic(kind in proptest::sample::select(ImageKind::ALL), records: Vec<Vec<u8>>) {
        read_as_everything(kind, &image(kind, &records));
    }

    #[test]
    fn one_changed_byte_costs_at_most_what_follows_it(
        files in proptest::collection::vec(file(), 1..4), at: proptest::sample::Index, change in 1_u8..,
    ) {
        let records: Vec<Vec<u8>> = files.iter().map(Message::encode_to_vec).collect();
        let mut bytes = image(ImageKind::Files, &records);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let (found, _) = read::<FileEntry>(ImageKind::Files, &bytes);
        let mut end = 8;
        let untouched = records.iter().take_while(|record| { end += 4 + record.len(); end <= at }).count();
        prop_assert!(found.len() >= untouched || at < 8);
        if at >= 8 {
            prop_assert_eq!(&found[..untouched], &files[..untouched]);
        }
    }

    #[test]
    fn what_is_written_is_read(files in proptest::collection::vec(file(), 0..8)) {
        let records: Vec<Vec<u8>> = files.iter().map(Message::encode_to_vec).collect();
        let (found, problems) = read::<FileEntry>(ImageKind::Files, &image(ImageKind::Files, &records));
        prop_assert_eq!(found, files);
        prop_assert!(problems.is_empty());
    }

    #[test]
    fn a_file_name_leads_back_to_its_kind(kind in proptest::sample::select(ImageKind::ALL), id: u32) {
        let name = kind.file_name(id);
        let (found, found_id) = ImageKind::of_file_name(name.as_bytes()).unwrap();
        prop_assert_eq!(found, kind);
        prop_assert!(found_id.is_none_or(|found_id| found_id == id));
    }
}
