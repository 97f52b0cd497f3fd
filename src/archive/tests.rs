// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Archives as GNU tar, gzip and zstd write them, and as nobody should.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::time::Timestamp;

/// What is read of each file of an archive.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    path: String,
    content: Vec<u8>,
    modified: Timestamp,
}

fn open(bytes: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Source::of(file, Path::new("an archive")).unwrap()
}

/// Every regular file, with its content.
fn read(source: &Source) -> Result<Vec<Found>, ArchiveError> {
    let meter = Meter::new(&|_| {});
    let mut entries = Entries::open(source, &meter)?;
    let mut found = Vec::new();
    while let Some(entry) = entries.next()? {
        if entry.kind == EntryKind::File {
            let content = entries.content(&entry)?;
            let path = String::from_utf8(entry.path).unwrap();
            found.push(Found { path, content, modified: entry.modified });
        }
    }
    entries.finish()?;
    Ok(found)
}

/// The paths of all entries, with no content read.
fn paths(source: &Source) -> Result<Vec<String>, ArchiveError> {
    let meter = Meter::new(&|_| {});
    let mut entries = Entries::open(source, &meter)?;
    let mut paths = Vec::new();
    while let Some(entry) = entries.next()? {
        paths.push(String::from_utf8(entry.path).unwrap());
    }
    entries.finish()?;
    Ok(paths)
}

