// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images are put together byte by byte here, so that no code under test helps to make its own input.

use std::io;

use super::*;
use crate::PstreeEntry;

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

/// Reads to the end as a pstree, a line for each record or problem.
fn read_all(kind: ImageKind, source: impl Read) -> Vec<String> {
    let mut reader = match ImageReader::open(kind, source) {
        Ok(reader) => reader,
        Err(problem) => return vec![problem.to_string()],
    };
    let mut lines = Vec::new();
    loop {
        match reader.next_record::<PstreeEntry>() {
            Ok(Some(record)) => {
                lines.push(format!("{} at {}: pid {}", record.index, record.offset, record.message.pid));
            }
            Ok(None) => break lines,
            Err(problem) => lines.push(problem.to_string()),
        }
    }
}

#[track_caller]
fn check(kind: ImageKind, bytes: &[u8], expected: &[&str]) {
    assert_eq!(read_all(kind, bytes), expected);
}

const V1_1: &[u32] = &[0x5456_4319, 0x5027_3030];
const V1_0: &[u32] = &[0x5027_3030];

#[test]
fn reads_both_framings_in_both_byte_orders() {
    for order in ByteOrder::ALL {
        let bytes = image(order, V1_1, &[FIVE, SIX]);
        check(ImageKind::Pstree, &bytes, &["0 at 8: pid 5", "1 at 20: pid 6"]);
        assert_eq!(ImageReader::open(ImageKind::Pstree, bytes.as_slice()).unwrap().byte_order(), order);

        let bytes = image(order, V1_0, &[FIVE, SIX]);
        check(ImageKind::Pstree, &bytes, &["0 at 4: pid 5", "1 at 16: pid 6"]);
        assert_eq!(ImageReader::open(ImageKind::Pstree, bytes.as_slice()).unwrap().byte_order(), order);
    }
}

#[test]
fn takes_the_head_magic_of_its_kind_only() {
    let head = |kind, magics| check(kind, &image(ByteOrder::Little, magics, &[FIVE]), &["0 at 8: pid 5"]);
    head(ImageKind::Pstree, V1_1);
    head(ImageKind::Stats, &[0x5510_5940, 0x5709_3306]);
    check(ImageKind::Inventory, &image(ByteOrder::Little, &[0x5831_3116], &[FIVE]), &["0 at 4: pid 5"]);

    let foreign = |kind, magics, expected: &str| check(kind, &image(ByteOrder::Little, magics, &[FIVE]), &[expected]);
    foreign(
        ImageKind::Inventory,
        &[0x5456_4319, 0x5831_3116],
        "at offset 0: the magic number is 0x54564319, but that of this kind of image is 0x58313116",
    );
    foreign(
        ImageKind::Stats,
        &[0x5456_4319, 0x5709_3306],
        "at offset 0: the magic number is 0x54564319, but that of this kind of image is 0x55105940",
    );
    foreign(
        ImageKind::Files,
        V1_1,
        "at offset 4: the magic number is 0x50273030, but that of this kind of image is 0x56303138",
    );
    foreign(
        ImageKind::Files,
        V1_0,
        "at offset 0: the magic number is 0x50273030, but that of this kind of image is 0x54564319",
    );
}

#[test]
fn tells_an_end_from_an_end_too_soon() {
    check(ImageKind::Pstree, b"", &["at offset 0: the file is empty"]);
    check(ImageKind::Pstree, &image(ByteOrder::Little, V1_1, &[]), &[]);
    check(
        ImageKind::Pstree,
        &image(ByteOrder::Little, &[0x5456_4319], &[]),
        &["at offset 4: the file ends after 0 of the 4 bytes that belong here"],
    );
    check(
        ImageKind::Pstree,
        &image(ByteOrder::Little, V1_1, &[FIVE, SIX])[..22],
        &["0 at 8: pid 5", "at offset 20: the file ends after 2 of the 4 bytes that belong here"],
    );
    check(
        ImageKind::Pstree,
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

/// What is read of a cut image is the beginning of what is read of the whole, and at most one problem, a truncation.
#[track_caller]
fn check_cut(cut: &[u8], whole: &[u8]) {
    let whole = read_all(ImageKind::Pstree, whole);
    let mut reader = match ImageReader::open(ImageKind::Pstree, cut) {
        Ok(reader) => reader,
        Err(problem) => return assert!(problem.is_truncation(), "{problem}"),
    };
    let mut records = 0;
    loop {
        match reader.next_record::<PstreeEntry>() {
            Ok(Some(record)) => {
                assert!(whole[records].ends_with(&format!("at {}: pid {}", record.offset, record.message.pid)));
                records += 1;
            }
            Ok(None) => break,
            Err(problem) => assert!(problem.is_truncation(), "{problem}"),
        }
    }
    assert!(records < whole.len());
}

#[test]
fn refuses_a_record_over_the_limit() {
    let mut bytes = image(ByteOrder::Little, V1_1, &[]);
    bytes.extend([0xff; 40]);
    check(
        ImageKind::Pstree,
        &bytes,
        &["at offset 8: the record says it is 4294967295 bytes long, more than the limit of 16777216"],
    );
}

#[test]
fn a_length_alone_takes_no_memory() {
    let mut bytes = image(ByteOrder::Little, V1_1, &[]);
    bytes.extend(RECORD_LIMIT.to_le_bytes());
    bytes.extend(FIVE);
    let mut reader = ImageReader::open(ImageKind::Pstree, bytes.as_slice()).unwrap();
    let problem = reader.next_record::<PstreeEntry>().unwrap_err();
    assert_eq!(problem.to_string(), "at offset 8: the file ends after 8 of the 16777216 bytes that belong here");
    assert!(problem.is_truncation());
    assert!(reader.buffer.capacity() < 64 * 1024, "{}", reader.buffer.capacity());
}

#[test]
fn a_malformed_record_does_not_hide_the_next() {
    let unknown_fields = &[8, 7, 0xf8, 7, 1, 0xfa, 7, 2, 1, 1][..];
    let wrong_wire_type = &[10, 1, 5][..];
    let cut_varint = &[8, 0x85][..];
    let bytes = image(ByteOrder::Little, V1_1, &[wrong_wire_type, unknown_fields, cut_varint, FIVE]);
    let lines = read_all(ImageKind::Pstree, bytes.as_slice());
    assert!(lines[0].starts_with("at offset 8: failed to decode Protobuf message: PstreeEntry.pid:"), "{lines:?}");
    assert_eq!(lines[1], "1 at 15: pid 7");
    assert!(lines[2].starts_with("at offset 29: failed to decode"), "{lines:?}");
    assert_eq!(lines[3], "3 at 35: pid 5");
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_payload_is_never_taken_for_a_record() {
    let ghost = &[0x5456_4319, 0x5258_3605][..];
    check(ImageKind::GhostFile, &image(ByteOrder::Little, ghost, &[FIVE, SIX]), &["0 at 8: pid 5"]);
    let tcp = &[0x5456_4319, 0x5146_5506][..];
    check(ImageKind::TcpStream, &image(ByteOrder::Little, tcp, &[FIVE, b"\xff"]), &["0 at 8: pid 5"]);
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
    let lines = read_all(ImageKind::Pstree, Reluctant { rest: &bytes, is_interrupted: false });
    assert_eq!(lines, ["0 at 8: pid 5", "1 at 20: pid 6", "at offset 37: cannot read: the disk is gone"]);
    let problem = ImageReader::open(ImageKind::Pstree, Reluctant { rest: b"", is_interrupted: false }).unwrap_err();
    assert!(!problem.is_truncation());
}
