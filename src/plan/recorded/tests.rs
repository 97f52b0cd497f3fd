// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::super::tests::objects::{
    HERE, by_pid, chain, identity, link, link_finding, newer_link, rules, signed, survey, table_finding,
};
use super::super::tests::{decide_with, text};
use super::*;
use criu_gc_sys::Uuid;

use crate::carrier::filter::{FoundRule, Tie};
use crate::checkpoint::example::checkpoint;
use crate::checkpoint::{Checkpoint, RestoreEvidence, Restores};
use crate::connection::Direction;
use crate::firewall::{Backend, RuleId, RuleKey};
use crate::json::Bytes;
use crate::kind::Residue;
use crate::plan::{Policy, decide};
use crate::record::Beside;
use crate::record::document::{Connection, Directory, Document, Dump, Machine, Role, Table, VERSION};
use crate::record::fields::Device;
use crate::system::netns::NetworkId;
use crate::system::xtables::IpVersion;
use crate::time::Timestamp;

const LATER: Timestamp = Timestamp::new(2000, 0);

/// The record of the link of the examples.
fn recorded_link() -> Link {
    let identity = identity(Timestamp::new(999, 0));
    Link {
        id: 6,
        link: Bytes(b"/srv/link_remap.6".to_vec()),
        path: Bytes(b"/srv/link_remap.6".to_vec()),
        device: Device(identity.device),
        filesystem: None,
        disk_sequence: None,
        inode: identity.inode,
        born: Some(Time(Timestamp::new(500, 1))),
        changed: Time(identity.changed),
        links: 2,
        size: 41,
        directory: Directory { inode: identity.inode, changed: Time(identity.changed) },
    }
}

fn document(links: Vec<Link>, network: Option<Network>) -> Document {
    Document {
        criu_gc_record: VERSION,
        tool: String::new(),
        recorded: Time(Timestamp::new(1001, 0)),
        machine: Machine { boot_id: None, machine_id: None, name: String::new(), pid_namespace: None },
        dump: Dump { run_id: None, images_written: None, images_directory: Bytes::default() },
        links,
        network,
        not_recorded: Vec::new(),
        facts: None,
        restores: Vec::new(),
    }
}

fn beside(document: Document, trust: Trust, boot: Boot) -> Checkpoint {
    Checkpoint { record: Beside::Found(Box::new(Record::new(document, trust, boot))), ..checkpoint() }
}

/// One link, with the record of it.
#[track_caller]
fn check_link(change: impl FnOnce(&mut Link, &mut FoundFile), (trust, boot): (Trust, Boot), expected: &str) {
    let (mut recorded, (link, mut file)) = (recorded_link(), link());
    file.identity.born = recorded.born.map(|Time(born)| born);
    change(&mut recorded, &mut file);
    let checkpoint = beside(document(vec![recorded], None), trust, boot);
    assert_eq!(decide_with(&checkpoint, survey(vec![link_finding((link, file))]), &[]), [expected]);
}

const BELIEVED: (Trust, Boot) = (Trust::Full, Boot::This);

#[test]
fn another_inode_is_another_file_however_old_it_looks() {
    check_link(|_, _| {}, BELIEVED, "Remove");
    check_link(|_, file| file.identity.inode = 78, BELIEVED, "keep: not-recorded");
    check_link(|_, file| file.identity.born = Some(Timestamp::new(500, 2)), BELIEVED, "keep: not-recorded");
    check_link(|_, file| file.identity.born = None, BELIEVED, "Remove");
    check_link(|recorded, _| recorded.born = None, BELIEVED, "Remove");
    // Nothing is known about a link of another path.
    check_link(|recorded, file| (recorded.link.0[1], file.identity.inode) = (b'x', 78), BELIEVED, "Remove");
    check_link(|recorded, file| (recorded.id, file.identity.inode) = (7, 78), BELIEVED, "Remove");
}

