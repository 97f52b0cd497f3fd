// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Somebody exchanges directories and links while criu-gc works: what lies elsewhere is never touched, and what is said
//! is true. Needs no root. That rules, mounts and whole trees change in the meantime is in `privileged/races.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use handmade::{Checkpoint, names_below};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The program under test.
const CRIU_GC: &str = env!("CARGO_BIN_EXE_criu-gc");

/// How many runs of criu-gc each race has.
const ROUNDS: usize = 50;

/// What the other one does: exchanges two names, again and again, as fast as can be.
fn exchange_during<T>(one: &Path, other: &Path, work: impl FnOnce() -> T) -> (T, u64) {
    let (is_over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let exchange = || {
        // In the end everything is where it was.
        while !is_over.load(Ordering::Relaxed) || count.load(Ordering::Relaxed) % 2 == 1 {
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("two names");
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let result = std::thread::scope(|scope| {
        scope.spawn(exchange);
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        result
    });
    (result, count.into_inner())
}

/// Every name below a directory with its inode, wherever the directories are just now.
fn by_inode(top: &Path) -> BTreeMap<u64, Vec<String>> {
    let mut names: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (path, (inode, ..)) in names_below(top) {
        names.entry(inode).or_default().push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    names
}

/// A directory that is no checkpoint's, with a file that has the name of the link, but is another's: it is larger.
fn elsewhere(checkpoint: &Checkpoint) -> PathBuf {
    let directory = checkpoint.data().with_file_name("elsewhere");
    fs::create_dir(&directory).expect("a new directory");
    for name in ["link_remap.9", "link_remap.7", "precious"] {
        fs::write(directory.join(name), "of somebody else").expect("a new file");
    }
    directory
}

/// Runs criu-gc while two names are exchanged that `prepare` makes. Of all that there was only the link may be gone, and
/// it is gone if that is said.
fn race(prepare: impl Fn(&Checkpoint) -> (PathBuf, PathBuf)) -> String {
    let (mut removed, mut exchanges) = (0, 0);
    for _ in 0..ROUNDS {
        let checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.write();
        let (one, other) = prepare(&checkpoint);
        let top = checkpoint.images().with_file_name("");
        let inode = names_below(&top)[&checkpoint.link()].0;
        let mut before = by_inode(&top);
        let (output, count) = exchange_during(&one, &other, || checkpoint.run(&[]));
        exchanges += count;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let after = by_inode(&top);
        let is_removed = !after[&inode].contains(&"link_remap.9".to_owned());
        if is_removed {
            before.get_mut(&inode).expect("the file").retain(|name| name != "link_remap.9");
            removed += 1;
        }
        assert_eq!(after, before, "{said}");
        assert!(matches!(output.status.code(), Some(0..=2)), "{said}");
        assert!(is_removed || !said.contains("; removed)"), "{said}");
        // Where something else was at that moment, it was not there.
        assert!(is_removed || output.status.code() != Some(0) || said.contains("(gone)"), "{said}");
    }
    assert!(exchanges > ROUNDS as u64, "void: {exchanges} exchanges in {ROUNDS} runs");
    format!("{ROUNDS} runs, {exchanges} exchanges, {removed} links removed")
}

#[expect(clippy::disallowed_macros, reason = "a test may print")]
fn tell(race: &str, figures: &str) {
    println!("{race}: {figures}");
}

#[test]
fn a_directory_is_exchanged_for_another() {
    tell("directories", &race(|checkpoint| (checkpoint.data(), elsewhere(checkpoint))));
}

#[test]
fn a_directory_is_exchanged_for_a_symbolic_link_to_another() {
    let figures = race(|checkpoint| {
        let turned = checkpoint.data().with_file_name("turned");
        symlink(elsewhere(checkpoint), &turned).expect("a symbolic link");
        (checkpoint.data(), turned)
    });
    tell("a directory and a symbolic link", &figures);
}

#[test]
fn a_directory_is_exchanged_for_a_symbolic_link_to_itself() {
    let figures = race(|checkpoint| {
        let turned = checkpoint.data().with_file_name("turned");
        symlink("turned", &turned).expect("a symbolic link");
        (checkpoint.data(), turned)
    });
    tell("a directory and a symbolic link that leads to it", &figures);
}

#[test]
fn images_are_exchanged_for_others() {
    let figures = race(|checkpoint| {
        // Of a dump that named another link: whichever of the two is read, it is one of them, whole.
        let (image, other) = (checkpoint.images().join("files.img"), checkpoint.images().join("other"));
        fs::copy(checkpoint.images().join("remap-fpath.img"), &other).expect("a copy");
        (image, other)
    });
    tell("an image", &figures);
}

/// What no system call can keep from happening, since none removes a name only if it is a certain file's: whoever can
/// write in the directory has the name of the link removed from another file. No other name goes.
#[test]
fn a_file_is_exchanged_for_another_in_its_directory() {
    let (mut of_the_link, mut of_another) = (0, 0);
    for _ in 0..ROUNDS {
        let checkpoint = Checkpoint::new(CRIU_GC);
        checkpoint.write();
        let precious = checkpoint.data().join("precious");
        fs::write(&precious, "1234").expect("a new file");
        let top = checkpoint.images().with_file_name("");
        let before = names_below(&top);
        let inode = before[&checkpoint.link()].0;
        let exchange = || while renameat_with(CWD, checkpoint.link(), CWD, &precious, RenameFlags::EXCHANGE).is_ok() {};
        let output = std::thread::scope(|scope| {
            scope.spawn(exchange);
            let output = checkpoint.run(&[]);
            // Ends the other one, where the tool has not removed the name.
            let _ = fs::rename(checkpoint.link(), checkpoint.data().join("link_remap.9 that stayed"));
            output
        });
        let after = names_below(&top);
        let stayed = after.contains_key(&checkpoint.data().join("link_remap.9 that stayed"));
        assert_eq!(after.len(), before.len() - usize::from(!stayed), "{output:?}");
        assert!(after.contains_key(&precious), "{output:?}");
        let is_link_gone = after.values().filter(|(found, ..)| *found == inode).count() == 1;
        of_the_link += usize::from(!stayed && is_link_gone);
        of_another += usize::from(!stayed && !is_link_gone);
    }
    tell("a file", &format!("{ROUNDS} runs: the name was the link's {of_the_link} times, another file's {of_another}"));
}