/// What a program makes of this, with `options`.
fn piped(program: &str, options: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    let mut child = command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(program);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

fn gnu_tar(directory: &Path, options: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    let output = command.arg("-C").arg(directory).arg("-cf").arg("-").args(options).arg(".").output().expect("tar");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

/// A tree with names of all lengths, an empty file, and one that ends at the end of a block.
fn tree() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    let deep = top.path().join("d".repeat(90)).join("e".repeat(90)).join("f".repeat(90));
    fs::create_dir_all(&deep).unwrap();
    fs::write(top.path().join("short"), "content").unwrap();
    fs::write(top.path().join("empty"), "").unwrap();
    fs::write(top.path().join("block"), [7; 512]).unwrap();
    fs::write(top.path().join("n".repeat(200)), "long").unwrap();
    fs::write(deep.join("größe"), vec![1; 100_000]).unwrap();
    top
}

/// The content of each file below a directory by its path, in the same order.
fn files_below(top: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut pending = vec![top.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let relative = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                found.push((relative, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn check(source: &Source, top: &Path) {
    let mut found: Vec<_> = read(source).unwrap().into_iter().map(|file| (file.path, file.content)).collect();
    found.sort();
    assert_eq!(found, files_below(top));
}

#[test]
fn every_format_of_gnu_tar_is_read() {
    let top = tree();
    for format in ["gnu", "oldgnu", "posix"] {
        let archive = gnu_tar(top.path(), &[&format!("--format={format}")]);
        check(&open(&archive), top.path());
        check(&open(&piped("gzip", &[], &archive)), top.path());
        check(&open(&zstd(&archive)), top.path());
    }
    let short = tempfile::tempdir().unwrap();
    fs::write(short.path().join("short"), "content").unwrap();
    for format in ["v7", "ustar"] {
        check(&open(&gnu_tar(short.path(), &[&format!("--format={format}")])), short.path());
    }
}

#[test]
fn several_members_and_frames_are_one_archive() {
    let top = tree();
    let archive = gnu_tar(top.path(), &[]);
    let (first, second) = archive.split_at(archive.len() / 2);
    check(&open(&[piped("gzip", &[], first), piped("gzip", &[], second)].concat()), top.path());
    check(&open(&[zstd(first), zstd(second)].concat()), top.path());
    // A frame to be skipped may come first (RFC 8878, 3.1.2).
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    check(&open(&[skippable.as_slice(), &zstd(&archive)].concat()), top.path());
}

#[test]
fn an_archive_through_a_pipe_is_read() {
    let top = tree();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let archive = gnu_tar(top.path(), &[]);
    let thread = std::thread::spawn(move || {
        let mut writer = File::from(writer);
        writer.write_all(&archive).unwrap();
    });
    let source = Source::of(File::from(reader), Path::new("a pipe")).unwrap();
    check(&source, top.path());
    assert!(!source.is_file());
    thread.join().expect("the writer could write all of it");
}

#[test]
fn sparse_files_are_whole() {
    let top = tempfile::tempdir().unwrap();
    let mut few = File::create(top.path().join("few")).unwrap();
    let mut many = File::create(top.path().join("many")).unwrap();
    for at in 0..3 {
        few.seek(std::io::SeekFrom::Start(at * 300_000)).unwrap();
        few.write_all(b"data").unwrap();
    }
    for at in 0..200 {
        many.seek(std::io::SeekFrom::Start(at * 16_384)).unwrap();
        many.write_all(format!("piece {at}").as_bytes()).unwrap();
    }
    few.set_len(2_000_000).unwrap();
    File::create(top.path().join("nothing")).unwrap().set_len(100_000).unwrap();
    fs::write(top.path().join("plain"), "plain").unwrap();
    for format in ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"] {
        let archive = gnu_tar(top.path(), &["--sparse", format]);
        assert!(archive.len() < 2_000_000, "tar has not taken notice of the holes");
        check(&open(&archive), top.path());
    }
}

#[test]
fn times_below_a_second_are_read_where_there_are_any() {
    let top = tempfile::tempdir().unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
    File::create(top.path().join("x")).unwrap().set_modified(time).unwrap();
    let modified = |format| read(&open(&gnu_tar(top.path(), &[format]))).unwrap()[0].modified;
    assert_eq!(modified("--format=posix"), Timestamp::new(1_700_000_000, 123_456_789));
    assert_eq!(modified("--format=gnu"), Timestamp::new(1_700_000_000, 0));
}

#[test]
fn global_records_count_for_every_entry() {
    let top = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        // Of whole seconds no record of the file's own is written.
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        File::create(top.path().join(name)).unwrap().set_modified(time).unwrap();
    }
    let archive = gnu_tar(top.path(), &["--format=posix", "--pax-option=mtime=77.5"]);
    let times: Vec<Timestamp> = read(&open(&archive)).unwrap().into_iter().map(|file| file.modified).collect();
    assert_eq!(times, [Timestamp::new(77, 500_000_000); 2]);
}

#[test]
fn other_names_and_other_kinds_are_told() {
    let top = tempfile::tempdir().unwrap();
    fs::create_dir(top.path().join("d")).unwrap();
    fs::write(top.path().join("d/a"), "1").unwrap();
    fs::hard_link(top.path().join("d/a"), top.path().join("d/b")).unwrap();
    std::os::unix::fs::symlink("a", top.path().join("d/c")).unwrap();
    let source = open(&gnu_tar(top.path(), &["--sort=name"]));
    let meter = Meter::new(&|_| {});
    let mut entries = Entries::open(&source, &meter).unwrap();
    let mut kinds = Vec::new();
    while let Some(entry) = entries.next().unwrap() {
        kinds.push((String::from_utf8(entry.path).unwrap(), entry.kind));
    }
    let expected = [
        ("", EntryKind::Directory),
        ("d", EntryKind::Directory),
        ("d/a", EntryKind::File),
        ("d/b", EntryKind::HardLink(b"d/a".to_vec())),
        ("d/c", EntryKind::Other),
    ];
    assert_eq!(kinds, expected.map(|(path, kind)| (path.to_owned(), kind)));
}

/// Whatever the place, half an archive is never taken for a whole one.
#[test]
fn a_cut_archive_is_an_error() {
    let top = tempfile::tempdir().unwrap();
    fs::write(top.path().join("a"), vec![1; 3000]).unwrap();
    fs::write(top.path().join("b"), "2").unwrap();
    let archive = gnu_tar(top.path(), &["--format=posix"]);
    let end = archive.len() - archive.iter().rev().take_while(|byte| **byte == 0).count();
    let end = end.next_multiple_of(BLOCK);
    for length in (0..=end).step_by(100).chain((0..=end).step_by(BLOCK)) {
        let cut = |bytes: &[u8]| {
            let source = open(bytes);
            assert!(read(&source).is_err() && paths(&source).is_err(), "cut after {length} of {}", bytes.len());
        };
        cut(&archive[..length]);
        cut(&zstd(&archive[..length]));
    }
    for packed in [piped("gzip", &[], &archive), zstd(&archive)] {
        for length in 0..packed.len() {
            let error = read(&open(&packed[..length])).unwrap_err();
            assert!(!matches!(error, ArchiveError::Header { .. } | ArchiveError::Limit(_)), "{length}: {error}");
        }
    }
}

#[test]
fn a_changed_byte_of_what_is_compressed_is_noticed() {
    let top = tempfile::tempdir().unwrap();
    fs::write(top.path().join("a"), (0_u32..50_000).map(|at| (at.wrapping_mul(at) % 251) as u8).collect::<Vec<_>>())
        .unwrap();
    let archive = gnu_tar(top.path(), &[]);
    let with_sum = piped("gzip", &[], &archive);
    for at in [20, with_sum.len() / 2, with_sum.len() - 6] {
        let mut changed = with_sum.clone();
        changed[at] ^= 1;
        assert!(paths(&open(&changed)).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_no_archive_is_told() {
    for (bytes, words) in [
        (b"".as_slice(), "it is empty"),
        (b"\xfd7zXZ\0", "xz -dc"),
        (b"\x19\x43\x56\x54", "it is a CRIU image"),
        (b"hello", "it is not a tar archive"),
        (&[b'x'; 1000], "it is not a tar archive"),
    ] {
        let error = paths(&open(bytes)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(paths(&open(&[0; 1024])).unwrap(), Vec::<String>::new(), "an empty archive");
    let device = File::open("/dev/null").unwrap();
    assert!(Source::of(device, Path::new("/dev/null")).is_err());
}

/// A header with a right checksum.
fn header(path: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mtime(5);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[track_caller]
fn is_limited(bytes: &[u8], limit: Limit) {
    let error = read(&open(bytes)).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit(found) if found == limit), "{error}");
    assert!(error.to_string().contains("unpack it first and name the directory"), "{error}");
}

#[test]
fn bombs_are_refused_with_the_limit() {
    // Each says more than it has; nothing is allocated for it.
    let long_name = header("x", tar::EntryType::GNULongName, 64 << 30);
    is_limited(&long_name, Limit::Header);
    is_limited(&header("x", tar::EntryType::XHeader, Limit::HEADER + 1), Limit::Header);
    is_limited(&header("x", tar::EntryType::Regular, 1 << 40), Limit::Kept);
    // A frame whose window is larger than the one that is allowed.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(Limit::WINDOW_LOG + 1).unwrap();
    encoder.write_all(&[0; 4096]).unwrap();
    is_limited(&encoder.finish().unwrap(), Limit::Window);
}

/// Many short extension headers are as bad as a long one.
#[test]
fn extension_headers_of_one_entry_are_limited_together() {
    let mut archive = Vec::new();
    for _ in 0..5 {
        archive.extend(header("x", tar::EntryType::GNULongName, 300_000));
        archive.extend(vec![b'x'; 300_000_usize.next_multiple_of(BLOCK)]);
    }
    is_limited(&archive, Limit::Header);
}

/// The sum of sizes that are each any number does not turn over to a small one.
#[test]
fn sizes_of_extension_headers_are_not_added_beyond_their_limit() {
    let mut archive = header("x", tar::EntryType::GNULongName, 600_000);
    archive.extend(vec![b'x'; 600_000_usize.next_multiple_of(BLOCK)]);
    archive.extend(header("x", tar::EntryType::GNULongName, u64::MAX - 500_000));
    is_limited(&archive, Limit::Header);
}

#[test]
fn global_records_name_no_entry() {
    let mut archive = Vec::new();
    let records = b"20 path=of-the-next\n11 mtime=9\n";
    archive.extend(header("g", tar::EntryType::XGlobalHeader, records.len() as u64));
    archive.extend(records);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    for name in ["one", "two"] {
        archive.extend(header(name, tar::EntryType::Regular, 0));
    }
    archive.extend([0; 2 * BLOCK]);
    let found = read(&open(&archive)).unwrap();
    let seen: Vec<_> = found.iter().map(|file| (file.path.as_str(), file.modified)).collect();
    assert_eq!(seen, [("one", Timestamp::new(9, 0)), ("two", Timestamp::new(9, 0))]);
}

#[test]
fn what_comes_out_of_little_is_limited() {
    let meter = Meter::new(&|_| {});
    assert_eq!(meter.count_unpacked(Limit::RATIO_FROM), Ok(()));
    assert_eq!(meter.count_unpacked(1), Err(Limit::Ratio));
    let large = Meter::new(&|_| {});
    let progress = |read| Progress { path: Path::new("x"), read, size: None };
    large.count_read(Limit::SIZE, progress(Limit::SIZE));
    assert_eq!(large.count_unpacked(Limit::SIZE), Ok(()));
    assert_eq!(large.count_unpacked(1), Err(Limit::Size));
    for _ in 0..Limit::ENTRIES {
        large.count_entry().unwrap();
    }
    assert_eq!(large.count_entry(), Err(Limit::Entries));
}

#[test]
fn sparse_maps_that_contradict_themselves_are_refused() {
    let sparse = |records: &[(&str, &str)], content: &[u8]| {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_bytes()))).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, "x", content).unwrap();
        read(&open(&builder.into_inner().unwrap()))
    };
    let map = |map| sparse(&[("GNU.sparse.map", map), ("GNU.sparse.size", "100")], b"12345678");
    assert_eq!(map("2,4,50,4").unwrap()[0].content[..8], *b"\0\x001234\0\0");
    for wrong in ["0,4,2,4", "4,4,0,4", "97,4", "0,9", "18446744073709551615,4", "0,18446744073709551615"] {
        assert!(matches!(map(wrong), Err(ArchiveError::Header { .. })), "{wrong}");
    }
    for wrong in ["0", "0,", "-1,4", "x"] {
        assert!(matches!(map(wrong), Err(ArchiveError::Header { .. })), "{wrong}");
    }
    let in_content = |content: &[u8]| sparse(&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "9")], content);
    for wrong in [b"".as_slice(), b"1\n", b"1\n0\n4\n", b"x\n", b"9999999999999999999999\n"] {
        assert!(matches!(in_content(wrong), Err(ArchiveError::Header { .. })), "{wrong:?}");
    }
    assert!(matches!(in_content(b"65537\n"), Err(ArchiveError::Limit(Limit::Pieces))));
    let huge = sparse(&[("GNU.sparse.map", "0,1"), ("GNU.sparse.size", "999999999999")], b"1");
    assert!(matches!(huge, Err(ArchiveError::Limit(Limit::Kept))));
}

/// A size that overflows, or a hole at the end, leads nowhere.
#[test]
fn sizes_beyond_the_end_are_a_cut() {
    for size in [1 << 20, u64::MAX >> 1, u64::MAX] {
        let archive = header("x", tar::EntryType::Regular, size);
        assert!(paths(&open(&archive)).is_err());
        assert!(paths(&open(&zstd(&archive))).is_err());
    }
}

/// Of a plain file only headers are read: what is passed over costs nothing.
#[test]
fn page_images_of_a_plain_archive_are_not_read() {
    let mut file = tempfile::tempfile().unwrap();
    let size: u64 = 64 << 30;
    file.write_all(&header("pages-1.img", tar::EntryType::Regular, size)).unwrap();
    file.seek(std::io::SeekFrom::Current(size as i64)).unwrap();
    file.write_all(&header("inventory.img", tar::EntryType::Regular, 3)).unwrap();
    file.write_all(b"abc").unwrap();
    file.seek(std::io::SeekFrom::Current(BLOCK as i64 - 3)).unwrap();
    file.write_all(&[0; 2 * BLOCK]).unwrap();
    file.rewind().unwrap();
    let source = Source::of(file.try_clone().unwrap(), Path::new("x")).unwrap();
    assert_eq!(paths(&source).unwrap(), ["pages-1.img", "inventory.img"]);
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 2 * BLOCK);
}
