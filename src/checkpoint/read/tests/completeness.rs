// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images that are missing, cut, or lack what others have.

use criu_images::{DumpStats, InetSkEntry, RegFileEntry, StatsEntry, TcpStreamEntry};
use handmade::{regular, socket};

use super::*;
use crate::checkpoint::{Completeness, ImageProblemKind, Layout};
use crate::system::author::Author;

#[track_caller]
fn assert_problems(directory: &Directory, expected: &[&str]) {
    let checkpoint = directory.read();
    assert_eq!(problems(&checkpoint), expected);
    let expected = if expected.is_empty() { Completeness::Complete } else { Completeness::Incomplete };
    assert_eq!(checkpoint.completeness, expected);
}

/// What a dump that came to its end writes last.
fn write_statistics(directory: &Directory) {
    let dump = DumpStats::default().with(|dump| dump.frozen_time = Some(1));
    directory.write(0, &[StatsEntry::default().with(|statistics| statistics.dump = Some(dump))]);
}

/// A TCP connection from port 1 to port 2 of 127.0.0.1.
fn connection(inode: u32) -> InetSkEntry {
    InetSkEntry::default().with(|socket| {
        (socket.id, socket.ino) = (20, inode);
        (socket.family, socket.sock_type, socket.proto) = (2, 1, 6);
        (socket.src_port, socket.dst_port) = (1, 2);
        let local = u32::from_le_bytes([127, 0, 0, 1]);
        (socket.src_addr, socket.dst_addr) = (vec![local], vec![local]);
    })
}

#[test]
fn a_whole_dump_is_complete() {
    assert_problems(&Directory::with_dump(), &[]);
}

#[test]
fn a_dump_without_an_inventory_is_incomplete() {
    let directory = Directory::with_dump();
    directory.remove("inventory.img");
    assert_problems(&directory, &["inventory.img: Missing"]);
    assert_eq!(directory.read().remaps.len(), 1);
}

#[test]
fn a_dump_without_files_is_incomplete() {
    let directory = Directory::with_dump();
    directory.remove("files.img");
    assert_problems(&directory, &["files.img: Missing"]);
}

#[test]
fn a_pre_dump_has_no_files() {
    let directory = Directory::new();
    directory.write(0, &[inventory().with(|inventory| inventory.img_version = 0)]);
    directory.write(0, &[task(PID)]);
    assert_problems(&directory, &[]);
}

#[test]
fn files_may_be_in_images_of_one_kind_each() {
    let directory = Directory::with_dump();
    directory.remove("files.img");
    directory.write(0, &[link(LINK), original()]);
    directory.write(0, &[connection(7)]);
    assert_problems(&directory, &[]);
    let checkpoint = directory.read();
    assert_eq!((checkpoint.layout, checkpoint.files.len(), checkpoint.sockets.len()), (Layout::OnePerKind, 2, 1));
}

/// As restore does (`files_collected` in `criu/cr-restore.c`).
#[test]
fn images_of_one_kind_each_are_not_read_beside_files() {
    let directory = Directory::with_dump();
    directory.write::<RegFileEntry>(0, &[link(LINK), original()]);
    directory.write(0, &[connection(7)]);
    let checkpoint = directory.read();
    assert_eq!((checkpoint.layout, checkpoint.sockets.len()), (Layout::Files, 0));
}

#[test]
fn what_stands_before_the_end_of_a_cut_image_counts() {
    let directory = Directory::with_dump();
    directory.write(0, &[remap(ORIGINAL, LINK), remap(11, 12)]);
    directory.cut("remap-fpath.img");
    assert_problems(&directory, &["remap-fpath.img: Cut"]);
    assert_eq!(directory.read().remaps.len(), 1);
}

#[test]
fn a_cut_image_is_not_missing() {
    for name in ["inventory.img", "files.img"] {
        let directory = Directory::with_dump();
        directory.write_file(name, b"");
        assert_problems(&directory, &[&format!("{name}: Cut")]);
    }
}

#[test]
fn an_image_of_another_kind_is_an_error() {
    let directory = Directory::with_dump();
    directory.write_file("files.img", &image(Framing::TwoMagics, &[inventory()]));
    directory.assert_refused("the magic number is ");
}

#[test]
fn an_inventory_of_a_version_to_come_is_noticed_and_other_images_may_be_unreadable_then() {
    let directory = Directory::with_dump();
    directory.write(0, &[inventory().with(|inventory| inventory.img_version = 99)]);
    assert_problems(&directory, &["inventory.img: UnknownVersion"]);
    assert!(!directory.read().is_of_known_version());
    directory.write_file("files.img", b"of a form to come");
    assert_problems(&directory, &["inventory.img: UnknownVersion", "files.img: Unreadable"]);
}

/// An image that ends between two records looks whole.
#[test]
fn links_without_a_remap_are_noticed() {
    let directory = Directory::with_dump();
    directory.write(0, &[regular(link(LINK)), regular(link(11)), regular(link(12)), regular(original())]);
    assert_problems(&directory, &["remap-fpath.img: LacksLinkRemaps"]);
    let problems = directory.read().problems;
    assert!(matches!(problems[0].kind, ImageProblemKind::LacksLinkRemaps { count: 2 }), "{problems:?}");
}

/// With a mode, a size or a mount it is no link that CRIU made.
#[test]
fn a_users_file_with_the_name_of_a_link_needs_no_remap() {
    let directory = Directory::with_dump();
    let users = link(11).with(|file| file.size = Some(4));
    directory.write(0, &[regular(link(LINK)), regular(users), regular(original())]);
    assert_problems(&directory, &[]);
}

#[test]
fn queues_without_a_socket_are_noticed() {
    let directory = Directory::with_dump();
    directory.write(7, &[TcpStreamEntry::default()]);
    assert_problems(&directory, &["files.img: LacksSockets"]);
    let [link, original] = files();
    directory.write(0, &[link, original, socket(connection(7))]);
    assert_problems(&directory, &[]);
}

/// Statistics come last: a dump that wrote them wrote the rest too. What others can take away they may have taken.
#[test]
fn a_dump_that_came_to_its_end_lacks_nothing() {
    let directory = Directory::with_dump();
    directory.write(0, &[regular(link(LINK)), regular(link(11)), regular(original())]);
    directory.write(7, &[TcpStreamEntry::default()]);
    assert_problems(&directory, &["remap-fpath.img: LacksLinkRemaps", "files.img: LacksSockets"]);
    write_statistics(&directory);
    let is_trusted = directory.read().absence == Author::Trusted;
    assert_problems(&directory, if is_trusted { &[] } else { &["remap-fpath.img: LacksLinkRemaps"] });
}

/// They are of an earlier dump into the directory, which CRIU does not empty.
#[test]
fn statistics_that_are_older_than_the_images_are_not_believed() {
    let directory = Directory::with_dump();
    directory.write(7, &[TcpStreamEntry::default()]);
    write_statistics(&directory);
    directory.date("stats-dump", WRITTEN - 1);
    assert_problems(&directory, &["files.img: LacksSockets"]);
}
