// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::collections::HashMap;

use super::*;
use crate::connection::Flow;
use crate::firewall::{PlacedRule, Reading, RuleKey};
use crate::system::nft::Generation;
use crate::system::xtables::IpVersion;

const NFT: FilterPlace = FilterPlace { backend: Backend::Nft, family: IpVersion::V4 };
const LEGACY: FilterPlace = FilterPlace { backend: Backend::Legacy, family: IpVersion::V4 };

fn key(port: u16) -> RuleKey {
    let flow = Flow {
        source: std::net::SocketAddr::from(([10, 0, 0, 1], port)),
        destination: std::net::SocketAddr::from(([10, 0, 0, 2], 4000)),
    };
    RuleKey { direction: Direction::Input, flow, marked: true }
}

fn rule(port: u16, id: RuleId) -> FoundRule {
    FoundRule { place: NFT, table: Some(1), key: key(port), id }
}

fn view(rules: &[FoundRule]) -> FilterView {
    let mut drops: HashMap<RuleKey, Vec<PlacedRule>> = HashMap::new();
    for (position, rule) in rules.iter().enumerate() {
        drops.entry(rule.key).or_default().push(PlacedRule { id: rule.id.clone(), position });
    }
    FilterView { place: NFT, table: Some(1), drops, lock_chain: None, reading: None }
}

fn words() -> RuleId {
    RuleId::Words("-j DROP".into())
}

#[track_caller]
fn check_there(there: &[FoundRule], wanted: &[FoundRule], expected: usize) {
    let wanted: Vec<&FoundRule> = wanted.iter().collect();
    assert_eq!(still_there(view(there), &wanted).len(), expected);
}

#[test]
fn a_rule_is_removed_by_its_handle_and_not_by_what_it_says() {
    let planned = [rule(80, RuleId::Handle(5))];
    check_there(&planned, &planned, 1);
    check_there(&[rule(80, RuleId::Handle(6))], &planned, 0);
    check_there(&[rule(81, RuleId::Handle(5))], &planned, 0);
    check_there(&[], &planned, 0);
}

#[test]
fn of_equal_legacy_rules_no_more_are_removed_than_were_planned() {
    let rules = |count: usize| vec![rule(80, words()); count];
    check_there(&rules(3), &rules(2), 2);
    check_there(&rules(1), &rules(2), 1);
}

#[test]
fn rules_are_removed_in_the_order_of_the_table() {
    let rules: Vec<FoundRule> = (1..=3).map(|port| rule(port, words())).collect();
    let wanted = [&rules[0], &rules[2], &rules[1]];
    let there = still_there(view(&[rules[1].clone(), rules[0].clone(), rules[2].clone()]), &wanted);
    assert_eq!(there, [&rules[1], &rules[0], &rules[2]]);
}

#[test]
fn a_chain_is_emptied_only_if_all_its_rules_go() {
    use Direction::{Input, Output};
    let generation = Generation::numbered(3);
    let check = |handles: &[u64], counts: [usize; 2], expected: &[Direction]| {
        let rules: Vec<FoundRule> = handles.iter().map(|handle| rule(80, RuleId::Handle(*handle))).collect();
        let reading = Reading { generation, rules: counts };
        assert_eq!(emptied(&rules.iter().collect::<Vec<_>>(), &reading), expected, "{handles:?} of {counts:?}");
    };
    check(&[1, 2], [2, 0], &[Input]);
    check(&[1, 2], [2, 5], &[Input]);
    check(&[1, 2], [3, 0], &[]);
    check(&[1, 2], [1, 0], &[]);
    // Two connections may have the same rule.
    check(&[1, 1], [2, 0], &[]);
    check(&[1, 1], [1, 0], &[Input]);
    check(&[], [0, 0], &[]);
    assert_eq!(Direction::BOTH, [Input, Output]);
}

