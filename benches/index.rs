// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The index of two thousand images directories against a program that only reads the same images once.
//!
//! The directories are copies of a real dump with a link remap and a connection: the likeliest case, and the worst for
//! names, because all of them name the same link.
#![expect(clippy::disallowed_macros, reason = "a benchmark prints what it measured")]

use std::fs;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criu_gc::internals::host::Host;
use criu_gc::internals::index::{Index, IndexOptions, Limits, Object, Stores};
use criu_gc::internals::mounts::Wanted;
use testkit::{Criu, DumpOptions, TestHost};

const DIRECTORIES: usize = 2_000;
const ROUNDS: usize = 5;

fn main() {
    // `cargo test` builds it, so that it cannot rot, and calls it without this word.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    if let Some(reason) = testkit::cannot_run() {
        println!("cannot run: {reason}");
        return;
    }
    let criu = Criu::newest();
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let images = host.dir().with_file_name("images");
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let store = host.dir().with_file_name("store");
    (0..DIRECTORIES).for_each(|at| copy(&images, &store.join(format!("{at:05}"))));
    let options = IndexOptions { images: vec![store.clone()], stores: Stores::Skip, ..IndexOptions::default() };
    let picture = Host::look(Wanted::default());
    for _ in 0..ROUNDS {
        let floor = time(|| read_once(&store));
        let mut index = None;
        let built = time(|| index = Some(Index::build(&options, &picture)));
        let index = index.expect("an index");
        let first = index.unseen().into_iter().next();
        assert_eq!((index.checkpoints().len(), first), (DIRECTORIES, None));
        let object = link(host.dir());
        let asked = time(|| drop(black_box(index.ownership(&object))));
        let ratio = built.as_secs_f64() / floor.as_secs_f64();
        println!(
            "{DIRECTORIES} directories: index {built:?}, floor {floor:?} (ratio {ratio:.2}); the first owner {asked:?}"
        );
    }
    println!("memory: {}", peak());
    let limits = Limits { checkpoints: 100, ..Limits::default() };
    let index = Index::build(&IndexOptions { limits, ..options }, &picture);
    assert!(index.checkpoints().len() == 100 && index.hit_limit(), "the limit does not hold");
}

/// Copies a directory. Only the names of page images matter.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("the images").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name();
        let target = to.join(&name);
        match name.to_string_lossy().starts_with("pages-") {
            true => fs::write(target, "").expect("a file"),
            false => drop(fs::copy(entry.path(), target).expect("a file")),
        }
    }
}

/// The floor: what the index needs of each directory, read and not looked at.
fn read_once(store: &Path) {
    for directory in fs::read_dir(store).expect("the store").map(|entry| entry.expect("an entry").path()) {
        let names: Vec<PathBuf> =
            fs::read_dir(&directory).expect("images").map(|entry| entry.expect("an entry").path()).collect();
        black_box(names);
        for name in ["inventory.img", "remap-fpath.img", "files.img", "stats-dump"] {
            black_box(fs::read(directory.join(name)).expect("an image"));
        }
    }
}

fn link(directory: &Path) -> Object {
    let is_link = |path: &PathBuf| path.to_string_lossy().contains("/link_remap.");
    let path = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let path = path.into_iter().find(is_link).expect("void: no link");
    let file = path.symlink_metadata().expect("a file");
    let device = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    Object::Name { device, inode: file.ino(), path }
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned()
}
