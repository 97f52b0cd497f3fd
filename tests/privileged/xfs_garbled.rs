// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Of an XFS with garbled metadata no name is missing without an error, and the reader neither falls nor hangs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use criu_gc::internals::system::dir::FileIdentity;
use criu_gc::internals::system::unmounted::{Nearest, ReadError};
use testkit::{Criu, TestHost};

use crate::case::{Case, Cases};
use crate::faults::tell;
use crate::xfs_file::{SECTOR, Xfs, number_of, prototype, write_prototype};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "of an XFS with any garbled metadata no name is missing without an error", test: garbled },
    Case { name: "no garbled metadata of an XFS without checksums make the reader fall or hang", test: garbled_4 },
]));

/// What is read of some directories.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    names: BTreeMap<&'static str, Option<BTreeMap<Vec<u8>, u64>>>,
    files: Vec<FileIdentity>,
}

impl Read {
    fn of(xfs: &Xfs<'_>) -> Result<Self, ReadError> {
        let filesystem = xfs.read()?;
        let (mut names, mut files) = (BTreeMap::new(), Vec::new());
        for path in ["few", "many", "most"] {
            let Nearest::Itself(number) = filesystem.nearest(Path::new(path))? else {
                names.insert(path, None);
                continue;
            };
            let found: BTreeMap<_, _> = filesystem.entries(number, |_| true)?.into_iter().collect();
            for number in found.values().chain([&number]).take(5) {
                files.push(filesystem.identity(*number)?);
            }
            names.insert(path, Some(found));
        }
        files.sort_by_key(|file| file.inode);
        files.dedup();
        Ok(Read { names, files })
    }
}

/// How many garbled filesystems are read.
const GARBLED: u64 = 2_000;
/// No look at a small filesystem takes longer, garbled or not.
const LONGEST: Duration = Duration::from_secs(1);

fn garbled(_: &Criu) {
    let (wrong, same) = count_garbled_reads(&[], |read, truth| match read {
        Ok(read) => {
            assert!(read == truth, "something else was read, without an error");
            true
        }
        Err(_) => false,
    });
    assert!(wrong > GARBLED / 4 && same > 0, "void: {wrong} garbled filesystems were seen to be so, {same} not");
    tell(&format!("{GARBLED} garbled filesystems: an error of {wrong}, all names of {same}"));
}

fn garbled_4(_: &Criu) {
    let (wrong, read) = count_garbled_reads(&["-m", "crc=0"], |read, _| read.is_ok());
    assert!(wrong > GARBLED / 10 && read > 0, "void: {wrong} garbled filesystems were seen to be so, {read} not");
    tell(&format!("{GARBLED} garbled filesystems without checksums: an error of {wrong}"));
}

/// Reads a filesystem with one change each time. Returns how often `judge` says that it could not be read, and could.
fn count_garbled_reads(options: &[&str], judge: impl Fn(&Result<Read, ReadError>, &Read) -> bool) -> (u64, u64) {
    let host = TestHost::new();
    let mut directories = prototype();
    directories.get_mut("most").expect("a directory").retain(|name| name.as_str() < "name-5");
    let file = write_prototype(&host, &directories);
    let options = [options, &["-b", "size=1024", "-p", file.to_str().expect("text")]].concat();
    let xfs = Xfs::made_with(&host, &options);
    let truth = Read::of(&xfs).expect("an XFS");
    assert!(truth.names.values().all(Option::is_some), "void: {truth:?}");
    let most = number_of(&xfs.read().expect("an XFS"), "most");
    let format = xfs.print(&[&format!("inode {most}"), "print core.format"]);
    assert!(format.contains("btree"), "void: {format}");
    let targets = xfs.metadata();
    let mut random = Random(7);
    let (mut wrong, mut right) = (0, 0);
    for number in 0..GARBLED {
        let kinds = &targets[random.below(targets.len())];
        let place = kinds[random.below(kinds.len())];
        let good = xfs.sectors(place..place + SECTOR as u64);
        let mut bad = good.clone();
        random.garble(&mut bad);
        xfs.write(place, &bad);
        let start = cpu_time();
        let read = Read::of(&xfs);
        let took = cpu_time() - start;
        assert!(took < LONGEST, "change {number} at {place}: {took:?}");
        match judge(&read, &truth) {
            true => right += 1,
            false => wrong += 1,
        }
        xfs.write(place, &good);
    }
    assert!(Read::of(&xfs).expect("an XFS") == truth, "void: a change stayed");
    (wrong, right)
}

/// How long this thread has run, which tests beside it do not change.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("the times of a thread");
    Duration::from_nanos(text.split(' ').next().and_then(|time| time.parse().ok()).expect("a number"))
}

/// Numbers that are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// Changes something in a sector.
    fn garble(&mut self, sector: &mut [u8]) {
        let at = self.below(sector.len() - 8);
        // Numbers are at the beginning of most structures.
        let at = if self.below(2) == 0 { at % 200 } else { at };
        match self.below(6) {
            0 => sector[at] ^= 1 << self.below(8),
            1 => sector[at] = self.next() as u8,
            2 => sector[at..at + 8].fill(0xff),
            3 => sector[at..at + 4].fill(0),
            4 => sector[at..at + 8].copy_from_slice(&self.next().to_be_bytes()),
            _ => sector.copy_within(0..at, 8),
        }
    }
}