#[test]
fn a_filesystem_is_told_by_its_uuid_and_its_disk_where_the_kernel_tells_them() {
    let uuid = |byte| Uuid([byte; 16]);
    let with = |told: Option<Uuid>, found: Option<Uuid>| {
        move |recorded: &mut Link, file: &mut FoundFile| {
            (recorded.filesystem, file.filesystem.uuid) = (told.map(|uuid| uuid.to_string()), found);
        }
    };
    let (same, other) = (Some(uuid(1)), Some(uuid(2)));
    for boot in [Boot::This, Boot::Earlier] {
        check_link(with(same, same), (Trust::Full, boot), "Remove");
        check_link(with(same, other), (Trust::Full, boot), "keep: not-recorded");
        check_link(with(same, None), (Trust::Full, boot), "Remove");
        check_link(with(None, other), (Trust::Full, boot), "Remove");
    }
    // Loop devices and disks get their numbers again, and so do filesystems without a device.
    let disks = |boot, told, found, expected| {
        let change = |recorded: &mut Link, file: &mut FoundFile| {
            (recorded.disk_sequence, file.filesystem.disk_sequence) = (told, found);
        };
        check_link(change, (Trust::Full, boot), expected);
    };
    disks(Boot::This, Some(7), Some(7), "Remove");
    disks(Boot::This, Some(7), Some(8), "keep: not-recorded");
    disks(Boot::This, None, Some(8), "Remove");
    disks(Boot::Earlier, Some(7), Some(8), "Remove");
    // Without a birth time, the UUID shows that the disk has another number by now.
    let renumbered = |recorded: &mut Link, file: &mut FoundFile| {
        with(same, same)(recorded, file);
        (recorded.device.0, recorded.born) = ((8, 17), None);
        file.identity.changed = LATER;
    };
    check_link(renumbered, (Trust::Full, Boot::Earlier), "Remove");
}

#[test]
fn a_link_is_the_dumps_if_its_inode_or_its_directory_is_unchanged_since_the_record() {
    let at = |inode: Timestamp, directory: Timestamp| {
        move |_: &mut Link, file: &mut FoundFile| {
            (file.identity.changed, file.directory.changed) = (inode, directory);
        }
    };
    let recorded = Timestamp::new(999, 0);
    check_link(at(recorded, LATER), BELIEVED, "Remove");
    check_link(at(LATER, recorded), BELIEVED, "Remove");
    check_link(at(LATER, LATER), BELIEVED, "keep: changed-since");
    // Older than the images, which were copied without their times, and yet not what the record says.
    let copied = Timestamp::new(999, 5);
    check_link(at(copied, copied), BELIEVED, "keep: changed-since");
    let elsewhere = |_: &mut Link, file: &mut FoundFile| {
        (file.identity.changed, file.directory.inode) = (copied, 1);
    };
    check_link(elsewhere, BELIEVED, "keep: changed-since");
}

#[test]
fn the_record_says_more_than_the_times_of_the_images_and_a_restore() {
    let mut checkpoint = beside(document(vec![recorded_link()], None), Trust::Full, Boot::This);
    checkpoint.written = Some(Timestamp::new(10, 0));
    checkpoint.restores.succeeded = Some(RestoreEvidence { file: "stats-restore".to_owned(), written: LATER });
    assert_eq!(decide_with(&checkpoint, survey(vec![link_finding(link())]), &[]), ["Remove"]);
    checkpoint.record = Beside::Nothing;
    let kept = "keep: changed-since, restored-since";
    assert_eq!(decide_with(&checkpoint, survey(vec![link_finding(link())]), &[]), [kept]);
}

#[test]
fn a_record_that_may_be_anybodys_only_adds_reasons() {
    let untrusted = (Trust::KeepOnly, Boot::This);
    check_link(|_, _| {}, untrusted, "Remove");
    check_link(|_, file| file.identity.inode = 78, untrusted, "keep: not-recorded");
    let changed = |recorded: &mut Link, file: &mut FoundFile| {
        (file.identity.changed, file.directory.changed) = (LATER, LATER);
        (recorded.changed, recorded.directory.changed) = (Time(LATER), Time(LATER));
    };
    check_link(changed, untrusted, "keep: changed-since");
    check_link(changed, BELIEVED, "Remove");
    let both = |recorded: &mut Link, file: &mut FoundFile| {
        changed(recorded, file);
        file.identity.inode = 78;
    };
    check_link(both, untrusted, "keep: not-recorded, changed-since");
}

