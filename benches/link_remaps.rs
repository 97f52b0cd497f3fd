// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The removal of ten thousand link remaps against bare unlinking, and criu-gc as a whole against `rm`.
//!
//! Both sides of a comparison run in turn on the same names, so that the ratio holds on a noisy machine. The links are
//! those of a real dump; after each removal they are made again, and the images get a newer time, as if they had just
//! been dumped.
#![expect(clippy::disallowed_macros, reason = "a benchmark prints what it measured")]

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use criu_gc::internals::carrier::Outcome;
use criu_gc::internals::checkpoint;
use criu_gc::internals::execute;
use criu_gc::internals::host::Host;
use criu_gc::internals::interrupt::Interrupt;
use criu_gc::internals::kind;
use criu_gc::internals::locate::{Given, Images};
use criu_gc::internals::plan::{self, KeepReason, Policy};
use criu_gc::internals::probe::{self, Hints};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::process::{Resource, getrlimit, setrlimit};
use testkit::{Criu, DumpOptions, LockMethod, TestHost, Word};

const LINKS: usize = 10_000;
const ROUNDS: usize = 11;

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
    allow_open_files();
    let host = TestHost::new();
    let images = dump(&criu, &host);
    let links = Links::find(host.dir());
    assert_eq!(links.0.len(), LINKS, "void: the dump made another number of links");
    let removal = (0..ROUNDS)
        .map(|_| (links.time(&images, || remove_planned(&images)), links.time(&images, || unlink_each(&links))));
    report("removal: look again and unlink", "bare unlinking", &removal.collect::<Vec<_>>());
    let tool = Path::new(env!("CARGO_BIN_EXE_criu-gc"));
    let by_name = format!("rm -f {}/link_remap.*", host.dir().display());
    let whole = (0..ROUNDS).map(|_| {
        let removal = links.time(&images, || run(&host, tool, &[&"--yes", &images]));
        (removal, links.time(&images, || run(&host, Path::new("sh"), &[&"-c", &by_name])))
    });
    report("whole processes: criu-gc --yes", "rm link_remap.*", &whole.collect::<Vec<_>>());
}

/// Plans outside the clock, removes inside it.
#[expect(clippy::disallowed_methods, reason = "the removal is what is measured")]
fn remove_planned(images: &Path) -> Duration {
    let images = Images::open(images, None).expect("the images");
    let checkpoint = checkpoint::read(&images).expect("the images");
    let claims = kind::named_by_images(&checkpoint);
    let host = Host::look(probe::wanted(&checkpoint, &claims));
    let survey = probe::look(&host, &Given::Images(Box::new(images)), &checkpoint, claims, &Hints::default())
        .expect("this machine");
    // The tree's pids are those of the throw-away host, and mean others here.
    let allowed = [KeepReason::TreeAlive, KeepReason::TreeUnknown].into();
    let policy = Policy { allowed, ..Policy::default() };
    let tree = survey.tree.clone();
    let plan = plan::decide(&checkpoint, survey, &policy).guarded(&tree, &policy);
    let start = Instant::now();
    let done = execute::execute(&host, plan, None, &Interrupt::default());
    let taken = start.elapsed();
    assert!(done.0.iter().all(|done| done.outcome == Outcome::Removed), "void: not all links were removed");
    taken
}

/// The same links in the same order, with the only call that nobody can save.
fn unlink_each(links: &Links) -> Duration {
    let names: Vec<(&Path, &OsStr)> = links
        .0
        .iter()
        .map(|(link, _)| (link.parent().expect("a directory"), link.file_name().expect("a name")))
        .collect();
    let start = Instant::now();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(names[0].0, flags, Mode::empty()).expect("a directory");
    for (_, name) in names {
        rustix::fs::unlinkat(&directory, name, AtFlags::empty()).expect("a link");
    }
    start.elapsed()
}

fn run(host: &TestHost, program: &Path, arguments: &[Word<'_>]) -> Duration {
    let mut command = host.command(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("a program");
    assert!(status.success(), "{command:?}: {status}");
    start.elapsed()
}

/// Each link needs an open file in the tree, in criu and in what follows.
fn allow_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a limit that may be set");
}

fn dump(criu: &Criu, host: &TestHost) -> PathBuf {
    let files: Vec<PathBuf> = (0..LINKS).map(|number| host.dir().join(format!("file-{number}"))).collect();
    let words: Vec<Word<'_>> = files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]).collect();
    let tree = host.start_workload(&words);
    let options = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    let images = host.dir().join("images");
    let dump = criu.dump(host, &tree, &images, &options);
    println!(
        "criu {} dumped a tree with {LINKS} files that had lost their names in {:?}",
        criu.version(),
        dump.duration
    );
    images
}

/// Every link remap, and another name of its file.
struct Links(Vec<(PathBuf, PathBuf)>);

impl Links {
    fn find(directory: &Path) -> Self {
        let entries: Vec<fs::DirEntry> = fs::read_dir(directory).expect("a directory").flatten().collect();
        let inode = |entry: &fs::DirEntry| entry.metadata().expect("a file").ino();
        let is_link = |name: &OsStr| name.as_bytes().starts_with(b"link_remap.");
        let (links, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| is_link(&entry.file_name()));
        let others: HashMap<u64, PathBuf> = others.into_iter().map(|entry| (inode(entry), entry.path())).collect();
        let mut links: Vec<_> = links.into_iter().map(|entry| (entry.path(), others[&inode(entry)].clone())).collect();
        // As CRIU counts them, and criu-gc goes through them.
        links.sort_by_key(|(link, _)| (link.as_os_str().len(), link.clone()));
        Links(links)
    }

    /// How long `remove` takes to remove all links, which are there again afterwards.
    fn time(&self, images: &Path, remove: impl FnOnce() -> Duration) -> Duration {
        let taken = remove();
        for (link, other) in &self.0 {
            fs::hard_link(other, link).unwrap_or_else(|error| panic!("{} was not removed: {error}", link.display()));
        }
        for image in fs::read_dir(images).expect("the images").flatten() {
            let image = File::options().write(true).open(image.path()).expect("an image");
            image.set_modified(SystemTime::now()).expect("an image of ours");
        }
        taken
    }
}

/// Prints the medians of both, and the ratio round by round: machines are noisy, and both halves of a round suffer alike.
fn report(what: &str, compared: &str, rounds: &[(Duration, Duration)]) {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let removal = median(rounds.iter().map(|(removal, _)| milliseconds(*removal)));
    let bare = median(rounds.iter().map(|(_, bare)| milliseconds(*bare)));
    let ratio = median(rounds.iter().map(|(removal, bare)| removal.as_secs_f64() / bare.as_secs_f64()));
    println!("{what} {removal:.1} ms, {compared} {bare:.1} ms, ratio {ratio:.2} (medians of {ROUNDS} rounds)");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
