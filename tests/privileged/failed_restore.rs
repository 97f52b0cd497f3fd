// SPDX-License-Identifier: Apache-2.0 OR MIT
//! After a restore that failed: what it touched is the dump's still, unless a newer dump may have made it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use testkit::{Criu, DumpOptions, DumpResult, LockMethod, Snapshot, TestHost};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::refusals::start_tree_of_all;
use crate::tool::Tool;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "after a restore that failed at a missing link all is removed", test: missing_link },
    Case {
        name: "after a restore that failed at a missing link all is removed, with nftables",
        test: missing_link_nft
    },
    Case { name: "after a restore that a script failed all is removed", test: failed_script },
    Case { name: "after a restore that failed, and has its log elsewhere, all is removed", test: log_elsewhere },
    Case { name: "after a restore that failed, and logged errors only, all is removed", test: errors_only },
    Case { name: "a restore that failed before it read the images changes nothing", test: failed_early },
    Case {
        name: "old images that were tried again after a newer dump keep what it left, whatever their log says",
        test: tried_again,
    },
    Case { name: "a second failed restore keeps what the first may not have touched", test: failed_twice },
    Case { name: "a link that somebody else touched after a failed restore is kept", test: touched_later },
    Case { name: "the log of a restore that other users can write explains nothing", test: log_of_others },
]));

/// A dumped tree with two link remaps and a locked connection.
struct Dumped<'a> {
    criu: &'a Criu,
    host: &'a TestHost,
    dump: DumpResult,
    before: Snapshot,
}

impl<'a> Dumped<'a> {
    fn new(criu: &'a Criu, host: &'a TestHost, options: &DumpOptions) -> Self {
        let (tree, before) = start_tree_of_all(host);
        let dump = criu.dump(host, &tree, &images_of(host), options);
        Dumped { criu, host, dump, before }
    }

    /// Restores with other arguments, in vain.
    fn fail_to_restore(&self, extra: Vec<OsString>) {
        let options = DumpOptions { extra, ..DumpOptions::default() };
        let finished = self.criu.try_restore(self.host, &self.dump, &options);
        assert_ne!(finished.code(), 0, "void: the restore succeeded");
    }

    /// Removes the link of the semaphore, so that a restore fails when it has opened the deleted file.
    fn remove_a_link(&self) {
        let semaphore = self.links().into_iter().find(|link| link.starts_with("/dev/shm"));
        fs::remove_file(self.host.path(semaphore.expect("void: no semaphore"))).expect("a link");
    }

    fn links(&self) -> Vec<PathBuf> {
        let lines = self.tool().show().into_iter();
        let links = lines.filter_map(|line| Some(line.strip_prefix("Link remap: ")?.split(' ').next()?.to_owned()));
        links.map(PathBuf::from).collect()
    }

    fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &self.dump.images)
    }

    /// Everything is removed without an option, and a note names the log.
    fn assert_removes_everything(&self, log: &str) {
        let shown = self.tool().show();
        let note =
            format!("Note: {log} shows that a restore failed, so what it changed does not count as a newer dump's");
        assert!(shown.contains(&note), "{shown:#?}");
        assert!(!shown.iter().any(|line| line.contains("kept:")), "{shown:#?}");
        self.tool().assert_removes_everything_since(&self.before);
    }

    fn assert_keeps(&self, reason: &str) {
        self.tool().assert_keeps_everything(reason);
    }
}

fn missing_link(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    dumped.remove_a_link();
    dumped.fail_to_restore(Vec::new());
    dumped.assert_removes_everything("restore.log");
}

fn missing_link_nft(criu: &Criu) {
    let host = TestHost::new();
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    let dumped = Dumped::new(criu, &host, &options);
    dumped.remove_a_link();
    dumped.fail_to_restore(Vec::new());
    dumped.assert_removes_everything("restore.log");
}