/// Every combination of what can be equal and what not.
#[test]
fn whatever_an_untrusted_record_says_no_reason_to_keep_goes_away() {
    let times = [Timestamp::new(999, 0), Timestamp::new(999, 5), LATER];
    let with = |found: (u64, Timestamp, Timestamp), told: (u64, Timestamp, Timestamp)| {
        let (link, mut file) = link();
        (file.identity.inode, file.identity.changed, file.directory.changed) = found;
        let directory = Directory { inode: file.directory.inode, changed: Time(told.2) };
        let recorded = Link { inode: told.0, born: None, changed: Time(told.1), directory, ..recorded_link() };
        let decide = |record: Beside| {
            let restored = Some(RestoreEvidence { file: "stats-restore".to_owned(), written: LATER });
            let restores = Restores { succeeded: restored, ..Restores::default() };
            let checkpoint = Checkpoint { record, restores, ..checkpoint() };
            decide_with(&checkpoint, survey(vec![link_finding((link.clone(), file.clone()))]), &[]).remove(0)
        };
        let record =
            |trust| Beside::Found(Box::new(Record::new(document(vec![recorded.clone()], None), trust, Boot::This)));
        [decide(Beside::Nothing), decide(record(Trust::KeepOnly)), decide(record(Trust::Full))]
    };
    let all: Vec<(u64, Timestamp, Timestamp)> = [77, 78]
        .into_iter()
        .flat_map(|inode| times.into_iter().flat_map(move |one| times.map(|other| (inode, one, other))))
        .collect();
    let mut removed = 0;
    for (found, told) in all.iter().flat_map(|found| all.iter().map(move |told| (*found, *told))) {
        let [without, untrusted, believed] = with(found, told);
        let reasons = |verdict: &str| -> Vec<String> {
            verdict.trim_start_matches("keep: ").split(", ").map(str::to_owned).collect()
        };
        assert!(without.starts_with("keep: ") && untrusted.starts_with("keep: "), "{found:?} {told:?}");
        let left = reasons(&untrusted);
        assert!(reasons(&without).iter().all(|reason| left.contains(reason)), "{without} {untrusted}");
        // One that is believed takes reasons away only from the same inode, of which one time is the same too.
        let is_same = found.0 == told.0 && (found.1 == told.1 || found.2 == told.2);
        assert_eq!(believed == "Remove", is_same, "{found:?} {told:?}: {believed}");
        removed += usize::from(is_same);
    }
    assert_eq!((all.len(), removed), (18, 90));
}

#[test]
fn numbers_of_devices_that_are_given_anew_prove_nothing() {
    let earlier = (Trust::Full, Boot::Earlier);
    let device = |device: (u32, u32)| {
        move |recorded: &mut Link, file: &mut FoundFile| {
            (recorded.device, file.identity.device) = (Device(device), device);
            file.identity.inode = 78;
        }
    };
    check_link(device((8, 1)), earlier, "keep: not-recorded");
    check_link(device((0, 40)), earlier, "Remove");
    check_link(device((0, 40)), BELIEVED, "keep: not-recorded");
    // An overlay, and its upper directory.
    let moved = |inode: u64| {
        move |_: &mut Link, file: &mut FoundFile| {
            (file.identity.device, file.identity.inode) = ((8, 2), inode);
            (file.identity.changed, file.directory.changed) = (LATER, LATER);
        }
    };
    check_link(moved(77), BELIEVED, "keep: changed-since");
    check_link(|_, file| file.identity.device = (8, 2), BELIEVED, "Remove");
    check_link(|_, file| (file.identity.device, file.identity.inode) = ((8, 2), 78), BELIEVED, "Remove");
}

#[test]
fn another_file_is_the_sign_of_a_newer_dump_and_the_same_one_is_none() {
    let Finding { residue, presence: Presence::File(file) } = newer_link() else { panic!("no file") };
    for (change, expected) in [
        (None, ["keep: newer-dump", "keep: changed-since"]),
        (Some((77, file.identity.changed)), ["Remove", "Remove"]),
        (Some((77, LATER)), ["keep: newer-dump", "keep: changed-since"]),
        (Some((78, LATER)), ["keep: newer-dump", "keep: not-recorded, changed-since"]),
    ] {
        let links =
            change.map(|(inode, changed)| Link { inode, changed: Time(changed), born: None, ..recorded_link() });
        let checkpoint = beside(document(links.into_iter().collect(), None), Trust::Full, Boot::This);
        let newer = Finding { residue: residue.clone(), presence: Presence::File(file.clone()) };
        assert_eq!(decide_with(&checkpoint, survey(vec![rules(), newer]), &[]), expected, "{change:?}");
    }
}

const PLACE: crate::firewall::FilterPlace =
    crate::firewall::FilterPlace { backend: Backend::Nft, family: IpVersion::V4 };
const LEGACY: crate::firewall::FilterPlace =
    crate::firewall::FilterPlace { backend: Backend::Legacy, family: IpVersion::V4 };

