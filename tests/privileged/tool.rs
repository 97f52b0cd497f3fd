// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs criu-gc in a host, and checks what every removal has to keep.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{BINARY, CommandExt, Finished, IptablesFlavour, NetNamespace, Snapshot, TestHost};

use crate::filters;
use crate::trace::tampering;

/// criu-gc on one checkpoint of one host.
pub(crate) struct Tool<'a> {
    host: &'a TestHost,
    images: PathBuf,
    directories: Vec<PathBuf>,
    options: Vec<OsString>,
    namespace: Option<PathBuf>,
    wrapper: Vec<OsString>,
}

impl<'a> Tool<'a> {
    /// criu-gc for these images. Snapshots are of the host's scratch directory, `/dev/shm` and the packet filters.
    pub(crate) fn new(host: &'a TestHost, images: &Path) -> Self {
        let directories = vec![host.dir().to_owned(), PathBuf::from("/dev/shm")];
        Tool { host, images: images.to_owned(), directories, options: Vec::new(), namespace: None, wrapper: Vec::new() }
    }

    /// The same with one more option, such as `--netns`, and its value.
    pub(crate) fn option(mut self, option: &str, value: impl Into<OsString>) -> Self {
        self.options.extend([OsString::from(option), value.into()]);
        self
    }

    /// The same, run in another network namespace than the host's.
    pub(crate) fn inside(mut self, namespace: &NetNamespace) -> Self {
        self.namespace = Some(namespace.path());
        self
    }

    /// The same, run by another program, whose own arguments these are.
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(OsString::from).collect();
        self
    }

    /// The same, with system calls tampered with.
    pub(crate) fn under_strace(self, injections: &[&str]) -> Self {
        let words = tampering(injections);
        self.under(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same; snapshots are of this directory of the host too.
    pub(crate) fn watching(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directories.push(directory.into());
        self
    }

    /// Runs `criu-gc -D IMAGES … ARGUMENTS`, whatever comes of it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.command(arguments).finish()
    }

    /// The command for that.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let program = binary();
        let mut words = self.wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = self.host.command_in(self.namespace.as_deref(), words.next().expect("a program"));
        command.args(words).arg("-D").arg(&self.images).args(&self.options).args(arguments);
        command
    }

    /// The lines of `--show`, which must succeed, say nothing on standard error, and change nothing.
    pub(crate) fn show(&self) -> Vec<String> {
        self.show_since(&self.snapshot(), &["--show"], 0)
    }

    /// The same with these arguments and this status, where the snapshot is what the host holds now.
    fn show_since(&self, now: &Snapshot, arguments: &[&str], status: i32) -> Vec<String> {
        let shown = self.run(arguments);
        assert_eq!(self.difference_to(now), NOTHING, "{arguments:?} changed the system");
        assert_eq!((shown.code(), shown.stderr.as_str()), (status, ""), "{arguments:?}: {}", shown.stdout);
        shown.stdout.lines().map(str::to_owned).collect()
    }

    /// The objects of `--show --json`.
    pub(crate) fn show_objects(&self) -> Vec<Value> {
        let shown = self.run(&["--show", "--json"]);
        assert_eq!(shown.code(), 0, "{}", shown.stderr);
        let document: Value = serde_json::from_str(&shown.stdout).expect("one JSON document");
        document["checkpoints"][0]["objects"].as_array().expect("objects").clone()
    }

    /// What the host holds now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let directories: Vec<&Path> = self.directories.iter().map(PathBuf::as_path).collect();
        self.host.snapshot(&directories)
    }

    /// What has changed since.
    pub(crate) fn difference_to(&self, before: &Snapshot) -> Vec<String> {
        before.difference(&self.snapshot())
    }

    /// The whole protocol of a removal after which nothing is left: the residue is there, `--show` changes nothing and
    /// `--exit-code` tells of it, `gc` brings back what was before the dump, and a second `gc` finds nothing to do.
    pub(crate) fn assert_removes_everything_since(&self, before_dump: &Snapshot) -> Vec<String> {
        let left = self.snapshot();
        assert_ne!(before_dump.difference(&left), NOTHING, "void: the dump left nothing");
        let lines = self.show_since(&left, &["--show", "--exit-code"], 1);
        let removed = self.run(&[]);
        assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
        let cleaned = self.snapshot();
        assert_eq!(before_dump.difference(&cleaned), NOTHING, "after: {}", removed.stdout);
        self.assert_finds_nothing_since(&cleaned);
        lines
    }

    /// A removal that has nothing to do: it changes nothing, succeeds, and says so.
    pub(crate) fn assert_finds_nothing(&self) {
        self.assert_finds_nothing_since(&self.snapshot());
    }

    fn assert_finds_nothing_since(&self, now: &Snapshot) {
        let again = self.run(&[]);
        assert_eq!(again.code(), 0, "{}{}", again.stdout, again.stderr);
        assert_eq!(again.stdout.lines().last(), Some("Nothing is left."), "{}", again.stdout);
        assert_eq!(self.run(&["--show", "--exit-code"]).code(), 0);
        assert_eq!(self.difference_to(now), NOTHING, "a second run changed something");
    }

    /// A removal that keeps everything, each object for this reason among others, and says so with status 1.
    pub(crate) fn assert_keeps_everything(&self, reason: &str) {
        let before = self.snapshot();
        let kept = self.run(&[]);
        assert_eq!(kept.code(), 1, "{}{}", kept.stdout, kept.stderr);
        assert_eq!(self.difference_to(&before), NOTHING, "something was removed: {}", kept.stdout);
        let is_kept = |line: &str| line.contains("; kept: ") && line.contains(reason);
        assert!(kept.stdout.lines().any(is_kept), "no object is kept for {reason}: {}", kept.stdout);
    }
}

/// No difference.
pub(crate) const NOTHING: [&str; 0] = [];

/// Makes the tables of iptables in the host, and in namespaces, so that a dump only adds rules: iptables-nft never
/// takes its empty tables away, whoever uses it.
pub(crate) fn make_tables(host: &TestHost, namespaces: &[&NetNamespace]) {
    let paths: Vec<PathBuf> = namespaces.iter().map(|namespace| namespace.path()).collect();
    for place in std::iter::once(None).chain(paths.iter().map(|path| Some(path.as_path()))) {
        filters::make_tables(host, place, IptablesFlavour::Nft);
    }
}

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os(BINARY).map_or_else(|| env!("CARGO_BIN_EXE_criu-gc").into(), PathBuf::from)
}
