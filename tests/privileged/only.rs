// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One part of what a dump left: the network is unlocked and the checkpoint can still be restored; or the files go, and
//! the lock stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use criu_images::{Framing, ImageReader, Inventory};
use serde_json::Value;
use testkit::{
    CommandExt, Criu, DumpOptions, FinalState, Finished, IptablesFlavour, Launch, LockMethod, Network, TestHost,
};

use crate::case::{Case, Cases};
use crate::closed::Closed;
use crate::filters::{Filters, make_tables, tables};
use crate::places::{has_link, images_of};
use crate::pod::LOCKS;
use crate::tool::{NOTHING, Tool};
use crate::traffic::{Net, Outside};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "--only network unlocks connections, and the checkpoint can be restored", test: connections },
    Case { name: "--only network unlocks a namespace, and the checkpoint can be restored into it", test: namespace },
    Case { name: "--only network resets a peer that sends, and the restore works all the same", test: peer },
    Case { name: "--only files removes the files, and the lock stays", test: files },
    Case {
        name: "--only network keeps what speaks against a removal, and removes it without an option later",
        test: kept
    },
    Case { name: "--only network warns of an old CRIU, which may need the rules", test: old },
    Case { name: "what is not known of the part that was left out does not count", test: unknown },
]));

const NETWORK: &str = "Note: only the network lock; 1 file that a restore may need left out";
const RESTORABLE: &str = "Note: criu restore still works without the lock: it logs an error for each missing rule, chain or \
                          table, and goes on";

fn only<'a>(host: &'a TestHost, part: &str) -> Tool<'a> {
    Tool::on(host).option("--only", part)
}

fn options((lock, flavour): (LockMethod, IptablesFlavour)) -> DumpOptions {
    DumpOptions { lock, flavour, ..DumpOptions::default() }
}

/// Whether there are rules or tables of CRIU's in the host's own network.
fn is_locked(host: &TestHost, flavour: IptablesFlavour) -> bool {
    !tables(host, None).is_empty() || !Filters::of_host(host, flavour).drops("iptables").is_empty()
}

fn connections(criu: &Criu) {
    for way in LOCKS {
        let host = TestHost::new();
        make_tables(&host, None, way.1);
        let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
        let before = Tool::on(&host).snapshot();
        let dump = criu.dump(&host, &tree, &images_of(&host), &options(way));
        assert!(is_locked(&host, way.1) && has_link(host.dir()), "void: {way:?}");
        let tool = only(&host, "network");
        let lines = tool.show();
        assert_eq!(lines[..2], [NETWORK, RESTORABLE], "{lines:#?}");
        assert!(lines[2].starts_with("Note: a peer that sends before the restore gets a reset"), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.starts_with("Link remap: ")), "{lines:#?}");
        assert!(lines.last().is_some_and(|line| line.ends_with(" to be removed, 1 left out.")), "{lines:#?}");
        assert_document(&tool);
        let removed = tool.run(&[]);
        assert_eq!((removed.code(), removed.stderr.as_str()), (0, ""), "{removed}");
        assert!(removed.stdout.starts_with(&format!("{NETWORK}\n{RESTORABLE}\n")), "{removed}");
        assert!(!is_locked(&host, way.1) && has_link(host.dir()), "{removed}");
        assert_nothing_is_left_of(&tool, "network");
        assert_eq!(Tool::on(&host).run(&["--show", "--exit-code"]).code(), 1, "the link is left");
        let restored = criu.restore(&host, &dump, &options(way));
        assert!(matches!(restored.state(), Some('R' | 'S')), "{way:?}");
        assert_eq!(Tool::on(&host).difference_to(&before), NOTHING, "{way:?}");
        Tool::on(&host).assert_finds_nothing();
    }
}

/// What programs read, and what they are shown before anything is done.
fn assert_document(tool: &Tool<'_>) {
    let shown = tool.run(&["--show", "--json"]);
    let document: Value = serde_json::from_str(&shown.stdout).expect("one JSON document");
    let checkpoint = &document["checkpoints"][0];
    assert_eq!((&checkpoint["only"]["part"], &checkpoint["only"]["left_out"]), (&"network".into(), &1.into()));
    let links = checkpoint["objects"].as_array().expect("objects").iter().filter(|each| each["kind"] == "link-remap");
    let verdicts: Vec<&Value> = links.map(|link| &link["verdict"]).collect();
    assert_eq!(verdicts, ["left-out"]);
    assert_eq!(checkpoint["summary"]["left_out"], 1);
}

fn assert_nothing_is_left_of(tool: &Tool<'_>, part: &str) {
    let again = tool.run(&[]);
    assert_eq!(again.code(), 0, "{again}");
    let last = format!("Nothing is left ({part} only).");
    assert_eq!(again.stdout.lines().last(), Some(last.as_str()), "{again}");
    assert_eq!(tool.run(&["--show", "--exit-code"]).code(), 0);
}

