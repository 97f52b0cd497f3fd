// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Restores that the action script notes in the stored record: what was restored is known, wherever its traces are and
//! whatever the clocks say.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Criu, DumpOptions, DumpResult, IptablesFlavour, Restored, TcpMode, TestHost};

use crate::case::{Case, Cases};
use crate::filters;
use crate::places::{images_of, link_in};
use crate::recorded::{fates, without_record};
use crate::recording::{RECORD, STORE, recording};
use crate::replaced::await_later_time;
use crate::stored::stored;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a restore is noted in the stored record, wherever its log is", test: noted },
    Case { name: "a restore of a dump that is not in the store is not noted", test: not_stored },
    Case { name: "a restore that fails is not noted", test: failed },
    Case { name: "legacy rules of a newer dump are kept because the restore before it was noted", test: stale },
    Case { name: "a record without images keeps what a newer dump of the restored tree left", test: stale_alone },
    Case { name: "a restored tree is told from a dumped one whatever the clocks say", test: stepped },
]));

/// Restores with the action script; the log and the statistics are elsewhere.
fn restore_elsewhere(criu: &Criu, host: &TestHost, dump: &DumpResult, options: &DumpOptions) -> Restored {
    let work = work_of(host);
    fs::create_dir_all(&work).expect("a new directory");
    let extra = vec!["--work-dir".into(), work.into_os_string()];
    criu.restore(host, dump, &recording(host, &DumpOptions { extra, ..options.clone() }))
}

fn work_of(host: &TestHost) -> PathBuf {
    host.dir().with_file_name("work")
}

fn read(host: &TestHost, record: &Path) -> Value {
    serde_json::from_slice(&fs::read(host.path(record)).expect("a record")).expect("one JSON document")
}

/// What criu-gc does where no restore was noted.
fn without_store<T>(host: &TestHost, look: impl FnOnce() -> T) -> T {
    let (store, aside) = (host.path(STORE), host.path(STORE).with_file_name("aside"));
    fs::rename(&store, &aside).expect("a store");
    let seen = look();
    fs::rename(&aside, &store).expect("a store");
    seen
}

fn noted(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let (record, beside) = (stored(&dump.images), fs::read(dump.images.join(RECORD)).expect("a record"));
    assert_eq!(read(&host, &record)["restores"], Value::Null);
    let restored = restore_elsewhere(criu, &host, &dump, &DumpOptions::default());
    let log = fs::read_to_string(work_of(&host).join("restore.log")).expect("a log");
    assert!(log.contains(&format!("criu-gc: restore noted in {}\n", record.display())), "{log}");
    let document = read(&host, &record);
    let [restore] = &document["restores"].as_array().expect("restores")[..] else { panic!("{document:#}") };
    assert_eq!(restore["root_pid"], restored.pid());
    assert_eq!(restore["boot_id"], document["machine"]["boot_id"]);
    assert!(restore["noted"].as_str() > document["recorded"].as_str(), "{document:#}");
    assert_eq!(fs::read(dump.images.join(RECORD)).expect("a record"), beside);
    let tool = Tool::on(&host);
    let note = format!("Note: {} shows that a restore from these images completed", record.display());
    assert!(tool.show().contains(&note), "{:#?}", tool.show());
    // Nothing is left, but the images could be tried once more.
    tool.assert_finds_nothing();
    assert!(host.path(&record).exists());
    drop(restored);
    fs::remove_dir_all(&dump.images).expect("images");
    assert_eq!(Tool::new(&host, &record).run(&[]).code(), 0);
    assert!(!host.path(&record).exists());
}

/// Neither in the store nor next to the images: the dump may be another machine's.
fn not_stored(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let record = stored(&dump.images);
    let aside = host.dir().with_file_name("aside");
    fs::rename(dump.images.join(RECORD), &aside).expect("a record");
    fs::remove_file(host.path(&record)).expect("a record");
    let restored = restore_elsewhere(criu, &host, &dump, &DumpOptions::default());
    let log = || fs::read_to_string(work_of(&host).join("restore.log")).expect("a log");
    assert!(log().contains("/criu-gc-record]") && !log().contains("criu-gc: "), "{}", log());
    assert!(!host.path(&record).exists());
    drop(restored);
    // The one next to the images is enough, and outlives them from then on.
    fs::rename(&aside, dump.images.join(RECORD)).expect("a record");
    let again = images_of(&host).with_file_name("again");
    let newer = criu.dump(
        &host,
        &host.start_workload(&[&"deleted", &host.dir().join("other")]),
        &again,
        &recording(&host, &DumpOptions::default()),
    );
    fs::remove_file(host.path(stored(&again))).expect("a record");
    drop(restore_elsewhere(criu, &host, &newer, &DumpOptions::default()));
    assert_eq!(read(&host, &stored(&again))["restores"].as_array().map(Vec::len), Some(1));
}

