// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::checkpoint::example::{checkpoint, evidence};
use crate::firewall::{Backend, ChainView, FilterPlace, TableView};
use crate::mounts::{Base, Place, Unreachable, Vanished};
use crate::probe::{Cause, FoundRules, LiveTask, Tie, UnknownTree};
use crate::residue::{Connection, Evidence, FileMount, LockChain, LockedConnection, RuleForms, TableForm, TableName};
use crate::system::dir::FileIdentity;
use crate::system::netns::{self, NetNamespace};
use crate::system::xtables::IpVersion;
use crate::time::Timestamp;

const FILE: u32 = 0o100_640;

fn namespace() -> Arc<NetNamespace> {
    Arc::new(netns::current().unwrap())
}

fn named_by() -> Vec<Evidence> {
    vec![evidence("files.img", 1)]
}

fn identity(changed: Timestamp) -> FileIdentity {
    let (device, inode, links, size, allocated) = ((8, 1), 77, 2, 41, 4096);
    FileIdentity { device, inode, mode: FILE, links, size, allocated, changed, mount_id: 22 }
}

/// A link remap that is there, as it was dumped.
fn link() -> (LinkRemap, FoundFile) {
    let link = LinkRemap {
        id: 6,
        link: b"/srv/link_remap.6".to_vec(),
        original: Some(b"/srv/data".to_vec()),
        mode: Some(FILE),
        size: Some(41),
        mount: FileMount::Shared,
        evidence: named_by(),
    };
    let place = Place { base: Base::Root(PathBuf::from("/")), relative: PathBuf::from("srv/link_remap.6") };
    let before = Timestamp::new(999, 0);
    (link, FoundFile { place, directory: identity(before), identity: identity(before) })
}

fn link_finding((link, file): (LinkRemap, FoundFile)) -> Finding {
    Finding { residue: Residue::LinkRemap(link), presence: Presence::File(file) }
}

/// A link remap that a newer dump made again.
fn newer_link() -> Finding {
    let (link, mut file) = link();
    file.identity.changed = Timestamp::new(1001, 0);
    file.directory.changed = Timestamp::new(1001, 0);
    link_finding((link, file))
}

fn flow() -> Flow {
    Flow { source: "10.0.0.1:80".parse().unwrap(), destination: "10.0.0.2:4000".parse().unwrap() }
}

fn connection(lock: ConnectionLock, presence: Presence) -> Finding {
    let connection = Connection { local: flow().source, peer: flow().destination };
    Finding { residue: Residue::Connection(LockedConnection { connection, lock, evidence: named_by() }), presence }
}

fn rules() -> Finding {
    let found = FoundRules { namespace: namespace(), rules: Vec::new() };
    connection(ConnectionLock::Rules(RuleForms::Marked), Presence::Rules(found))
}

/// A table of connections in CRIU's own namespace.
fn table(name: TableName) -> (LockTable, FoundTable) {
    let view = TableView {
        name: name.as_str().to_owned(),
        handle: 3,
        form: TableForm::Connections,
        flows: HashSet::from([flow()]),
        foreign: Vec::new(),
    };
    let lock = LockTable {
        names: vec![name.clone()],
        form: TableForm::Connections,
        flows: vec![flow()],
        evidence: named_by(),
    };
    (lock, FoundTable { namespace: namespace(), name, view, tie: Some(Tie::Own) })
}

fn signed() -> (LockTable, FoundTable) {
    table(TableName::RunId("CRIU-id".to_owned()))
}

fn by_pid() -> (LockTable, FoundTable) {
    table(TableName::RootPid("CRIU-7".to_owned()))
}

fn table_finding((table, found): (LockTable, FoundTable)) -> Finding {
    Finding { residue: Residue::LockTable(table), presence: Presence::Table(found) }
}

