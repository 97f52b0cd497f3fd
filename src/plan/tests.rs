// SPDX-License-Identifier: Apache-2.0 OR MIT

mod allow;
mod interrupted;
pub(crate) mod objects;
mod only;

use super::*;
use crate::carrier::Cause;
use crate::carrier::filter::{FoundTable, TableName, Tie};
use crate::checkpoint::example::checkpoint;
use crate::connection::{Direction, TableForm};
use crate::firewall::RuleId;
use crate::host::Looked;
use crate::kind::link_remap::Naming;
use crate::kind::locked_connection::ConnectionLock;
use crate::kind::{LinkRemap, LockTable, Residue};
use crate::mounts::{Base, Place, Unreachable, Vanished};
use crate::time::Timestamp;
use objects::{
    by_pid, chain, connection, link, link_finding, newer_link, rules, signed, survey, table, table_finding, task,
};

pub(super) fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Keep(reasons) => {
            let names: Vec<&str> = reasons.iter().map(|reason| reason.name()).collect();
            format!("keep: {}", names.join(", "))
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn decide_with(checkpoint: &Checkpoint, survey: Survey, allowed: &[KeepReason]) -> Vec<String> {
    let policy = Policy { allowed: allowed.iter().copied().collect(), ..Policy::default() };
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
        (Presence::Gone(Looked::in_test()), "Nothing"),
        (Presence::Vanished(Vanished::Tmpfs(Looked::in_test())), "Nothing"),
        (Presence::Unreachable(Cause::Mount(Unreachable::UnknownMount)), "CannotTell"),
        (Presence::Unreachable(Cause::Firewall), "CannotTell"),
    ] {
        check(vec![Finding { residue: link().0.into(), presence }], &[expected]);
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

/// The example's dump ran from second 990 to second 1000.
#[test]
fn a_link_that_only_the_shape_of_its_entries_names_was_made_during_the_dump() {
    let at = |inode: i64, directory: i64| {
        move |link: &mut LinkRemap, file: &mut FoundFile| {
            link.naming = Naming::Shape;
            let times = [inode, directory].map(|seconds| Timestamp::new(seconds, 0));
            [file.identity.changed, file.directory.changed] = times;
        }
    };
    check_link(at(995, 995), "Remove");
    check_link(at(995, 2000), "Remove");
    check_link(at(2000, 995), "Remove");
    check_link(at(980, 980), "keep: older-than-dump");
    check_link(at(980, 2000), "keep: older-than-dump");
    check_link(at(2000, 2000), "keep: older-than-dump, changed-since");
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
fn a_change_that_the_tool_made_itself_is_no_objection_but_still_a_sign() {
    let Presence::File(file) = newer_link().presence else { panic!("no file") };
    let inode = file.identity.id();
    let rules_kept = "keep: newer-dump";
    let another = Timestamp::new(1001, 1);
    let elsewhere = ((8, 2), inode.1);
    for (inode, changed, expected) in [
        (inode, file.identity.changed, [rules_kept, "Remove"]),
        (inode, another, [rules_kept, "keep: changed-since"]),
        (elsewhere, file.identity.changed, [rules_kept, "keep: changed-since"]),
    ] {
        let policy = Policy { own_changes: HashMap::from([(inode, changed)]), ..Policy::default() };
        let plan = decide(&checkpoint(), survey(vec![rules(), newer_link()]), &policy);
        let verdicts: Vec<String> = plan.items().iter().map(|item| text(&item.verdict)).collect();
        assert_eq!(verdicts, expected);
    }
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
    checkpoint.restores.succeeded = Some(RestoreEvidence { file: "stats-restore".to_owned(), written });
    assert_eq!(decide_with(&checkpoint, survey(all()), &[]), [kept, "Remove", kept, kept]);
    let both = "keep: restored-since, newer-dump";
    let expected = [both, "Remove", both, both, "keep: changed-since, restored-since"];
    assert_eq!(decide_with(&checkpoint, survey(with_newer()), &[]), expected);
}

#[test]
fn a_link_that_a_restore_should_have_taken_is_stale_only_while_the_restored_tree_lives() {
    let mut checkpoint = checkpoint();
    let written = Timestamp::new(1001, 0);
    checkpoint.restores.succeeded = Some(RestoreEvidence { file: "stats-restore".to_owned(), written });
    let unchanged = || vec![link_finding(link())];
    assert_eq!(decide_with(&checkpoint, survey(unchanged()), &[]), ["keep: restored-since"]);
    let living = Survey { tree: TreeState { restored: task(), ..TreeState::default() }, ..survey(unchanged()) };
    assert_eq!(decide_with(&checkpoint, living, &[]), ["Remove"]);
}

#[test]
fn what_only_a_reusable_number_leads_to_has_to_be_made_by_the_dump() {
    // The dump lasted from second 990 to second 1000.
    for (file, directory, expected) in [
        (995, 995, "Remove"),
        (995, 2000, "Remove"),
        (2000, 995, "Remove"),
        (980, 980, "keep: older-than-dump"),
        (980, 2000, "keep: older-than-dump"),
    ] {
        let by_number = |_: &mut LinkRemap, found: &mut FoundFile| {
            found.place =
                Place { base: Base::Device { device: (7, 0), volume: None }, relative: "link_remap.6".into() };
            found.identity.changed = Timestamp::new(file, 0);
            found.directory.changed = Timestamp::new(directory, 0);
        };
        let (mut link, mut found) = link();
        by_number(&mut link, &mut found);
        check(vec![link_finding((link, found))], &[expected]);
    }
}

#[test]
fn rules_that_are_not_where_criu_ran_are_not_tied() {
    let Finding { residue, presence: Presence::Rules(mut found) } = rules() else { panic!("no rules") };
    found.tie = None;
    check(vec![Finding { residue, presence: Presence::Rules(found) }], &["keep: untied-namespace"]);
}

#[test]
fn a_chain_that_two_dumps_share_is_kept() {
    let jumps = |count: u64| {
        let Finding { residue, presence: Presence::Chain(mut found) } = chain(Some(Tie::Named), &[]) else {
            panic!("no chain")
        };
        let jumps = |side| (0..count).map(move |handle| (side, RuleId::Handle(handle)));
        found.view.jumps = Direction::BOTH.into_iter().flat_map(jumps).collect();
        Finding { residue, presence: Presence::Chain(found) }
    };
    check(vec![jumps(1), jumps(2)], &["Remove", "keep: shared-lock"]);
}

#[test]
fn a_connection_in_a_table_shares_the_gravest_verdict_on_the_tables() {
    let held = |flows: usize| connection(ConnectionLock::Table, Presence::InTable(flows.try_into().unwrap()));
    check(vec![held(2), table_finding(signed())], &["Remove", "Remove"]);
    let (table, mut found) = by_pid();
    found.tie = None;
    let kept = "keep: untied-namespace";
    check(vec![held(1), table_finding(signed()), table_finding((table, found))], &[kept, "Remove", kept]);
    check(vec![held(1)], &["Nothing"]);
}

#[test]
fn items_keep_the_order_of_the_findings() {
    let findings = vec![link_finding(link()), rules(), chain(None, &[])];
    let residues: Vec<Residue> = findings.iter().map(|finding| finding.residue.clone()).collect();
    let plan = decide(&checkpoint(), survey(findings), &Policy::default());
    let planned: Vec<Residue> = plan.items().iter().map(|item| item.finding.residue.clone()).collect();
    assert_eq!(planned, residues);
}
