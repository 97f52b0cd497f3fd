// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images that are no longer the last word: the tree was restored from them, and dumped once more to other ones.
//!
//! The newer dump leaves a link of the same name and rules of the same text, which are not the older images' to remove.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use testkit::{Container, Criu, DumpOptions, DumpResult, Launch, LockMethod, Snapshot, TestHost, Workload};

use crate::case::{Case, Cases};
use crate::links::images_of;
use crate::refusals::start_tree_of_all;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "stale images keep what a newer dump left, which its own images remove", test: beside_newer },
    Case {
        name: "stale images whose restore wrote its statistics elsewhere keep a newer dump's rules",
        test: elsewhere,
    },
    Case {
        name: "stale images whose traces of a restore the directory's owner took away keep a newer dump's rules",
        test: taken_away,
    },
    Case { name: "stale images with an nftables lock keep what a newer dump left", test: nftables },
    Case { name: "stale images of a container keep what a newer dump left", test: container },
    Case { name: "stale images that were copied with their times keep what a newer dump left", test: copied },
    Case {
        name: "stale images that were copied without their times keep what a newer dump left",
        test: copied_without_times,
    },
    Case { name: "what a newer dump left is removed by stale images if every reason is allowed", test: all_allowed },
    Case { name: "images that were copied or touched remove what their dump left", test: copied_or_touched },
]));

fn beside_newer(criu: &Criu) {
    let host = TestHost::new();
    let stale = Stale::make(criu, &host, start_tree_of_all(&host), &DumpOptions::default());
    stale.assert_keeps(
        &host,
        &[("Link remap: ", "changed-since, restored-since"), (CONNECTION, "restored-since, newer-dump")],
    );
    stale.assert_cleaned_by_its_newer_images(&host);
}

fn elsewhere(criu: &Criu) {
    let host = TestHost::new();
    let work = host.dir().with_file_name("work");
    fs::create_dir(&work).expect("a new directory");
    let extra = vec!["--work-dir".into(), work.into_os_string()];
    let stale = Stale::make(criu, &host, start_tree_of_all(&host), &DumpOptions { extra, ..DumpOptions::default() });
    let traces = ["stats-restore", "restore.log"].map(|name| images_of(&host).join(name).exists());
    assert_eq!(traces, [false; 2], "void: the restore left its traces");
    stale.assert_keeps(&host, &[("Link remap: ", "changed-since"), (CONNECTION, "newer-dump")]);
    stale.assert_cleaned_by_its_newer_images(&host);
}

/// Root's images, in a directory of a user's, who can take files away but not write any of them. Without a link nothing
/// else tells that there was no restore.
fn taken_away(criu: &Criu) {
    let host = TestHost::new();
    let plain = DumpOptions::default();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let (images, newer) = (images_of(&host), host.dir().with_file_name("newer"));
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    let dump = criu.dump(&host, &tree, &images, &plain);
    let owner = |user| chown(&images, Some(user), Some(user)).expect("an owner");
    let verdicts = || -> Vec<String> {
        let lines = tool.show().into_iter().filter(|line| line.starts_with(CONNECTION));
        lines.map(|line| line.rsplit_once("; ").map_or(line.clone(), |(_, verdict)| verdict.to_owned())).collect()
    };
    owner(1000);
    assert_eq!(verdicts(), ["kept: restored-since)"; 2]);
    owner(0);
    assert_eq!(verdicts(), ["to be removed)"; 2]);
    let restored = criu.restore(&host, &dump, &plain);
    criu.dump_again(&host, restored, &dump, &newer, &plain);
    owner(1000);
    for trace in ["stats-restore", "restore.log"] {
        fs::remove_file(images.join(trace)).expect("a trace of the restore");
    }
    tool.assert_keeps_everything("restored-since");
    Tool::new(&host, &newer).assert_removes_everything_since(&before);
}

/// The table has the newer dump's own name, so the older images do not even name it.
fn nftables(criu: &Criu) {
    let host = TestHost::new();
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    let stale = Stale::make(criu, &host, start_tree_of_all(&host), &options);
    stale.assert_keeps(&host, &[("Link remap: ", "changed-since, restored-since")]);
    stale.assert_cleaned_by_its_newer_images(&host);
}

fn container(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root");
    let tree = Launch::new(&[&"deleted", &"/tmp/one"]).container(&container).start(&host);
    let before = Tool::new(&host, &images_of(&host)).snapshot();
    let stale = Stale::make(criu, &host, (tree, before), &DumpOptions::default());
    stale.assert_keeps(&host, &[("Link remap: ", "changed-since, restored-since")]);
    stale.assert_cleaned_by_its_newer_images(&host);
}