/// A restore that fails is none.
fn failed(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let before = Tool::on(&host).snapshot();
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let (link, aside) = (link_in(host.dir()), host.dir().with_file_name("aside"));
    fs::rename(&link, &aside).expect("a link");
    let finished = criu.try_restore(&host, &dump, &recording(&host, &DumpOptions::default()));
    assert!(!finished.status.success(), "void: {finished}");
    fs::rename(&aside, &link).expect("a link");
    let record = stored(&dump.images);
    assert_eq!(read(&host, &record)["restores"], Value::Null);
    fs::remove_dir_all(&dump.images).expect("images");
    let tool = Tool::new(&host, &record);
    // To rename the link changed both it and its directory.
    assert_eq!(fates(&tool), ["kept: changed-since"]);
    assert_eq!(tool.option("--allow", "changed-since").run(&[]).code(), 0);
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

/// Such rules have no handles, and there is no link: neither the record nor the times tell.
fn stale(criu: &Criu) {
    let host = TestHost::new();
    filters::make_tables(&host, None, IptablesFlavour::Legacy);
    let options = DumpOptions { flavour: IptablesFlavour::Legacy, ..DumpOptions::default() };
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let before = Tool::on(&host).snapshot();
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &options));
    assert_eq!(fates(&Tool::on(&host)), ["to be removed"; 2], "void");
    let restored = restore_elsewhere(criu, &host, &dump, &options);
    let newer = images_of(&host).with_file_name("newer");
    criu.dump_again(&host, restored, &dump, &newer, &options);
    let tool = Tool::on(&host);
    assert_eq!(without_store(&host, || fates(&tool)), ["to be removed"; 2], "void");
    assert_eq!(fates(&tool), ["kept: restored-since"; 2]);
    tool.assert_keeps_everything("restored-since");
    Tool::new(&host, &newer).assert_removes_everything_since(&before);
}

fn stale_alone(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let before = Tool::on(&host).snapshot();
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let old = stored(&dump.images);
    let restored = restore_elsewhere(criu, &host, &dump, &DumpOptions::default());
    let newer = images_of(&host).with_file_name("newer");
    criu.dump_again(&host, restored, &dump, &newer, &recording(&host, &DumpOptions::default()));
    let new = stored(&newer);
    for images in [&dump.images, &newer] {
        fs::remove_dir_all(images).expect("images");
    }
    let tool = Tool::new(&host, &old);
    let kept = ["kept: not-recorded, restored-since, newer-dump"; 2];
    assert_eq!(fates(&tool)[..2], kept);
    assert_eq!(fates(&tool)[2..], ["kept: changed-since, restored-since"]);
    tool.assert_keeps_everything("restored-since");
    assert_eq!(Tool::new(&host, &new).run(&[]).code(), 0);
    assert_eq!(tool.difference_to(&before), NOTHING);
    assert!(host.path(&old).exists() && !host.path(&new).exists());
    assert_eq!(tool.run(&[]).code(), 0);
    assert!(!host.path(&old).exists());
}

/// The images look younger than the restored tree, as if the clock had been set back after the dump. The restore left the
/// rules of connections that it closed.
fn stepped(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    let before = Tool::on(&host).snapshot();
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let closing = DumpOptions { tcp: TcpMode::Close, ..DumpOptions::default() };
    let restored = restore_elsewhere(criu, &host, &dump, &closing);
    await_later_time(&dump.images);
    host.run("sh", &[&"-c", &format!("touch {}/*.img", dump.images.display())]);
    let tool = Tool::on(&host);
    let without = without_record(&host, &dump.images, || fates(&tool));
    assert!(without.len() == 2 && without.iter().all(|fate| fate.contains("tree-alive")), "void: {without:?}");
    let lines = tool.assert_removes_everything_since(&before);
    let name = format!("Process {} (workload", restored.pid());
    assert!(lines.iter().any(|line| line.starts_with(&name) && line.contains("was restored")), "{lines:#?}");
}
