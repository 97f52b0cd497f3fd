// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images are put together byte by byte here, so that no code under test helps to make its own input.

use std::io;

use super::*;
use crate::{FileEntry, GhostFileEntry, Inventory, PstreeEntry, StatsEntry, TcpStreamEntry};

/// A `pstree_entry` with pid 5, ppid 0, pgid 5 and sid 5.
const FIVE: &[u8] = &[8, 5, 16, 0, 24, 5, 32, 5];
/// A `pstree_entry` with pid 6, ppid 5, pgid 5, sid 5 and the threads 6 and 300.
const SIX: &[u8] = &[8, 6, 16, 5, 24, 5, 32, 5, 40, 6, 40, 0xac, 2];

fn word(order: ByteOrder, number: u32) -> [u8; 4] {
    match order {
        ByteOrder::Little => number.to_le_bytes(),
        ByteOrder::Big => number.to_be_bytes(),
    }
}

/// An image: its magic numbers, then the records with their lengths.
fn image(order: ByteOrder, magics: &[u32], records: &[&[u8]]) -> Vec<u8> {
    let mut bytes: Vec<u8> = magics.iter().flat_map(|magic| word(order, *magic)).collect();
    for record in records {
        bytes.extend(word(order, record.len() as u32));
        bytes.extend(*record);
    }
    bytes
}

/// Reads to the end, a line for each record or error.
fn read_all<E: Entry>(source: impl Read, describe: fn(&E) -> String) -> Vec<String> {
    let reader = match ImageReader::<_, E>::open(source) {
        Ok(reader) => reader,
        Err(error) => return vec![error.to_string()],
    };
    let line = |record: Record<E>| format!("{} at {}: {}", record.index, record.offset, describe(&record.entry));
    reader.map(|record| record.map_or_else(|error| error.to_string(), line)).collect()
}

fn read_tree(source: impl Read) -> Vec<String> {
    read_all(source, |task: &PstreeEntry| format!("pid {}", task.pid))
}

#[track_caller]
fn check(bytes: &[u8], expected: &[&str]) {
    assert_eq!(read_tree(bytes), expected);
}

#[track_caller]
fn check_as<E: Entry>(describe: fn(&E) -> String, bytes: &[u8], expected: &[&str]) {
    assert_eq!(read_all(bytes, describe), expected);
}

const V1_1: &[u32] = &[0x5456_4319, 0x5027_3030];
const V1_0: &[u32] = &[0x5027_3030];

#[test]
fn reads_both_framings_in_both_byte_orders() {
    for order in ByteOrder::ALL {
        let bytes = image(order, V1_1, &[FIVE, SIX]);
        check(&bytes, &["0 at 8: pid 5", "1 at 20: pid 6"]);
        assert_eq!(ImageReader::<_, PstreeEntry>::open(bytes.as_slice()).unwrap().byte_order(), order);

        let bytes = image(order, V1_0, &[FIVE, SIX]);
        check(&bytes, &["0 at 4: pid 5", "1 at 16: pid 6"]);
        assert_eq!(ImageReader::<_, PstreeEntry>::open(bytes.as_slice()).unwrap().byte_order(), order);
    }
}

#[test]
fn takes_the_head_magic_of_its_kind_only() {
    let of_five = |magics| image(ByteOrder::Little, magics, &[FIVE]);
    let inventory = |inventory: &Inventory| format!("version {}", inventory.img_version);
    let stats = |stats: &StatsEntry| format!("a dump: {}", stats.dump.is_some());
    check(&of_five(V1_1), &["0 at 8: pid 5"]);
    let dump = image(ByteOrder::Little, &[0x5510_5940, 0x5709_3306], &[&[10, 0]]);
    check_as(stats, &dump, &["0 at 8: a dump: true"]);
    check_as(inventory, &image(ByteOrder::Little, &[0x5831_3116], &[&[8, 2]]), &["0 at 4: version 2"]);

    let foreign = "at offset 0: the magic number is 0x54564319, but that of this kind of image is ";
    check_as(inventory, &of_five(&[0x5456_4319, 0x5831_3116]), &[&format!("{foreign}0x58313116")]);
    check_as(stats, &of_five(&[0x5456_4319, 0x5709_3306]), &[&format!("{foreign}0x55105940")]);
    let file = |file: &FileEntry| format!("id {}", file.id);
    check_as(
        file,
        &of_five(V1_1),
        &["at offset 4: the magic number is 0x50273030, but that of this kind of image is 0x56303138"],
    );
    check_as(
        file,
        &of_five(V1_0),
        &["at offset 0: the magic number is 0x50273030, but that of this kind of image is 0x54564319"],
    );
}

#[test]
fn tells_an_end_from_an_end_too_soon() {
    check(b"", &["at offset 0: the file is empty"]);
    check(&image(ByteOrder::Little, V1_1, &[]), &[]);
    check(
        &image(ByteOrder::Little, &[0x5456_4319], &[]),
        &["at offset 4: the file ends after 0 of the 4 bytes that belong here"],
    );
    check(
        &image(ByteOrder::Little, V1_1, &[FIVE, SIX])[..22],
        &["0 at 8: pid 5", "at offset 20: the file ends after 2 of the 4 bytes that belong here"],
    );
    check(
        &image(ByteOrder::Little, V1_1, &[FIVE, SIX])[..24],
        &["0 at 8: pid 5", "at offset 20: the file ends after 0 of the 13 bytes that belong here"],
    );
}

