// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What holds for every image, whoever wrote it.

use criu_images::*;
use proptest::prelude::*;

/// The magic numbers at the head of an image, as CRIU 1.6 and later write them.
fn head(kind: ImageKind) -> Vec<u8> {
    kind.head_magic().into_iter().chain([kind.magic()]).flat_map(u32::to_le_bytes).collect()
}

/// An image of entries.
fn image<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut writer = ImageWriter::with_format(Vec::new(), Framing::TwoMagics, ByteOrder::Little).unwrap();
    entries.iter().for_each(|entry| writer.write(entry).unwrap());
    writer.into_inner()
}

/// Reads all records, none of which may lie outside the image or out of order; says what was read.
fn read<E: Entry>(bytes: &[u8]) -> (Vec<E>, Vec<Error>) {
    let reader = match ImageReader::<_, E>::open(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), vec![error]),
    };
    let (mut entries, mut errors, mut end) = (Vec::new(), Vec::new(), 0);
    for record in reader {
        match record {
            Ok(record) => {
                assert!(record.offset >= end && record.offset + 4 <= bytes.len() as u64);
                assert_eq!(record.index, (entries.len() + errors.len()) as u64);
                end = record.offset + 4;
                entries.push(record.entry);
            }
            Err(error) => {
                assert!(error.offset() >= end && error.offset() <= bytes.len() as u64);
                errors.push(error);
            }
        }
    }
    (entries, errors)
}

/// Reads the image of its kind that `image` makes, and asks each entry something.
fn ask<E: Entry, T>(image: &dyn Fn(ImageKind) -> Vec<u8>, question: impl Fn(&E) -> T) {
    for entry in read::<E>(&image(E::KIND)).0 {
        let _ = question(&entry);
    }
}

/// Reads an image of every kind, and asks the entries all they can be asked.
fn read_as_everything(image: &dyn Fn(ImageKind) -> Vec<u8>) {
    ask(image, |_: &PstreeEntry| ());
    ask(image, |_: &TaskKobjIds| ());
    ask(image, |_: &MmEntry| ());
    ask(image, |_: &NetNsEntry| ());
    ask(image, |_: &PidNsEntry| ());
    ask(image, |_: &StatsEntry| ());
    ask(image, |_: &TcpStreamEntry| ());
    ask(image, |inventory: &Inventory| (inventory.version(), inventory.network_lock()));
    ask(image, FileEntry::fd_type);
    ask(image, RegFileEntry::mount_id);
    ask(image, RemapFilePathEntry::remap);
    ask(image, GhostFileEntry::device);
    ask(image, NetDeviceEntry::device_type);
    ask(image, |mount: &MntEntry| (mount.device(), mount.fs_type()));
    ask(image, |core: &CoreEntry| core.tc.as_ref().map(TaskCore::state));
    ask(image, |socket: &InetSkEntry| {
        (socket.local(ByteOrder::Big), socket.peer(ByteOrder::Little), socket.is_tcp_connection())
    });
}

prop_compose! {
    fn reg_file()(
        id: u32, flags: u32, name: Vec<u8>, mnt_id: Option<i32>, size: Option<u64>, ext: bool, mode: Option<u32>,
    ) -> RegFileEntry {
        RegFileEntry::default().with(|file| {
            (file.id, file.flags, file.name, file.mnt_id) = (id, flags, name, mnt_id);
            (file.size, file.ext, file.mode) = (size, ext, mode);
        })
    }
}

prop_compose! {
    fn socket()(
        ids in any::<[u32; 2]>(), kind in any::<[u32; 4]>(), ports in any::<[u32; 2]>(),
        src_addr: Vec<u32>, dst_addr: Vec<u32>, ns_id: Option<u32>, uid: Option<u32>,
    ) -> InetSkEntry {
        InetSkEntry::default().with(|socket| {
            [socket.id, socket.ino] = ids;
            [socket.family, socket.sock_type, socket.proto, socket.state] = kind;
            [socket.src_port, socket.dst_port] = ports;
            (socket.src_addr, socket.dst_addr, socket.ns_id, socket.uid) = (src_addr, dst_addr, ns_id, uid);
        })
    }
}

prop_compose! {
    fn file()(
        kind: i32, id: u32, reg in proptest::option::of(reg_file()), isk in proptest::option::of(socket()),
    ) -> FileEntry {
        FileEntry::default().with(|file| {
            (file.kind, file.id) = (kind, id);
            (file.reg, file.isk) = (reg.map(Box::new), isk.map(Box::new));
        })
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        read_as_everything(&|_| bytes.clone());
        interface_addresses(&bytes);
        let _ = ImageKind::from_file_name(String::from_utf8_lossy(&bytes).as_ref());
    }

    #[test]
    fn no_bytes_after_the_magic_make_it_panic(rest: Vec<u8>) {
        read_as_everything(&|kind| [head(kind), rest.clone()].concat());
        let mut saved = 0x4736_1222_u32.to_le_bytes().to_vec();
        saved.extend(&rest);
        interface_addresses(&saved);
    }

    #[test]
    fn no_records_make_it_panic(records: Vec<Vec<u8>>) {
        let framed: Vec<u8> =
            records.iter().flat_map(|record| [&(record.len() as u32).to_le_bytes(), record.as_slice()].concat()).collect();
        read_as_everything(&|kind| [head(kind), framed.clone()].concat());
    }

    #[test]
    fn one_changed_byte_costs_at_most_what_follows_it(
        files in proptest::collection::vec(file(), 1..4), at: proptest::sample::Index, change in 1_u8..,
    ) {
        let mut bytes = image(&files);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let (found, _) = read::<FileEntry>(&bytes);
        let untouched = (0..files.len()).take_while(|last| image(&files[..=*last]).len() <= at).count();
        prop_assert!(found.len() >= untouched || at < 8);
        if at >= 8 {
            prop_assert_eq!(&found[..untouched], &files[..untouched]);
        }
    }

    #[test]
    fn what_is_written_is_read(files in proptest::collection::vec(file(), 0..8)) {
        let (found, errors) = read::<FileEntry>(&image(&files));
        prop_assert_eq!(found, files);
        prop_assert!(errors.is_empty());
    }

    #[test]
    fn a_file_name_leads_back_to_its_kind(kind in proptest::sample::select(ImageKind::ALL), id: u32) {
        let name = kind.file_name(id);
        let (found, found_id) = ImageKind::from_file_name(&name).unwrap();
        prop_assert_eq!(found, kind);
        prop_assert!(found_id.is_none_or(|found_id| found_id == id));
    }
}