fn chain(tie: Option<Tie>, foreign: &[&str]) -> Finding {
    let foreign = foreign.iter().map(|text| (*text).to_owned()).collect();
    let view = ChainView { handle: Some(1), jumps: Vec::new(), rules: Vec::new(), foreign };
    let place = FilterPlace { backend: Backend::Nft, family: IpVersion::V4 };
    let residue = Residue::LockChain(LockChain { namespace: Some(12), evidence: named_by() });
    Finding { residue, presence: Presence::Chain(FoundChain { namespace: namespace(), place, view, tie }) }
}

fn survey(findings: Vec<Finding>) -> Survey {
    Survey { findings, ..Survey::default() }
}

fn task() -> Vec<LiveTask> {
    vec![LiveTask { pid: 100, name: b"job".to_vec(), state: b'S' }]
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Keep(reasons) => {
            let names: Vec<&str> = reasons.iter().map(|reason| reason.name()).collect();
            format!("keep: {}", names.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn decide_with(checkpoint: &Checkpoint, survey: Survey, allowed: &[KeepReason]) -> Vec<String> {
    let policy = Policy { allowed: allowed.iter().copied().collect() };
    decide(checkpoint, survey, &policy).items().iter().map(|item| text(&item.verdict)).collect()
}

#[track_caller]
fn check(findings: Vec<Finding>, expected: &[&str]) {
    assert_eq!(decide_with(&checkpoint(), survey(findings), &[]), expected);
}

/// One link, of which something is not as it was dumped.
#[track_caller]
fn check_link(change: impl FnOnce(&mut LinkRemap, &mut FoundFile), expected: &str) {
    let (mut link, mut file) = link();
    change(&mut link, &mut file);
    check(vec![link_finding((link, file))], &[expected]);
}

#[track_caller]
fn check_table(
    (mut table, mut found): (LockTable, FoundTable),
    change: impl FnOnce(&mut LockTable, &mut FoundTable),
    expected: &str,
) {
    change(&mut table, &mut found);
    check(vec![table_finding((table, found))], &[expected]);
}

#[test]
fn what_is_as_the_images_say_is_removed() {
    let whole = vec![rules(), table_finding(signed()), table_finding(by_pid()), chain(Some(Tie::Named), &[])];
    check(whole, &["Remove"; 4]);
    check_link(|_, _| {}, "Remove");
}

#[test]
fn what_is_not_there_needs_nothing_and_what_cannot_be_looked_for_cannot_be_told() {
    for (presence, expected) in [
        (Presence::Gone, "Nothing"),
        (Presence::Vanished(Vanished::PrivateTmpfs), "Nothing"),
        (Presence::Unreachable(Cause::Mount(Unreachable::UnknownMount)), "CannotTell"),
        (Presence::Unreachable(Cause::Firewall), "CannotTell"),
    ] {
        check(vec![Finding { residue: Residue::LinkRemap(link().0), presence }], &[expected]);
    }
}

#[test]
fn a_link_that_is_another_object_than_the_dumped_one_is_kept() {
    check_link(|_, file| file.identity.mode = 0o040_755, "keep: directory");
    check_link(|_, file| file.identity.mode = 0o120_777, "keep: other-type");
    check_link(|_, file| file.identity.mode = 0o010_640, "keep: other-type");
    check_link(|_, file| file.identity.mode = 0o100_644, "keep: other-mode");
    check_link(|_, file| file.identity.mode = 0o104_640, "keep: other-mode");
    check_link(|_, file| file.identity.size = 42, "keep: other-size");
    check_link(|_, file| (file.identity.size, file.identity.mode) = (0, 0o010_600), "keep: other-type, other-size");
}

#[test]
fn what_the_images_do_not_record_is_no_objection() {
    check_link(
        |link, file| {
            (link.mode, link.size) = (None, None);
            (file.identity.mode, file.identity.size) = (0o100_600, 9);
        },
        "Remove",
    );
    check_link(
        |link, file| {
            link.mode = None;
            file.identity.mode = 0o040_755;
        },
        "keep: directory",
    );
}

#[test]
fn other_names_and_other_disks_are_no_objection() {
    check_link(|_, file| (file.identity.links, file.identity.device) = (9, (7, 7)), "Remove");
}

#[test]
fn a_link_was_made_anew_only_if_inode_and_directory_were_both_changed_since() {
    let at = |inode: Timestamp, directory: Timestamp| {
        move |_: &mut LinkRemap, file: &mut FoundFile| {
            (file.identity.changed, file.directory.changed) = (inode, directory);
        }
    };
    let (before, later) = (Timestamp::new(999, 0), Timestamp::new(1001, 0));
    check_link(at(later, before), "Remove");
    check_link(at(before, later), "Remove");
    check_link(at(later, later), "keep: changed-since");
    // The images have a time of whole seconds, and so may be younger than it says.
    check_link(at(Timestamp::new(1000, 999_999_999), later), "Remove");
}

#[test]
fn a_time_with_a_fraction_is_exact() {
    let mut checkpoint = checkpoint();
    checkpoint.written = Some(Timestamp::new(1000, 5));
    for (nanoseconds, expected) in [(5, "Remove"), (6, "keep: changed-since")] {
        let (link, mut file) = link();
        file.identity.changed = Timestamp::new(1000, nanoseconds);
        file.directory.changed = Timestamp::new(2000, 0);
        assert_eq!(decide_with(&checkpoint, survey(vec![link_finding((link, file))]), &[]), [expected]);
    }
    checkpoint.written = None;
    assert_eq!(decide_with(&checkpoint, survey(vec![link_finding(link())]), &[]), ["keep: changed-since"]);
}

#[test]
fn a_table_that_holds_more_than_criu_writes_is_kept() {
    for kind in [signed, by_pid] {
        check_table(kind(), |_, found| found.view.foreign.push("set mine".to_owned()), "keep: foreign-content");
        check_table(kind(), |_, found| found.view.form = TableForm::Closed, "keep: foreign-content");
        check_table(kind(), |_, found| found.view.form = TableForm::Either, "Remove");
        check_table(kind(), |table, _| table.form = TableForm::Either, "Remove");
    }
}

#[test]
fn a_name_with_the_run_id_is_proof_and_one_with_a_pid_needs_known_flows_and_a_tie() {
    let without_flows = |table: &mut LockTable, _: &mut FoundTable| table.flows.clear();
    check_table(signed(), without_flows, "Remove");
    check_table(by_pid(), without_flows, "keep: foreign-content");
    check_table(by_pid(), |_, found| found.view.flows.clear(), "Remove");
    let without_tie = |_: &mut LockTable, found: &mut FoundTable| found.tie = None;
    check_table(signed(), without_tie, "Remove");
    check_table(by_pid(), without_tie, "keep: untied-namespace");
    let cut = table(TableName::CutRunId("CRIU-0".to_owned()));
    check_table(cut, |table, found| (table.flows, found.tie) = (Vec::new(), None), "Remove");
}

#[test]
fn a_chain_is_removed_only_where_something_ties_its_namespace() {
    for tie in [Tie::Named, Tie::Devices, Tie::Own] {
        check(vec![chain(Some(tie), &[])], &["Remove"]);
    }
    check(vec![chain(None, &[])], &["keep: untied-namespace"]);
    check(vec![chain(Some(Tie::Named), &["rule 2"])], &["keep: foreign-content"]);
    check(vec![chain(None, &["rule 2"])], &["keep: foreign-content, untied-namespace"]);
}

#[test]
fn a_newer_dump_or_a_restore_spares_what_does_not_say_whose_it_is() {
    let all = || vec![rules(), table_finding(signed()), table_finding(by_pid()), chain(Some(Tie::Named), &[])];
    let with_newer = || all().into_iter().chain([newer_link()]).collect();
    let kept = "keep: newer-dump";
    check(with_newer(), &[kept, "Remove", kept, kept, "keep: changed-since"]);
    let kept = "keep: restored-since";
    let restored = Survey { tree: TreeState { restored: task(), ..TreeState::default() }, ..survey(all()) };
    assert_eq!(decide_with(&checkpoint(), restored, &[]), [kept, "Remove", kept, kept]);
    let mut checkpoint = checkpoint();
    let written = Timestamp::new(1001, 0);
    checkpoint.restored = Some(RestoreEvidence { file: "stats-restore".to_owned(), written });
    assert_eq!(decide_with(&checkpoint, survey(all()), &[]), [kept, "Remove", kept, kept]);
    let both = "keep: restored-since, newer-dump";
    let expected = [both, "Remove", both, both, "keep: changed-since"];
    assert_eq!(decide_with(&checkpoint, survey(with_newer()), &[]), expected);
}

#[test]
fn a_connection_in_a_table_shares_the_gravest_verdict_on_the_tables() {
    let held = |flows: usize| connection(ConnectionLock::Table, Presence::InTable(flows));
    check(vec![held(2), held(0), table_finding(signed())], &["Remove", "Nothing", "Remove"]);
    let (table, mut found) = by_pid();
    found.tie = None;
    let kept = "keep: untied-namespace";
    check(vec![held(1), table_finding(signed()), table_finding((table, found))], &[kept, "Remove", kept]);
    check(vec![held(1)], &["Nothing"]);
}

fn living(alive: bool, criu: bool, unknown: bool) -> TreeState {
    let tasks = |is_there: bool| if is_there { task() } else { Vec::new() };
    TreeState {
        alive: tasks(alive),
        criu: tasks(criu),
        unknown: unknown.then_some(UnknownTree::NoTasks),
        ..TreeState::default()
    }
}

#[test]
fn while_the_tree_may_live_nothing_at_all_is_removed() {
    for (tree, expected) in [
        (living(true, false, false), "keep: tree-alive"),
        (living(false, true, false), "keep: criu-at-work"),
        (living(false, false, true), "keep: tree-unknown"),
        (living(true, true, true), "keep: criu-at-work, tree-alive, tree-unknown"),
    ] {
        let all = vec![rules(), table_finding(signed()), chain(Some(Tie::Named), &[]), link_finding(link())];
        assert_eq!(decide_with(&checkpoint(), Survey { tree, ..survey(all) }, &[]), [expected; 4]);
    }
}

#[test]
fn a_tree_that_came_back_while_a_question_was_asked_keeps_everything() {
    let gone = Finding { residue: Residue::LinkRemap(link().0), presence: Presence::Gone };
    let findings = vec![rules(), gone, chain(None, &[])];
    let plan = decide(&checkpoint(), survey(findings), &Policy::default());
    assert!(plan.removes_anything());
    let allowed = Policy { allowed: BTreeSet::from([KeepReason::TreeAlive]) };
    let plan = plan.guarded(&living(true, false, false), &allowed);
    assert!(plan.removes_anything());
    let plan = plan.guarded(&living(true, false, false), &Policy::default());
    let verdicts: Vec<String> = plan.items().iter().map(|item| text(&item.verdict)).collect();
    assert_eq!(verdicts, ["keep: tree-alive", "Nothing", "keep: untied-namespace"]);
    assert!(!plan.removes_anything());
}

/// An object with every objection that it can have, all at once.
fn everything() -> (Checkpoint, Survey) {
    let mut checkpoint = checkpoint();
    let written = Timestamp::new(1001, 0);
    checkpoint.restored = Some(RestoreEvidence { file: "restore.log".to_owned(), written });
    let Finding { residue, presence: Presence::File(mut file) } = newer_link() else { panic!("no file") };
    (file.identity.mode, file.identity.size) = (0o100_600, 0);
    let newer = Finding { residue, presence: Presence::File(file) };
    let findings = vec![newer, chain(None, &["rule 2"])];
    (checkpoint, Survey { tree: living(true, true, true), ..survey(findings) })
}

#[test]
fn each_reason_is_set_aside_by_its_own_name_and_no_other() {
    let (checkpoint, with_all) = everything();
    let all = [
        "keep: criu-at-work, tree-alive, tree-unknown, other-mode, other-size, changed-since",
        "keep: criu-at-work, tree-alive, tree-unknown, restored-since, newer-dump, foreign-content, untied-namespace",
    ];
    assert_eq!(decide_with(&checkpoint, with_all, &[]), all);
    for reason in KeepReason::ALL {
        let without = |line: &str| {
            let listed = line.strip_prefix("keep: ").unwrap().split(", ");
            let left: Vec<&str> = listed.filter(|name| !reason.can_be_allowed() || *name != reason.name()).collect();
            format!("keep: {}", left.join(", "))
        };
        assert_eq!(decide_with(&checkpoint, everything().1, &[reason]), all.map(without), "{reason}");
    }
}

#[test]
fn a_last_objection_set_aside_leads_to_the_removal() {
    let object = |reason: KeepReason| -> Option<(TreeState, Finding)> {
        let dead = TreeState::default();
        let changed = |change: fn(&mut FoundFile)| {
            let (link, mut file) = link();
            change(&mut file);
            Some((TreeState::default(), link_finding((link, file))))
        };
        match reason {
            KeepReason::TreeAlive => Some((living(true, false, false), rules())),
            KeepReason::TreeUnknown => Some((living(false, false, true), rules())),
            KeepReason::OtherType => changed(|file| file.identity.mode = 0o010_640),
            KeepReason::OtherMode => changed(|file| file.identity.mode = 0o100_600),
            KeepReason::OtherSize => changed(|file| file.identity.size = 0),
            KeepReason::ChangedSince => Some((dead, newer_link())),
            KeepReason::RestoredSince => Some((TreeState { restored: task(), ..dead }, rules())),
            KeepReason::ForeignContent => Some((dead, chain(Some(Tie::Named), &["rule 2"]))),
            KeepReason::NewerDump | KeepReason::CriuAtWork | KeepReason::Directory | KeepReason::UntiedNamespace => {
                None
            }
        }
    };
    for reason in KeepReason::ALL {
        let Some((tree, finding)) = object(reason) else { continue };
        let with_tree = |findings| Survey { tree: tree.clone(), ..survey(findings) };
        let kept = decide_with(&checkpoint(), with_tree(vec![finding.clone()]), &[]);
        assert_eq!(kept, [format!("keep: {reason}")]);
        assert_eq!(decide_with(&checkpoint(), with_tree(vec![finding]), &[reason]), ["Remove"], "{reason}");
    }
    let newer = || survey(vec![rules(), newer_link()]);
    let removed = decide_with(&checkpoint(), newer(), &[KeepReason::NewerDump]);
    assert_eq!(removed, ["Remove", "keep: changed-since"]);
}

#[test]
fn items_keep_the_order_of_the_findings_and_what_is_unknown() {
    let unknown = vec![Unknown::TableName];
    let findings = vec![link_finding(link()), rules(), chain(None, &[])];
    let residues: Vec<Residue> = findings.iter().map(|finding| finding.residue.clone()).collect();
    let plan = decide(&checkpoint(), Survey { unknown: unknown.clone(), ..survey(findings) }, &Policy::default());
    let planned: Vec<Residue> = plan.items().iter().map(|item| item.finding.residue.clone()).collect();
    assert_eq!((planned, plan.unknown()), (residues, unknown.as_slice()));
}

#[test]
fn a_reason_that_names_a_fact_to_be_changed_first_cannot_be_allowed() {
    let never = [KeepReason::CriuAtWork, KeepReason::Directory, KeepReason::UntiedNamespace];
    for reason in KeepReason::ALL {
        assert_eq!(reason.can_be_allowed(), !never.contains(&reason), "{reason}");
        assert_eq!(reason.name().parse(), reason.can_be_allowed().then_some(reason).ok_or(reason::NotAReason));
        assert_eq!(reason.remedy() == format!("--allow {reason}"), reason.can_be_allowed(), "{reason}");
    }
    assert!(KeepReason::ALL.is_sorted());
}
