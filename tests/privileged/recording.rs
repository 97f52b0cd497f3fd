// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc as CRIU's action script: the record that it makes, and what becomes of the dump.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{CommandExt, Container, Criu, DumpOptions, Launch, LockMethod, TestHost};

use crate::case::{Case, Cases};
use crate::places::{images_of, link_in};
use crate::refusals::start_tree_of_all;
use crate::tool::{NOTHING, Tool, binary};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a dump is recorded with the identities of what it has just left", test: identities },
    Case { name: "the links of a container are recorded where they are on the host", test: container },
    Case { name: "CRIU's configuration file can name the recorder", test: configured },
    Case { name: "at every other action the recorder leaves the images as they are", test: other_actions },
    Case { name: "a dump that cannot be recorded succeeds all the same", test: cannot_record },
    Case { name: "a dump that cannot be recorded is undone where that is asked for", test: cannot_record_or_fail },
    Case { name: "a dump that left nothing is recorded too", test: nothing },
]));

/// The name of the record in the images directory.
pub(crate) const RECORD: &str = "criu-gc-record.json";
/// Where records outlive their images.
pub(crate) const STORE: &str = "/var/lib/criu-gc/records";

/// A link to criu-gc of this name, for an action script.
pub(crate) fn link_recorder(host: &TestHost, name: &str) -> PathBuf {
    let link = host.dir().with_file_name(name);
    if !link.exists() {
        symlink(binary(), &link).expect("a new link");
    }
    link
}

/// Dumps like these, and records them.
pub(crate) fn recording(host: &TestHost, options: &DumpOptions) -> DumpOptions {
    with_script(options, link_recorder(host, "criu-gc-record"))
}

fn with_script(options: &DumpOptions, script: PathBuf) -> DumpOptions {
    let words = ["--action-script".into(), script.into_os_string()];
    DumpOptions { extra: options.extra.iter().cloned().chain(words).collect(), ..options.clone() }
}

/// Leaves only the records next to the images.
pub(crate) fn forget_stored(host: &TestHost) {
    fs::remove_dir_all(host.path(STORE)).expect("a store");
}

pub(crate) fn record_of(images: &Path) -> Value {
    serde_json::from_slice(&fs::read(images.join(RECORD)).expect("a record")).expect("one JSON document")
}

fn identities(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let images = images_of(&host);
    let dump = criu.dump(&host, &tree, &images, &recording(&host, &DumpOptions::default()));
    assert_eq!(fs::metadata(images.join(RECORD)).expect("a record").permissions().mode(), 0o100_600);
    let record = record_of(&images);
    assert_eq!((&record["criu_gc_record"], &record["not_recorded"]), (&1.into(), &Value::Array(Vec::new())));
    let tool = Tool::new(&host, &images);
    assert_eq!(record["links"].as_array().map(Vec::len), Some(2), "{record:#}");
    for link in record["links"].as_array().into_iter().flatten() {
        let path = PathBuf::from(link["path"]["text"].as_str().expect("a path"));
        assert_identity_of(link, &host.path(&path));
    }
    assert_rules_recorded(&host, &record);
    assert!(dump.log().contains("criu-gc: recorded in criu-gc-record.json: link remaps: 2, network locks: 2\n"));
    let own = host.run("readlink", &[&"/proc/self/ns/net"]).stdout;
    assert_eq!(own.trim(), format!("net:[{}]", record["network"]["inode"]));
    assert!(record["network"]["cookie"].is_u64(), "{record:#}");
    // The last change of a link is older than the record, so that every later change differs from it.
    assert!(record["links"][0]["changed"].as_str() < record["recorded"].as_str(), "{record:#}");
    let shown = tool.run(&["--show", "-v"]).stdout;
    assert_eq!(shown.matches("    the dump's record identifies this object\n").count(), 4, "{shown}");
    tool.assert_removes_everything_since(&before);
}