fn network(role: Role) -> Network {
    Network {
        role,
        name: "here".to_owned(),
        device: HERE.device,
        inode: HERE.inode,
        cookie: Some(1),
        complete: true,
        connections: Vec::new(),
        tables: Vec::new(),
        chains: Vec::new(),
    }
}

fn own_namespace() -> RecordedNamespace {
    RecordedNamespace::Found(HERE)
}

/// What is decided of an object that a newer dump may have made, with the link of one.
#[track_caller]
fn check_network(network: &Network, namespace: RecordedNamespace, finding: &Finding, expected: &str) {
    for (trust, boot, is_believed) in
        [(Trust::Full, Boot::This, true), (Trust::KeepOnly, Boot::This, false), (Trust::Full, Boot::Earlier, false)]
    {
        let checkpoint = beside(document(Vec::new(), Some(network.clone())), trust, boot);
        let mut survey = survey(vec![finding.clone(), newer_link()]);
        survey.recorded_namespace = namespace;
        let plan = decide(&checkpoint, survey, &Policy::default());
        let verdict = text(&plan.items()[0].verdict);
        if is_believed {
            assert_eq!(verdict, expected);
        } else {
            assert_ne!(verdict, "Remove", "{trust:?} {boot:?}");
        }
    }
}

/// Rules of the example's connection: place, chain, table and handle.
fn with_rules(found: &[(crate::firewall::FilterPlace, Direction, u64, u64)]) -> (Finding, Vec<Rule>) {
    let Finding { residue: Residue::LockedConnection(locked), presence: Presence::Rules(mut rules) } = rules() else {
        panic!("no rules")
    };
    rules.rules = found
        .iter()
        .map(|(place, direction, table, handle)| {
            let key = RuleKey { direction: *direction, flow: locked.connection.flow(*direction), marked: true };
            let (table, id) = match place.backend {
                Backend::Nft => (Some(*table), RuleId::Handle(*handle)),
                Backend::Legacy => (None, RuleId::Words("-j DROP".into())),
            };
            FoundRule { place: *place, table, key, id }
        })
        .collect();
    let recorded = rules.rules.iter().map(|rule| Rule::of(rule.place, rule.key.direction, rule.table, &rule.id));
    let recorded = recorded.collect();
    (Finding { residue: Residue::LockedConnection(locked), presence: Presence::Rules(rules) }, recorded)
}

fn recording(finding: &Finding, rules: Vec<Rule>) -> Network {
    let Residue::LockedConnection(locked) = &finding.residue else { panic!("no connection") };
    let connection = Connection { local: locked.connection.local, peer: locked.connection.peer, rules };
    Network { connections: vec![connection], ..network(Role::Criu) }
}

const UNSIGNED: &str = "keep: newer-dump";
const OTHER: &str = "keep: not-recorded, newer-dump";

#[test]
fn rules_are_the_dumps_by_their_handles() {
    use Direction::{Input, Output};
    let (finding, rules) = with_rules(&[(PLACE, Input, 1, 5), (PLACE, Output, 1, 6)]);
    let network = recording(&finding, rules);
    check_network(&network, own_namespace(), &finding, "Remove");
    check_network(&network, RecordedNamespace::Unknown, &finding, UNSIGNED);
    check_network(&network, RecordedNamespace::NotFound, &finding, OTHER);
    check_network(&network, RecordedNamespace::Found(NetworkId { device: 0, inode: 0 }), &finding, OTHER);
    for other in [(PLACE, Output, 1, 7), (PLACE, Output, 2, 6), (PLACE, Input, 1, 6), (LEGACY, Output, 1, 6)] {
        let (found, _) = with_rules(&[(PLACE, Input, 1, 5), other]);
        check_network(&network, own_namespace(), &found, OTHER);
    }
    let (half, _) = with_rules(&[(PLACE, Output, 1, 6)]);
    check_network(&network, own_namespace(), &half, "Remove");
}

#[test]
fn legacy_rules_have_no_identity() {
    use Direction::{Input, Output};
    let (finding, rules) = with_rules(&[(LEGACY, Input, 0, 0), (LEGACY, Output, 0, 0)]);
    check_network(&recording(&finding, rules), own_namespace(), &finding, UNSIGNED);
}

#[test]
fn what_was_looked_for_at_the_dump_and_not_seen_was_made_since() {
    let (finding, _) = with_rules(&[(PLACE, Direction::Input, 1, 5)]);
    let chains = chain(Some(Tie::Named), &[]);
    for finding in [&finding, &chains, &table_finding(by_pid())] {
        check_network(&network(Role::Criu), own_namespace(), finding, OTHER);
        let blind = Network { complete: false, ..network(Role::Criu) };
        check_network(&blind, own_namespace(), finding, UNSIGNED);
    }
}

