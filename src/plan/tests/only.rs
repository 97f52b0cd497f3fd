// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part that the user chose, and the version of the images.

use super::objects::{chain, link, link_finding, living, newer_link, rules, signed, survey, table_finding};
use super::*;

fn all() -> Vec<Finding> {
    let gone = Finding { residue: link().0.into(), presence: Presence::Gone(Looked::in_test()) };
    let silent = Finding { residue: link().0.into(), presence: Presence::Unreachable(Cause::Firewall) };
    vec![rules(), table_finding(signed()), chain(None, &[]), link_finding(link()), gone, silent]
}

#[track_caller]
fn check(only: Option<Part>, survey: Survey, expected: &[&str]) {
    let policy = Policy { only, ..Policy::default() };
    let plan = decide(&checkpoint(), survey, &policy);
    assert_eq!(plan.items().iter().map(|item| text(&item.verdict)).collect::<Vec<_>>(), expected);
}

#[test]
fn the_part_that_was_not_chosen_is_left_out_and_what_is_gone_is_gone() {
    let untied = "keep: untied-namespace";
    check(None, survey(all()), &["Remove", "Remove", untied, "Remove", "Nothing", "CannotTell"]);
    let network = ["Remove", "Remove", untied, "LeftOut", "Nothing", "LeftOut"];
    check(Some(Part::Network), survey(all()), &network);
    let files = ["LeftOut", "LeftOut", "LeftOut", "Remove", "Nothing", "CannotTell"];
    check(Some(Part::Files), survey(all()), &files);
}

#[test]
fn what_is_left_out_still_speaks_against_the_rest() {
    check(Some(Part::Network), survey(vec![rules(), newer_link()]), &["keep: newer-dump", "LeftOut"]);
    let tree = living(true, false, false);
    check(Some(Part::Network), Survey { tree, ..survey(vec![rules()]) }, &["keep: tree-alive"]);
}

#[test]
fn images_of_an_unknown_version_keep_everything_until_that_is_allowed() {
    let mut checkpoint = checkpoint();
    let inventory = checkpoint.inventory.as_mut().expect("an inventory");
    inventory.entry.img_version = 4;
    let all = || survey(vec![rules(), link_finding(link())]);
    assert_eq!(decide_with(&checkpoint, all(), &[]), ["keep: unknown-version"; 2]);
    assert_eq!(decide_with(&checkpoint, all(), &[KeepReason::UnknownVersion]), ["Remove"; 2]);
}
