// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::io::Write;

use super::*;

const BLOCKS: usize = 64;
const LOG_AT: usize = 4096 * 3;

/// An XFS with one allocation group, whose log of [`BLOCKS`] blocks begins in its fourth block.
struct Disk(Vec<u8>);

impl Disk {
    /// All of the log was last written in this cycle.
    fn written_in(cycle: u32) -> Self {
        let mut disk = Disk(vec![0; LOG_AT + BLOCKS * BLOCK]);
        disk.0[..4].copy_from_slice(b"XFSB");
        for (at, number) in [(4, 4096), (52, 3), (84, 1024), (96, (BLOCKS * BLOCK / 4096) as u32)] {
            disk.0[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        disk.0[124] = 10;
        for at in 0..BLOCKS {
            disk.put(at, 0, cycle);
        }
        disk
    }

    fn put(&mut self, block: usize, at: usize, number: u32) {
        let at = LOG_AT + (block % BLOCKS) * BLOCK + at;
        self.0[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }

    /// A record with a header of one block, and one block of one operation with these flags.
    fn record(mut self, block: usize, cycle: u32, flags: u8) -> Self {
        for (at, number) in [(0, RECORD_MAGIC), (4, cycle), (8, 2), (12, 512), (40, 1), (320, 32 * 1024)] {
            self.put(block, at, number);
        }
        self.put(block + 1, 0, if block + 1 == BLOCKS { cycle + 1 } else { cycle });
        self.0[LOG_AT + (block + 1) % BLOCKS * BLOCK + 9] = flags;
        self
    }

    /// What lies before the block was written in this cycle.
    fn written_up_to(mut self, block: usize, cycle: u32) -> Self {
        for at in 0..block {
            self.put(at, 0, cycle);
        }
        self
    }

    fn check(&self, expected: Journal) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&self.0).unwrap();
        assert_eq!(of_device(&Device::of_file(file)).unwrap(), expected);
    }
}

#[test]
fn a_log_that_was_never_written_is_empty() {
    Disk::written_in(0).check(Journal::Empty);
}

#[test]
fn a_log_that_ends_with_an_unmount_is_empty() {
    Disk::written_in(0).record(0, 1, UNMOUNT).check(Journal::Empty);
    Disk::written_in(6).written_up_to(20, 7).record(20, 7, UNMOUNT).check(Journal::Empty);
    // At the end of a round, and across it.
    Disk::written_in(7).record(BLOCKS - 2, 7, UNMOUNT).check(Journal::Empty);
    Disk::written_in(7).record(BLOCKS - 1, 7, UNMOUNT).check(Journal::Empty);
}

#[test]
fn a_log_that_ends_with_anything_else_is_pending() {
    Disk::written_in(6).written_up_to(20, 7).record(20, 7, 0).check(Journal::Pending);
    Disk::written_in(6).written_up_to(40, 7).record(20, 7, UNMOUNT).check(Journal::Pending);
    Disk::written_in(6).check(Journal::Pending);
}

#[test]
fn what_makes_no_sense_is_pending() {
    for at in [48, 96, 124] {
        let mut disk = Disk::written_in(0);
        disk.0[at..at + 4].fill(0xff);
        disk.check(Journal::Pending);
    }
    let mut external = Disk::written_in(0);
    external.0[52..56].fill(0);
    external.check(Journal::Pending);
}

#[test]
fn an_ext4_says_it_in_its_superblock() {
    let mut disk = Disk(vec![0; 0x1000]);
    disk.0[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    disk.0[0x460] = 0x42;
    disk.check(Journal::Empty);
    disk.0[0x460] |= 4;
    disk.check(Journal::Pending);
}
