// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an interrupted dump left: the tree may run, if nobody works on it.

use super::objects::{chain, link, link_finding, living, namespace, rules, survey, task};
use super::*;
use crate::carrier::filter::{FoundRule, FoundRules};
use crate::checkpoint::Ending;
use crate::connection::Direction;
use crate::firewall::{Backend, FilterPlace, RuleKey};
use crate::system::xtables::IpVersion;
use crate::tree::LiveTask;

fn interrupted() -> Checkpoint {
    Checkpoint { inventory: None, ending: Ending::Interrupted, ..checkpoint() }
}

fn idle(tree: TreeState) -> TreeState {
    TreeState { guard: Guard::Idle { traced: Vec::new() }, ..tree }
}

fn traced() -> TreeState {
    TreeState { guard: Guard::Idle { traced: task() }, ..living(true, false, false) }
}

fn stopped() -> TreeState {
    let alive = vec![LiveTask { state: b'T', ..task().remove(0) }];
    idle(TreeState { alive, ..TreeState::default() })
}

fn unknown(why: UnknownTree) -> TreeState {
    idle(TreeState { unknown: Some(why), ..TreeState::default() })
}

#[track_caller]
fn check_tree(tree: TreeState, expected: &str) {
    let survey = Survey { tree, ..survey(vec![link_finding(link()), rules(), chain(Some(Tie::Tree), &[])]) };
    assert_eq!(decide_with(&interrupted(), survey, &[]), [expected; 3]);
}

#[test]
fn nobody_may_work_on_the_tree() {
    check_tree(idle(living(true, false, false)), "Remove");
    check_tree(idle(living(false, false, false)), "Remove");
    check_tree(unknown(UnknownTree::NoTasks), "Remove");
    check_tree(unknown(UnknownTree::Nameless), "Remove");
    check_tree(unknown(UnknownTree::Undecided(task().remove(0))), "Remove");
    check_tree(unknown(UnknownTree::Hidden("hidepid".to_owned())), "keep: tree-unknown");
    check_tree(idle(living(true, true, false)), "keep: criu-at-work");
    check_tree(traced(), "keep: tree-traced");
    check_tree(stopped(), "keep: tree-alive");
    check_tree(living(true, false, false), "keep: tree-alive");
}

/// Another dump of the tree may have ended it since, with the same rules.
#[test]
fn rules_of_a_dead_tree_are_kept_if_the_links_were_removed() {
    let gone = || Finding { residue: link().0.into(), presence: Presence::Gone(Looked::in_test()) };
    let with = |tree: TreeState, link: Finding| Survey { tree, ..survey(vec![link, rules()]) };
    let dead = || idle(TreeState::default());
    assert_eq!(decide_with(&interrupted(), with(dead(), gone()), &[]), ["Nothing", "keep: newer-dump"]);
    assert_eq!(decide_with(&interrupted(), with(dead(), link_finding(link())), &[]), ["Remove"; 2]);
    let running = idle(living(true, false, false));
    assert_eq!(decide_with(&interrupted(), with(running, gone()), &[]), ["Nothing", "Remove"]);
    assert_eq!(decide_with(&checkpoint(), with(TreeState::default(), gone()), &[]), ["Nothing", "Remove"]);
}

/// The rules of the example's connection, so many of each.
fn copies(count: u64) -> Finding {
    let mut finding = rules();
    let Residue::LockedConnection(lock) = &finding.residue else { panic!("no connection") };
    let place = FilterPlace { backend: Backend::Nft, family: IpVersion::V4 };
    let rule = |number: u64| {
        let direction = Direction::BOTH[usize::from(number % 2 == 1)];
        let key = RuleKey { direction, flow: lock.connection.flow(direction), marked: true };
        FoundRule { place, table: Some(1), key, id: RuleId::Handle(number) }
    };
    let rules = (0..2 * count).map(rule).collect();
    finding.presence =
        Presence::Rules(FoundRules { namespace: namespace(), rules, readings: Vec::new(), tie: Some(Tie::Own) });
    finding
}

/// A dump of the tree after the interrupted one put the same rules there once more, and needs its own.
#[test]
fn rules_that_are_there_twice_are_removed_only_while_the_tree_runs() {
    let with = |tree: TreeState, count: u64| Survey { tree, ..survey(vec![copies(count)]) };
    let dead = || idle(TreeState::default());
    assert_eq!(decide_with(&interrupted(), with(dead(), 1), &[]), ["Remove"]);
    assert_eq!(decide_with(&interrupted(), with(dead(), 2), &[]), ["keep: shared-lock"]);
    assert_eq!(decide_with(&interrupted(), with(idle(living(true, false, false)), 2), &[]), ["Remove"]);
    assert_eq!(decide_with(&checkpoint(), with(TreeState::default(), 2), &[]), ["Remove"]);
}