/// A namespace that outlives the tree, as that of a pod: the restore goes into it again.
fn namespace(criu: &Criu) {
    for way in LOCKS {
        let host = TestHost::new();
        let closed = Closed::new(&host, way.1);
        let path = host.path(closed.namespace.path());
        let inode = fs::metadata(&path).expect("a namespace").ino();
        let words: [testkit::Word<'_>; 4] = [&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"];
        let tree = Launch::new(&words).network(Network::Named(closed.namespace.clone())).start(&host);
        let external =
            DumpOptions { extra: vec!["--external".into(), format!("net[{inode}]:pod").into()], ..options(way) };
        let dump = criu.dump(&host, &tree, &images_of(&host), &external);
        assert!(!closed.lets_packets_pass() && has_link(host.dir()), "void: {way:?}");
        let tool = only(&host, "network").option("--external", "net[pod]:/run/netns/blue");
        assert_eq!(tool.show()[..2], [NETWORK, RESTORABLE]);
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        assert!(closed.lets_packets_pass() && has_link(host.dir()), "{removed}");
        assert_nothing_is_left_of(&tool, "network");
        let into = DumpOptions { extra: vec!["--inherit-fd".into(), "fd[9]:pod".into()], ..options(way) };
        let restored = with_descriptor_9(&path, &criu.restore_command(&host, &dump, &into));
        assert_eq!(restored.code(), 0, "{way:?}: {restored}");
        assert!(closed.lets_packets_pass() && !has_link(host.dir()), "{way:?}");
        tool.assert_nothing_after_restore();
    }
}

impl Tool<'_> {
    /// The tree runs, and nothing is left of its dump.
    fn assert_nothing_after_restore(&self) {
        let shown = self.run(&["--show", "--exit-code"]);
        assert_eq!(shown.code(), 0, "{shown}");
    }
}

/// Runs a command that inherits this file.
pub(crate) fn with_descriptor_9(file: &Path, command: &Command) -> Finished {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9<\"$0\"; exec \"$@\""]).arg(file);
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.finish()
}

fn peer(criu: &Criu) {
    for way in LOCKS {
        let host = TestHost::new();
        make_tables(&host, None, way.1);
        let elsewhere = host.make_net_namespace("elsewhere");
        host.connect(&elsewhere, "10.9.0.1/24", "10.9.0.2/24");
        let outside = Outside::listen(&Net::at(&host, &elsewhere.path()), "10.9.0.2:0");
        let tree = host.start_workload(&[&"connect", &outside.address(), &"connect", &outside.address()]);
        let (mut noisy, mut quiet) = (outside.accept(), outside.accept());
        let dump = criu.dump(&host, &tree, &images_of(&host), &options(way));
        assert_eq!(only(&host, "network").run(&[]).code(), 0);
        noisy.send();
        noisy.assert_reset();
        let restored = criu.restore(&host, &dump, &options(way));
        assert!(matches!(restored.state(), Some('R' | 'S')), "{way:?}");
        quiet.send();
        quiet.assert_gets_an_answer();
    }
}

fn files(criu: &Criu) {
    for way in LOCKS {
        let host = TestHost::new();
        make_tables(&host, None, way.1);
        let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
        let before = Tool::on(&host).snapshot();
        let dump = criu.dump(&host, &tree, &images_of(&host), &options(way));
        let tool = only(&host, "files");
        let lines = tool.show();
        assert!(
            lines[0].starts_with("Note: only the files; ") && lines[0].contains("left out, which still"),
            "{lines:#?}"
        );
        assert_eq!(lines[1], "Note: without its link remaps criu cannot restore the checkpoint");
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        assert!(is_locked(&host, way.1) && !has_link(host.dir()), "{removed}");
        assert_nothing_is_left_of(&tool, "files");
        assert_eq!(Tool::on(&host).run(&["--show", "--exit-code"]).code(), 1, "the lock is left");
        assert_ne!(criu.try_restore(&host, &dump, &options(way)).code(), 0, "the restore needs the link");
        let rest = Tool::on(&host).run(&[]);
        assert_eq!(rest.code(), 0, "{rest}");
        assert!(!is_locked(&host, way.1), "{rest}");
        assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
    }
}

fn kept(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let stopped = DumpOptions { final_state: FinalState::Stopped, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &stopped);
    let tool = only(&host, "network");
    tool.assert_keeps_everything("tree-alive");
    let kept = tool.run(&[]);
    assert!(
        kept.stdout.ends_with(" To remove: --allow tree-alive\n") && kept.stdout.contains(" kept, 1 left out."),
        "{kept}"
    );
    drop(tree);
    assert_eq!(tool.run(&[]).code(), 0);
    assert!(!is_locked(&host, IptablesFlavour::Nft) && has_link(host.dir()));
    assert_eq!(only(&host, "files").run(&[]).code(), 0);
    Tool::on(&host).assert_finds_nothing();
}

/// CRIU 3.16 and later record how they locked.
fn old(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let warns = || only(&host, "network").show().iter().any(|line| line.contains("criu#514"));
    assert!(!warns());
    let path = images_of(&host).join("inventory.img");
    let image = ImageReader::<_, Inventory>::open(fs::File::open(&path).expect("an image")).expect("an image");
    let mut inventories: Vec<Inventory> = image.map(|record| record.expect("a record").entry).collect();
    inventories[0].network_lock_method = None;
    fs::write(&path, handmade::image(Framing::OneMagic, &inventories)).expect("an image");
    assert!(warns());
}

fn unknown(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, None, IptablesFlavour::Nft);
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let image = images_of(&host).join("remap-fpath.img");
    let whole = fs::read(&image).expect("an image");
    fs::write(&image, &whole[..whole.len() - 1]).expect("an image");
    let removed = only(&host, "network").run(&["--json"]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert!(removed.stderr.starts_with("criu-gc: only the network lock"), "{removed}");
    let document: Value = serde_json::from_str(&removed.stdout).expect("one JSON document");
    assert_eq!(document["checkpoints"][0]["cannot_be_known"], Value::Array(Vec::new()));
    assert!(!is_locked(&host, IptablesFlavour::Nft), "{removed}");
    let of_files = only(&host, "files").run(&[]);
    assert_eq!(of_files.code(), 1, "{of_files}");
    assert!(of_files.stdout.contains("Not known: remap-fpath.img is truncated"), "{of_files}");
    fs::write(&image, &whole).expect("an image");
    assert_eq!(only(&host, "files").run(&[]).code(), 0);
}
