// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the attacks share: processes that hold something, dumps of processes that no launcher knows, and the two ways in
//! which an answer is wrong: something of others is gone, or something that is left is called clean.
//!
//! The attacks were written from the laws alone, without looking at the code. Beside each stands what must be cleaned
//! without an option.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::{CommandExt, Criu, Finished, IptablesFlavour, TestHost, Workload};

use crate::refusals::wait_until;
use crate::tool::{NOTHING, Tool};

/// More than any test's link remap has for a number.
const NUMBERS: u32 = 60;

/// The program that goes somewhere and stays.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/privileged/hold.py");

/// What the workload writes into a file is as long.
const SIZE: usize = 41;

/// The permissions of its files.
const MODE: u32 = 0o640;

/// A process of a host that does nothing but hold something, killed at the latest with its host.
pub(crate) struct Holder<'a> {
    pub(crate) host: &'a TestHost,
    /// As the host numbers it.
    pub(crate) pid: u32,
}

impl<'a> Holder<'a> {
    /// Starts the script, and waits until it has become `sleep`.
    pub(crate) fn start(host: &'a TestHost, script: &str) -> Self {
        let start = format!("{{ {script}; }} </dev/null >/dev/null 2>&1 & echo $!");
        let pid = host.run("sh", &[&"-c", &start]).stdout.trim().parse().expect("a number");
        let holder = Holder { host, pid };
        wait_until(|| holder.is_asleep().then_some(()))
            .unwrap_or_else(|| panic!("void: the holder is not ready: {script}"));
        holder
    }

    /// The same for a script that stays a shell or an `unshare`; it is ready when the file is there.
    pub(crate) fn start_until(host: &'a TestHost, script: &str, ready: &Path) -> Self {
        let start = format!("{{ {script}; }} </dev/null >/dev/null 2>&1 & echo $!");
        let pid = host.run("sh", &[&"-c", &start]).stdout.trim().parse().expect("a number");
        wait_until(|| host.path(ready).exists().then_some(())).unwrap_or_else(|| panic!("void: not ready: {script}"));
        Holder { host, pid }
    }

    /// Starts a process that goes where the words say, as `hold.py` has them.
    pub(crate) fn go(host: &'a TestHost, words: &str) -> Self {
        Self::start(host, &format!("exec python3 {PROGRAM} {words}"))
    }

    fn is_asleep(&self) -> bool {
        let comm = self.host.path(format!("/proc/{}/comm", self.pid));
        fs::read_to_string(comm).is_ok_and(|name| matches!(name.trim(), "sleep" | "holds"))
    }

    /// Where a file of the holder's own mount namespace can be reached from outside.
    pub(crate) fn path(&self, inside: &Path) -> PathBuf {
        let inside = inside.strip_prefix("/").expect("an absolute path");
        self.host.path(format!("/proc/{}/root", self.pid)).join(inside)
    }

    /// Its namespace of this kind, as the host names it.
    pub(crate) fn namespace(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.pid).into()
    }

    /// Kills it and waits for its end.
    pub(crate) fn end(self) {
        self.host.run("kill", &[&"-KILL", &self.pid.to_string()]);
        let process = self.host.path(format!("/proc/{}", self.pid));
        wait_until(|| (!process.exists()).then_some(())).expect("the end of a process");
    }
}

/// Dumps a process that the host numbers so, to a new directory, with these options more; it must succeed.
pub(crate) fn dump_process(criu: &Criu, host: &TestHost, pid: u32, images: &Path, extra: &[OsString]) {
    fs::create_dir_all(images).expect("an images directory");
    let mut command = criu.command(host, IptablesFlavour::Nft);
    command.args(["dump", "--tree", &pid.to_string(), "--link-remap", "-v4", "--log-file", "dump.log"]);
    command.arg("--images-dir").arg(images).args(extra);
    let finished = command.finish();
    let log = fs::read_to_string(images.join("dump.log")).unwrap_or_default();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error")).collect();
    assert_eq!(finished.code(), 0, "void: {finished}{errors:#?}");
}

/// The youngest process of the host with this name, as the host numbers it.
pub(crate) fn newest(host: &TestHost, name: &str) -> u32 {
    let find = || host.command("pgrep").args(["-n", "-x", name]).finish().stdout.trim().parse().ok();
    wait_until(find).expect("a process")
}

/// Another checkpoint's links in the directory, one of every number that a link remap of a test can have. They are like
/// the workload's and are made now, before the dump.
pub(crate) fn plant(directory: &Path) {
    for number in 1..NUMBERS {
        let path = directory.join(format!("link_remap.{number}"));
        fs::write(&path, "v".repeat(SIZE)).expect("a new file");
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).expect("a new file");
    }
}

/// All planted links are there.
#[track_caller]
pub(crate) fn assert_untouched(directory: &Path, told: &Finished) {
    let gone: Vec<u32> =
        (1..NUMBERS).filter(|number| !directory.join(format!("link_remap.{number}")).exists()).collect();
    assert!(gone.is_empty(), "GOT: another checkpoint's link_remap.{gone:?} was removed: {told}");
}

/// Something is left, and nobody pretends otherwise: not before a removal, and not by one that leaves it there.
#[track_caller]
pub(crate) fn assert_not_called_clean(tool: &Tool<'_>, is_left: impl Fn() -> bool) {
    assert!(is_left(), "void: nothing is left");
    let shown = tool.run(&["--show", "--exit-code"]);
    assert_eq!(shown.code(), 1, "GOT: clean, though something is left: {shown}");
    let removed = tool.run(&[]);
    assert!(removed.code() == 1 || !is_left(), "GOT: clean, though something is left: {removed}");
    assert!(!removed.stdout.contains("Nothing is left") || !is_left(), "GOT: clean: {removed}");
}

/// Whatever is said, nothing that snapshots show is touched, and it is not called clean.
#[track_caller]
pub(crate) fn assert_left_alone(tool: &Tool<'_>) {
    let before = tool.snapshot();
    let removed = tool.run(&[]);
    assert_eq!(tool.difference_to(&before), NOTHING, "GOT: removed: {removed}");
    assert_ne!(removed.code(), 0, "GOT: clean: {removed}");
}

/// Without an option, everything goes and nothing is left.
#[track_caller]
pub(crate) fn assert_cleans(tool: &Tool<'_>, is_left: impl Fn() -> bool) {
    assert!(is_left(), "void: nothing is left");
    let removed = tool.run(&[]);
    assert!(removed.code() == 0 && !is_left(), "NOT CLEANED without an option: {removed}");
}

/// In a new namespace not even the loopback device is up, so that no packet shows whether it is locked.
pub(crate) fn raise_loopback(host: &TestHost, tree: &Workload) {
    let namespace = format!("--net=/proc/{}/ns/net", tree.pid());
    host.run("nsenter", &[&namespace, &"ip", &"link", &"set", &"lo", &"up"]);
}

/// The names in a directory of a mount namespace that a path of the host names.
pub(crate) fn names_in(host: &TestHost, namespace: &Path, directory: &str) -> String {
    let words = [PROGRAM, "enter", &namespace.display().to_string(), "list", directory].map(str::to_owned);
    host.command("python3").args(words).finish().stdout
}

/// Whether a link remap is in the directory.
pub(crate) fn has_link(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("link_remap."))
    })
}
