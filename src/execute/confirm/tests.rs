// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;
use crate::firewall::{RuleId, RuleKey};
use crate::plan::tests::objects::{by_pid, chain, link, link_finding, namespace, rules, table_finding};
use crate::plan::{Item, Verdict};

fn removed(finding: Finding) -> Done {
    Done { item: Item { finding, verdict: Verdict::Remove, record: None }, outcome: Outcome::Removed, saved: None }
}

/// What becomes of the word that an object was removed if this is found afterwards.
#[track_caller]
fn check(object: &Finding, after: &[&Finding], is_there: bool) {
    let mut done = [removed(object.clone())];
    let after: Vec<Finding> = after.iter().map(|finding| (*finding).clone()).collect();
    confirm(&mut done, &after, &BTreeSet::new());
    assert_eq!(matches!(done[0].outcome, Outcome::Failed(_)), is_there, "{object:?}");
}

#[test]
fn what_is_still_there_was_not_removed() {
    let with_rule = || {
        let Finding { residue, presence: Presence::Rules(mut found) } = rules() else { panic!("no rules") };
        let Query::Filter(FilterQuery::Rules { connection, .. }) = residue.query() else { panic!("no rules") };
        let direction = crate::connection::Direction::Input;
        let key = RuleKey { direction, flow: connection.flow(direction), marked: true };
        let place =
            FilterPlace { backend: crate::firewall::Backend::Nft, family: crate::system::xtables::IpVersion::V4 };
        found.rules.push(FoundRule { place, table: Some(1), key, id: RuleId::Handle(5) });
        Finding { residue, presence: Presence::Rules(found) }
    };
    let objects = [link_finding(link()), with_rule(), table_finding(by_pid()), chain(None, &[])];
    for object in &objects {
        check(object, &[], false);
        check(object, &[object], true);
        let others: Vec<&Finding> = objects.iter().filter(|other| other.residue != object.residue).collect();
        check(object, &others, false);
    }
}

#[test]
fn another_object_with_its_name_is_not_it() {
    let (remap, mut file) = link();
    file.identity.inode += 1;
    check(&link_finding(link()), &[&link_finding((remap, file))], false);
    let (table, mut found) = by_pid();
    found.view.handle += 1;
    check(&table_finding(by_pid()), &[&table_finding((table, found))], false);
    let (table, mut found) = by_pid();
    let mut elsewhere = namespace().as_ref().clone();
    elsewhere.id.inode += 1;
    found.namespace = elsewhere.into();
    check(&table_finding(by_pid()), &[&table_finding((table, found))], false);
}

#[test]
fn only_the_word_removed_is_taken_back() {
    let object = link_finding(link());
    let mut done = [removed(object.clone()), removed(object.clone())];
    (done[0].outcome, done[1].outcome) = (Outcome::Kept, Outcome::AlreadyGone);
    confirm(&mut done, &[object], &BTreeSet::new());
    assert_eq!(done.map(|done| done.outcome), [Outcome::Kept, Outcome::AlreadyGone]);
}

/// Two checkpoints of one tree have the same objects, and the newer one's removal comes first.
#[test]
fn what_was_kept_and_is_gone_is_not_called_kept() {
    let object = link_finding(link());
    let kept = || {
        let verdict = Verdict::Keep(vec![crate::reason::KeepReason::ChangedSince]);
        let item = Item { finding: object.clone(), verdict, record: None };
        Done { item, outcome: Outcome::Kept, saved: None }
    };
    let gone = Finding { presence: Presence::Gone(crate::host::Looked::in_test()), ..object.clone() };
    for (after, outcome) in
        [(vec![gone], Outcome::AlreadyGone), (vec![object.clone()], Outcome::Kept), (vec![], Outcome::Kept)]
    {
        let mut done = [kept()];
        confirm(&mut done, &after, &BTreeSet::new());
        assert_eq!(done[0].outcome, outcome);
        assert_eq!(done[0].item.verdict == Verdict::Nothing, outcome == Outcome::AlreadyGone);
    }
}

/// A helper program may do its work and fail: that has to be told, also if the rules are gone.
#[test]
fn what_could_not_be_removed_is_gone_only_with_its_network_namespace() {
    let object = rules();
    let gone = Finding { presence: Presence::Gone(crate::host::Looked::in_test()), ..object.clone() };
    let id = object.presence.network().expect("a network namespace").id;
    for (lost, outcome) in
        [(BTreeSet::from([id]), Outcome::AlreadyGone), (BTreeSet::new(), Outcome::Failed("why".to_owned()))]
    {
        let mut done = [Done { outcome: Outcome::Failed("why".to_owned()), ..removed(object.clone()) }];
        confirm(&mut done, std::slice::from_ref(&gone), &lost);
        assert_eq!(done[0].outcome, outcome);
    }
}