#[test]
fn a_reading_holds_only_if_all_rules_were_read_in_it() {
    let reading = |number| Reading { generation: Generation::numbered(number), rules: [1, 0] };
    let namespace = || Arc::new(NetworkName { id: NetworkId { device: 4, inode: 1 }, paths: Vec::new() });
    let found = |readings: &[(FilterPlace, Reading)]| FoundRules {
        namespace: namespace(),
        rules: vec![rule(80, RuleId::Handle(1))],
        readings: readings.to_vec(),
        tie: None,
    };
    let check = |found: &[FoundRules], expected: Option<Reading>| {
        let jobs: Vec<FilterRemoval<'_>> = found.iter().map(FilterRemoval::Rules).collect();
        assert_eq!(common_reading(NFT, jobs.iter().copied()), expected);
    };
    check(&[found(&[(NFT, reading(3))]), found(&[(NFT, reading(3))])], Some(reading(3)));
    check(&[found(&[(NFT, reading(3))]), found(&[(NFT, reading(4))])], None);
    check(&[found(&[(NFT, reading(3))]), found(&[])], None);
    check(&[found(&[(LEGACY, reading(3))])], None);
    check(&[], None);
}

fn chain(jumps: &[(Direction, u64)], foreign: &[&str]) -> ChainView {
    let jumps = jumps.iter().map(|(direction, handle)| (*direction, RuleId::Handle(*handle))).collect();
    let foreign = foreign.iter().map(|text| (*text).to_owned()).collect();
    ChainView { table: Some(2), handle: Some(7), jumps, foreign }
}

#[test]
fn a_chain_may_have_lost_a_jump_since_the_look_and_nothing_else() {
    use Direction::{Input, Output};
    let planned = chain(&[(Input, 1), (Output, 2)], &[]);
    let check = |now: ChainView, expected: bool| {
        assert_eq!(check_chain(&planned, &now).is_ok(), expected, "{now:?}");
    };
    check(planned.clone(), true);
    check(chain(&[(Output, 2)], &[]), true);
    check(chain(&[], &[]), true);
    check(chain(&[(Input, 1), (Output, 2), (Input, 3)], &[]), false);
    check(chain(&[(Input, 3), (Output, 2)], &[]), false);
    check(chain(&[(Input, 1), (Output, 2)], &["rule 9"]), false);
    check(ChainView { handle: Some(8), ..planned.clone() }, false);
    check(ChainView { table: Some(3), ..planned.clone() }, false);
}

#[test]
fn jumps_go_before_the_chain_that_they_lead_to() {
    let words = |direction| (direction, words());
    let view = ChainView { jumps: Direction::BOTH.map(words).to_vec(), ..chain(&[], &[]) };
    let text = |change: &xtables::Change| match change {
        xtables::Change::DeleteRule { chain, .. } => format!("a rule of {chain}"),
        xtables::Change::FlushChain { chain } => format!("the rules of {chain}"),
        xtables::Change::DeleteChain { chain } => (*chain).to_owned(),
    };
    let changes: Vec<String> = chain_changes(&view).iter().map(text).collect();
    assert_eq!(changes, ["a rule of INPUT", "a rule of OUTPUT", "the rules of CRIU", "CRIU"]);
}

#[test]
fn of_an_object_in_several_tables_a_failure_counts_most() {
    use Outcome::{AlreadyGone, Removed};
    let failed = || Outcome::Failed("x".to_owned());
    for (one, other, expected) in [
        (Removed, Removed, Removed),
        (Removed, AlreadyGone, Removed),
        (AlreadyGone, Removed, Removed),
        (AlreadyGone, AlreadyGone, AlreadyGone),
        (failed(), Removed, failed()),
        (Removed, failed(), failed()),
        (AlreadyGone, failed(), failed()),
    ] {
        assert_eq!(together(&one, &other), expected, "{one:?} {other:?}");
    }
}

#[test]
fn rules_of_one_table_are_one_step_whosever_they_are() {
    let namespace = |inode| Arc::new(NetworkName { id: NetworkId { device: 4, inode }, paths: Vec::new() });
    let of = |place: FilterPlace, inode: u64| FoundRules {
        namespace: namespace(inode),
        rules: vec![FoundRule { place, ..rule(80, RuleId::Handle(1)) }],
        readings: Vec::new(),
        tie: None,
    };
    let found = [of(NFT, 1), of(NFT, 1), of(LEGACY, 1), of(NFT, 2)];
    let jobs: Vec<FilterRemoval<'_>> =
        [FilterRemoval::InTable].into_iter().chain(found.iter().map(FilterRemoval::Rules)).collect();
    let steps = rules_by_place(&jobs);
    let jobs_of_step = |(_, rules): &Wanted<'_>| rules.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    let steps: Vec<Vec<usize>> = steps.values().map(jobs_of_step).collect();
    assert_eq!(steps, [vec![1, 2], vec![3], vec![4]]);
}