/// What `stat` says of the link, and of its directory.
#[track_caller]
fn assert_identity_of(link: &Value, path: &Path) {
    let time = |seconds: i64, nanoseconds: i64| format!("{seconds}.{nanoseconds:09}");
    let file = fs::symlink_metadata(path).expect("a link");
    let directory = fs::metadata(path.parent().expect("a directory")).expect("a directory");
    let device = format!("{}:{}", rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    assert_eq!(link["device"], device.as_str());
    assert_eq!((&link["inode"], &link["directory"]["inode"]), (&file.ino().into(), &directory.ino().into()));
    assert_eq!(link["changed"], time(file.ctime(), file.ctime_nsec()));
    assert_eq!(link["directory"]["changed"], time(directory.ctime(), directory.ctime_nsec()));
    // A tmpfs has no birth times before Linux 6.6.
    let born = file.created().ok().map(|born| born.duration_since(std::time::UNIX_EPOCH).expect("a time after 1970"));
    let born = born.map(|born| time(i64::try_from(born.as_secs()).expect("a time"), born.subsec_nanos().into()));
    assert_eq!(link["born"].as_str(), born.as_deref());
    assert_eq!(link["filesystem"].as_str().map(|uuid| uuid.replace('-', "")), uuid_of(path));
}

/// The UUID of the filesystem, without dashes, by a request of Python's; `None` where the kernel tells none.
fn uuid_of(path: &Path) -> Option<String> {
    const SCRIPT: &str = "
import fcntl, os, sys
try:
    answer = fcntl.ioctl(os.open(os.path.dirname(sys.argv[1]), os.O_RDONLY), 0x80111500, bytes(17))
    print(answer[1:].hex() if any(answer[1:]) else '')
except OSError:
    print()
";
    let answer = std::process::Command::new("python3").args(["-c", SCRIPT]).arg(path).succeed().stdout;
    Some(answer.trim().to_owned()).filter(|uuid| !uuid.is_empty())
}

/// What `nft` says of the rules of each connection.
#[track_caller]
fn assert_rules_recorded(host: &TestHost, record: &Value) {
    let listed = host.run("nft", &[&"--handle", &"list", &"table", &"ip", &"filter"]).stdout;
    let table = format!("table ip filter {{ # handle {}", record["network"]["connections"][0]["rules"][0]["table"]);
    assert!(listed.contains(&table), "{table}: {listed}");
    let connections = record["network"]["connections"].as_array().expect("connections");
    let rules: Vec<&Value> = connections.iter().flat_map(|each| each["rules"].as_array().expect("rules")).collect();
    assert_eq!(rules.len(), 4, "{record:#}");
    for rule in rules {
        let end = format!(" # handle {}", rule["handle"]);
        assert!(listed.lines().any(|line| line.contains("drop") && line.ends_with(&end)), "{end}: {listed}");
    }
}

fn container(criu: &Criu) {
    let host = TestHost::new();
    let container = Container::new(&host, "root").tmpfs("/run".as_ref());
    fs::create_dir(container.root().join("run")).expect("a new directory");
    let words: [testkit::Word<'_>; 4] = [&"deleted", &"/tmp/one", &"deleted", &"/run/two"];
    let tree = Launch::new(&words).container(&container).start(&host);
    let images = images_of(&host);
    let before = Tool::new(&host, &images).snapshot();
    criu.dump(&host, &tree, &images, &recording(&host, &DumpOptions::default()));
    let record = record_of(&images);
    // The second one ends with the tree, after the record is made.
    assert_eq!(record["links"].as_array().map(Vec::len), Some(2), "{record:#}");
    assert_identity_of(&record["links"][0], &link_in(&container.root().join("tmp")));
    assert_eq!(record["not_recorded"], Value::Array(Vec::new()));
    let shown = Tool::new(&host, &images).run(&["--show", "-v"]).stdout;
    assert_eq!(shown.matches("identifies this object\n").count(), 1, "{shown}");
    Tool::new(&host, &images).assert_removes_everything_since(&before);
}

fn configured(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let file = host.dir().with_file_name("criu.conf");
    let script = link_recorder(&host, "criu-gc-record");
    fs::write(&file, format!("action-script {}\n", script.display())).expect("a file");
    let extra = vec!["--config".into(), file.into_os_string()];
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions { extra, ..DumpOptions::default() });
    assert_eq!(record_of(&images_of(&host))["links"].as_array().map(Vec::len), Some(2));
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn other_actions(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    let options = recording(&host, &DumpOptions::default());
    let dump = criu.dump(&host, &tree, &images_of(&host), &options);
    let record = fs::read(dump.images.join(RECORD)).expect("a record");
    assert_eq!(dump.log().matches("criu-gc: ").count(), 2, "{}", dump.log());
    assert!(dump.log().matches("/criu-gc-record]").count() > 1, "void: {}", dump.log());
    let restored = criu.restore(&host, &dump, &options);
    let log = fs::read_to_string(dump.images.join("restore.log")).expect("a log");
    assert!(log.matches("/criu-gc-record]").count() > 1, "{log}");
    assert_eq!(log.matches("criu-gc: ").count(), log.matches("criu-gc: restore noted in ").count(), "{log}");
    assert!(log.contains("criu-gc: restore noted in "), "{log}");
    assert_eq!(fs::read(dump.images.join(RECORD)).expect("a record"), record);
    assert_eq!(Tool::new(&host, &dump.images).difference_to(&before), NOTHING);
    drop(restored);
    // By hand.
    let program = link_recorder(&host, "criu-gc-record");
    let by_hand = host.command(&program).current_dir("/").finish();
    assert_eq!((by_hand.code(), by_hand.stdout.as_str()), (2, ""), "{by_hand}");
    let silent = host.command(&program).env("CRTOOLS_SCRIPT_ACTION", "post-restore").finish();
    assert_eq!((silent.code(), silent.stdout.as_str(), silent.stderr.as_str()), (0, "", ""));
}

/// A directory is in the place of the record.
fn cannot_record(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    fs::create_dir_all(images_of(&host).join(RECORD)).expect("a new directory");
    let dump = criu.dump(&host, &tree, &images_of(&host), &recording(&host, &DumpOptions::default()));
    let message = "criu-gc: error: cannot record the dump: cannot replace ";
    assert!(dump.log().contains(message), "{}", dump.log());
    let tool = Tool::on(&host);
    let note = format!("Note: {RECORD} is not used: cannot ");
    assert!(tool.show().iter().any(|line| line.starts_with(&note)), "{:#?}", tool.show());
    tool.assert_removes_everything_since(&before);
}

fn cannot_record_or_fail(criu: &Criu) {
    let host = TestHost::new();
    let (tree, before) = start_tree_of_all(&host);
    fs::create_dir_all(images_of(&host).join(RECORD)).expect("a new directory");
    let options = with_script(&DumpOptions::default(), link_recorder(&host, "criu-gc-record-or-fail"));
    let failed = criu.try_dump(&host, &tree, &images_of(&host), &options);
    assert!(!failed.status.success(), "{failed}");
    // CRIU has taken back what it had left.
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
    assert_eq!(tree.state(), Some('S'));
    fs::remove_dir(images_of(&host).join(RECORD)).expect("a directory");
    criu.dump(&host, &tree, &images_of(&host), &options);
    assert_eq!(record_of(&images_of(&host))["links"].as_array().map(Vec::len), Some(2));
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn nothing(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[]);
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    let before = Tool::on(&host).snapshot();
    criu.dump(&host, &tree, &images_of(&host), &recording(&host, &options));
    let record = record_of(&images_of(&host));
    assert_eq!(record["links"], Value::Array(Vec::new()));
    // The table is made whether there is a connection or not.
    let table = &record["network"]["tables"][0];
    let name = table["name"].as_str().expect("a name");
    let listed = host.run("nft", &[&"--handle", &"list", &"table", &"inet", &name]).stdout;
    let line = format!("table inet {name} {{ # handle {}", table["handle"]);
    assert!(listed.lines().any(|each| each == line), "{line}: {listed}");
    Tool::on(&host).assert_removes_everything_since(&before);
    let skip = DumpOptions { lock: LockMethod::Skip, ..DumpOptions::default() };
    let other = images_of(&host).with_file_name("other");
    criu.dump(&host, &host.start_workload(&[]), &other, &recording(&host, &skip));
    assert_eq!(record_of(&other)["network"], Value::Null);
}