/// CRIU writes the statistics of a success although the restore fails.
fn failed_script(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    let script = host.dir().with_file_name("script");
    fs::write(&script, "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-restore ]\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script");
    dumped.fail_to_restore(vec!["--action-script".into(), script.into()]);
    assert!(dumped.dump.images.join("stats-restore").exists(), "void: no statistics");
    dumped.assert_removes_everything("restore.log");
}

/// In another directory, and under another name.
fn log_elsewhere(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    dumped.remove_a_link();
    let work = host.dir().with_file_name("work");
    fs::create_dir(&work).expect("a new directory");
    dumped.fail_to_restore(vec!["-W".into(), work.clone().into(), "-o".into(), "r.log".into()]);
    // Without its log nobody knows what made the changes.
    dumped.assert_keeps("changed-since");
    let tool = dumped.tool().option("--work-dir", work.display().to_string());
    tool.assert_removes_everything_since(&dumped.before);
}

/// Then the log has no times, and its age tells whether it is of one restore.
fn errors_only(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    dumped.remove_a_link();
    dumped.fail_to_restore(vec!["-v1".into()]);
    dumped.assert_removes_everything("restore.log");
}

fn failed_early(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    let inventory = dumped.dump.images.join("inventory.img");
    let content = fs::read(&inventory).expect("an image");
    let times = fs::metadata(&inventory).and_then(|found| found.modified()).expect("an image");
    fs::write(&inventory, "nonsense").expect("an image");
    dumped.fail_to_restore(Vec::new());
    fs::write(&inventory, content).expect("an image");
    fs::File::options().write(true).open(&inventory).and_then(|file| file.set_modified(times)).expect("an image");
    dumped.tool().assert_removes_everything_since(&dumped.before);
}

/// The restored tree made the same links once more. All that tells is when the old images were read first.
fn tried_again(criu: &Criu) {
    let host = TestHost::new();
    let plain = DumpOptions::default();
    let dumped = Dumped::new(criu, &host, &plain);
    let work = host.dir().with_file_name("work");
    fs::create_dir(&work).expect("a new directory");
    let elsewhere = DumpOptions { extra: vec!["--work-dir".into(), work.into()], ..plain.clone() };
    let restored = criu.restore(&host, &dumped.dump, &elsewhere);
    let newer = criu.dump_again(&host, restored, &dumped.dump, &host.dir().with_file_name("newer"), &plain);
    dumped.remove_a_link();
    dumped.fail_to_restore(Vec::new());
    dumped.assert_keeps("changed-since");
    dumped.assert_keeps("newer-dump");
    let shown = dumped.tool().show();
    assert!(shown.iter().any(|line| line.contains("an earlier restore may have succeeded")), "{shown:#?}");
    let allowed = ["--allow", "changed-since", "--allow", "newer-dump"];
    let removed = Tool::new(&host, &newer.images).run(&allowed);
    assert_eq!(removed.stdout.matches("removed)").count(), 3, "void: nothing of the newer dump was left: {removed}");
}

/// The log of the first is overwritten, and a restore that succeeded may have been in its place.
fn failed_twice(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    dumped.remove_a_link();
    dumped.fail_to_restore(Vec::new());
    // A restore that succeeds, and a dump, take longer.
    sleep(Duration::from_millis(200));
    dumped.fail_to_restore(Vec::new());
    dumped.assert_keeps("changed-since");
}

fn touched_later(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    dumped.remove_a_link();
    dumped.fail_to_restore(Vec::new());
    sleep(Duration::from_millis(50));
    for link in dumped.links().into_iter().filter(|link| host.path(link).exists()) {
        host.run("sh", &[&"-c", &format!("ln {0} {0}.x && rm {0} && mv {0}.x {0}", link.display())]);
    }
    dumped.assert_keeps("changed-since");
}

fn log_of_others(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host, &DumpOptions::default());
    dumped.remove_a_link();
    dumped.fail_to_restore(Vec::new());
    let log = dumped.dump.images.join("restore.log");
    chown(&log, Some(1000), None).expect("an owner");
    dumped.assert_keeps("changed-since");
}