#[test]
fn a_table_with_a_pid_in_its_name_is_the_dumps_by_its_handle() {
    let (table, mut found) = by_pid();
    found.tie = None;
    let finding = table_finding((table, found));
    for (handle, expected) in [(3, "Remove"), (4, "keep: not-recorded, newer-dump, untied-namespace")] {
        let tables = vec![Table { name: "CRIU-7".to_owned(), handle }];
        check_network(&Network { tables, ..network(Role::Criu) }, own_namespace(), &finding, expected);
    }
    // A run id needs no record.
    let checkpoint = beside(document(Vec::new(), Some(network(Role::Criu))), Trust::Full, Boot::This);
    let mut signed = survey(vec![table_finding(signed())]);
    signed.recorded_namespace = own_namespace();
    assert_eq!(decide_with(&checkpoint, signed, &[]), ["Remove"]);
}

/// A chain with jumps of these handles, as found and as recorded.
fn with_jumps(handles: &[(Direction, u64)]) -> (Finding, Chain) {
    let Finding { residue, presence: Presence::Chain(mut found) } = chain(None, &[]) else { panic!("no chain") };
    found.view.jumps = handles.iter().map(|(direction, handle)| (*direction, RuleId::Handle(*handle))).collect();
    let jumps = found.view.jumps.iter().map(|(direction, id)| Rule::of(PLACE, *direction, Some(2), id)).collect();
    let recorded = Chain { command: PLACE.to_string(), table: Some(2), handle: Some(1), jumps };
    (Finding { residue, presence: Presence::Chain(found) }, recorded)
}

#[test]
fn a_chain_is_the_dumps_by_its_handle_and_needs_no_tie() {
    use Direction::{Input, Output};
    let (finding, recorded) = with_jumps(&[(Input, 8), (Output, 9)]);
    let with = |chain: &Chain| Network { chains: vec![chain.clone()], ..network(Role::Tree) };
    let other = "keep: not-recorded, newer-dump, untied-namespace";
    let unclear = "keep: newer-dump, untied-namespace";
    check_network(&with(&recorded), own_namespace(), &finding, "Remove");
    check_network(&with(&recorded), RecordedNamespace::NotFound, &finding, other);
    // A namespace that the record names, and a chain in it that it does not know.
    let Finding { residue, presence: Presence::Chain(mut found) } = finding.clone() else { panic!("no chain") };
    found.tie = Some(Tie::Recorded);
    let tied = Finding { residue, presence: Presence::Chain(found) };
    let blind = Network { complete: false, ..network(Role::Tree) };
    check_network(&blind, own_namespace(), &tied, unclear);
    check_network(&with(&recorded), own_namespace(), &tied, "Remove");
    for change in [
        |chain: &mut Chain| chain.handle = Some(3),
        |chain: &mut Chain| chain.table = Some(3),
        |chain: &mut Chain| chain.jumps[0].handle = Some(3),
        |chain: &mut Chain| chain.jumps.truncate(1),
        |chain: &mut Chain| chain.command = "ip6tables-nft".to_owned(),
    ] {
        let mut changed = recorded.clone();
        change(&mut changed);
        check_network(&with(&changed), own_namespace(), &finding, other);
    }
    // Somebody has taken a jump away: it is the same chain.
    let (half, _) = with_jumps(&[(Output, 9)]);
    check_network(&with(&recorded), own_namespace(), &half, "Remove");
    // The namespace was closed before by another dump.
    let (twice, recorded) = with_jumps(&[(Input, 8), (Output, 9), (Input, 10), (Output, 11)]);
    let shared = "keep: newer-dump, shared-lock, untied-namespace";
    check_network(&with(&recorded), own_namespace(), &twice, shared);
    check_network(&with(&recorded), own_namespace(), &finding, unclear);
    let legacy = Chain { command: PLACE.to_string(), table: None, handle: None, jumps: Vec::new() };
    let Finding { residue, presence: Presence::Chain(mut found) } = chain(None, &[]) else { panic!("no chain") };
    (found.view.table, found.view.handle) = (None, None);
    let found = Finding { residue, presence: Presence::Chain(found) };
    check_network(&with(&legacy), own_namespace(), &found, unclear);
}