#[test]
fn a_cut_is_a_truncation_wherever_it_is() {
    for order in ByteOrder::ALL {
        for magics in [V1_0, V1_1] {
            let bytes = image(order, magics, &[FIVE, SIX, b"", FIVE]);
            for cut in 0..bytes.len() {
                check_cut(&bytes[..cut], &bytes);
            }
        }
    }
}

/// What is read of a cut image is the beginning of what is read of the whole, and at most one error, a truncation.
#[track_caller]
fn check_cut(cut: &[u8], whole: &[u8]) {
    let whole = read_tree(whole);
    let reader = match ImageReader::<_, PstreeEntry>::open(cut) {
        Ok(reader) => reader,
        Err(error) => return assert!(error.is_truncation(), "{error}"),
    };
    let mut records = 0;
    for record in reader {
        match record {
            Ok(record) => {
                assert!(whole[records].ends_with(&format!("at {}: pid {}", record.offset, record.entry.pid)));
                records += 1;
            }
            Err(error) => assert!(error.is_truncation(), "{error}"),
        }
    }
    assert!(records < whole.len());
}

#[test]
fn refuses_a_record_over_the_limit() {
    let mut bytes = image(ByteOrder::Little, V1_1, &[]);
    bytes.extend([0xff; 40]);
    check(&bytes, &["at offset 8: the record says it is 4294967295 bytes long, more than the limit of 16777216"]);
}

#[test]
fn a_length_alone_takes_no_memory() {
    let mut bytes = image(ByteOrder::Little, V1_1, &[]);
    bytes.extend(RECORD_LIMIT.to_le_bytes());
    bytes.extend(FIVE);
    let mut reader = ImageReader::<_, PstreeEntry>::open(bytes.as_slice()).unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "at offset 8: the file ends after 8 of the 16777216 bytes that belong here");
    assert!(error.is_truncation());
    assert!(reader.buffer.capacity() < 64 * 1024, "{}", reader.buffer.capacity());
}

#[test]
fn a_malformed_record_does_not_hide_the_next() {
    let unknown_fields = &[8, 7, 0xf8, 7, 1, 0xfa, 7, 2, 1, 1][..];
    let wrong_wire_type = &[10, 1, 5][..];
    let cut_varint = &[8, 0x85][..];
    let bytes = image(ByteOrder::Little, V1_1, &[wrong_wire_type, unknown_fields, cut_varint, FIVE]);
    let lines = read_tree(bytes.as_slice());
    assert!(lines[0].starts_with("at offset 8: failed to decode Protobuf message: PstreeEntry.pid:"), "{lines:?}");
    assert_eq!(lines[1], "1 at 15: pid 7");
    assert!(lines[2].starts_with("at offset 29: failed to decode"), "{lines:?}");
    assert_eq!(lines[3], "3 at 35: pid 5");
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_payload_is_never_taken_for_a_record() {
    let ghost = image(ByteOrder::Little, &[0x5456_4319, 0x5258_3605], &[FIVE, SIX]);
    check_as(|ghost: &GhostFileEntry| format!("uid {}", ghost.uid), &ghost, &["0 at 8: uid 5"]);
    let queues = image(ByteOrder::Little, &[0x5456_4319, 0x5146_5506], &[FIVE, b"\xff"]);
    check_as(|queues: &TcpStreamEntry| format!("{} bytes", queues.inq_len), &queues, &["0 at 8: 5 bytes"]);
}

#[test]
fn the_source_is_given_back_where_the_payload_begins() {
    let mut bytes = image(ByteOrder::Little, &[0x5456_4319, 0x5258_3605], &[FIVE]);
    bytes.extend(b"content");
    let mut reader = ImageReader::<_, GhostFileEntry>::open(bytes.as_slice()).unwrap();
    assert!(reader.next().unwrap().is_ok() && reader.next().is_none());
    assert_eq!(reader.into_inner(), b"content");
}

/// Gives one byte at a time, is interrupted before each, and fails at the end.
#[derive(Debug)]
struct Reluctant<'a> {
    rest: &'a [u8],
    is_interrupted: bool,
}

impl Read for Reluctant<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_interrupted = !self.is_interrupted;
        if self.is_interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match (self.rest.split_first(), buffer.first_mut()) {
            (Some((first, rest)), Some(slot)) => {
                *slot = *first;
                self.rest = rest;
                Ok(1)
            }
            _ => Err(io::Error::other("the disk is gone")),
        }
    }
}

#[test]
fn a_source_that_fails_is_no_truncation() {
    let bytes = image(ByteOrder::Little, V1_1, &[FIVE, SIX]);
    let lines = read_tree(Reluctant { rest: &bytes, is_interrupted: false });
    assert_eq!(lines, ["0 at 8: pid 5", "1 at 20: pid 6", "at offset 37: cannot read"]);
    let error = ImageReader::<_, PstreeEntry>::open(Reluctant { rest: b"", is_interrupted: false }).unwrap_err();
    assert!(!error.is_truncation());
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the disk is gone");
}

#[test]
fn nothing_follows_the_end() {
    let mut bytes = image(ByteOrder::Little, V1_1, &[FIVE]);
    bytes.push(9);
    let mut reader = ImageReader::<_, PstreeEntry>::open(bytes.as_slice()).unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none() && reader.next().is_none());
}