fn copied(criu: &Criu) {
    let host = TestHost::new();
    let mut stale = Stale::make(criu, &host, start_tree_of_all(&host), &DumpOptions::default());
    let copy = host.dir().with_file_name("copy");
    host.run("cp", &[&"-a", &stale.images, &copy]);
    stale.images = copy;
    stale.assert_keeps(
        &host,
        &[("Link remap: ", "changed-since, restored-since"), (CONNECTION, "restored-since, newer-dump")],
    );
    stale.assert_cleaned_by_its_newer_images(&host);
}

/// A copy with new times makes every link look older than its images; that there was a restore is in the images still,
/// if its traces are not copied before them: here the order is that of the names.
fn copied_without_times(criu: &Criu) {
    let host = TestHost::new();
    let mut stale = Stale::make(criu, &host, start_tree_of_all(&host), &DumpOptions::default());
    let copy = host.dir().with_file_name("copy");
    let command = format!("mkdir {0}; cp {1}/* {0}", copy.display(), stale.images.display());
    host.run("sh", &[&"-c", &command]);
    stale.images = copy;
    stale.assert_keeps(&host, &[("Link remap: ", "restored-since"), (CONNECTION, "restored-since")]);
    stale.assert_cleaned_by_its_newer_images(&host);
}

fn all_allowed(criu: &Criu) {
    let host = TestHost::new();
    let stale = Stale::make(criu, &host, start_tree_of_all(&host), &DumpOptions::default());
    let tool = |allowed: &[&str]| {
        let tool = Tool::new(&host, &stale.images);
        allowed.iter().fold(tool, |tool, reason| tool.option("--allow", *reason))
    };
    for (allowed, start) in
        [(["changed-since", "restored-since"], "Link remap: "), (["restored-since", "newer-dump"], CONNECTION)]
    {
        let lines = tool(&allowed).show();
        let (removed, kept): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.ends_with("; to be removed)"));
        assert!(!removed.is_empty() && removed.iter().all(|line| line.starts_with(start)), "{lines:#?}");
        assert!(kept.iter().all(|line| !line.starts_with(start)), "{lines:#?}");
    }
    tool(&["changed-since", "restored-since", "newer-dump"]).assert_removes_everything_since(&stale.before);
}

fn copied_or_touched(criu: &Criu) {
    for change in ["cp -a images copy", "cp -r images copy", "touch images/*; mv images copy"] {
        let host = TestHost::new();
        let (tree, before) = start_tree_of_all(&host);
        let images = images_of(&host);
        criu.dump(&host, &tree, &images, &DumpOptions::default());
        let change = format!("cd {}; {change}", images.parent().expect("a directory").display());
        host.run("sh", &[&"-c", &change]);
        Tool::new(&host, &images.with_file_name("copy")).assert_removes_everything_since(&before);
    }
}

const CONNECTION: &str = "Locked tcp connection: ";

/// A tree that was dumped, restored, and dumped again.
struct Stale {
    images: PathBuf,
    newer: PathBuf,
    before: Snapshot,
}

impl Stale {
    fn make(criu: &Criu, host: &TestHost, (tree, before): (Workload, Snapshot), options: &DumpOptions) -> Self {
        let (images, newer) = (images_of(host), host.dir().with_file_name("newer"));
        let plain = DumpOptions { extra: Vec::new(), ..options.clone() };
        let dump: DumpResult = criu.dump(host, &tree, &images, &plain);
        let first = links_since(host, &before);
        let restored = criu.restore(host, &dump, options);
        criu.dump_again(host, restored, &dump, &newer, &plain);
        assert_eq!(links_since(host, &before), first, "void: the newer dump has other names");
        Stale { images, newer, before }
    }

    /// Nothing is removed; the lines that begin so tell exactly these reasons.
    fn assert_keeps(&self, host: &TestHost, expected: &[(&str, &str)]) {
        let tool = Tool::new(host, &self.images);
        for (start, reasons) in expected {
            let lines: Vec<String> = tool.show().into_iter().filter(|line| line.starts_with(start)).collect();
            let end = format!("; kept: {reasons})");
            assert!(!lines.is_empty() && lines.iter().all(|line| line.ends_with(&end)), "{end}: {lines:#?}");
            tool.assert_keeps_everything(reasons);
        }
    }

    fn assert_cleaned_by_its_newer_images(&self, host: &TestHost) {
        Tool::new(host, &self.newer).assert_removes_everything_since(&self.before);
        Tool::new(host, &self.images).assert_finds_nothing();
        assert_eq!(Tool::new(host, &self.images).difference_to(&self.before), NOTHING);
    }
}

/// The names of link remaps that have come, without their inodes.
fn links_since(host: &TestHost, before: &Snapshot) -> Vec<String> {
    let changes = Tool::new(host, &images_of(host)).difference_to(before);
    let links = changes.iter().filter(|change| change.contains("+ ") && change.contains("link_remap."));
    let names: Vec<String> = links.map(|line| line.split(" file mode").next().unwrap_or_default().to_owned()).collect();
    assert!(!names.is_empty(), "void: {changes:#?}");
    names
}
