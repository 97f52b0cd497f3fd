// SPDX-License-Identifier: Apache-2.0 OR MIT

use criu_gc::report::{Act, Bytes, EvidenceReport, OnlyReport, Reason, RuleReport, Summary, TreeReport};

use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes(text.into())
}

fn described(label: &'static str, name: &str, target: Target) -> Description {
    Description { kind: "kind", fields: Vec::new(), label, name: name.into(), target, remark: None, recognised: None }
}

fn link() -> Description {
    described("Link remap", "/srv/link_remap.6", Target::Is("/srv/data".into()))
}

fn connection() -> Description {
    described("Locked tcp connection", "10.0.0.1:80", Target::Is("::1:4000".into()))
}

fn table() -> Description {
    described("Network lock table", "inet CRIU-a", Target::Namespace)
}

fn chain() -> Description {
    described("Network lock chain", "CRIU", Target::Namespace)
}

fn file_at(path: &str, links: u32, size: u64) -> Location {
    Location::File { path: bytes(path), device: "8:1".to_owned(), inode: 77, links, size }
}

fn rules(commands: &[&str]) -> Location {
    let rule = |command: &&str| RuleReport { command: (*command).to_owned(), chain: "INPUT", handle: Some(4) };
    Location::Rules { namespace: "/proc/self/ns/net".to_owned(), rules: commands.iter().map(rule).collect() }
}

fn table_at(drops: Drops) -> Location {
    Location::Table { namespace: "/run/netns/pod".to_owned(), name: "CRIU-a".to_owned(), handle: 5, drops }
}

fn chain_at(jumps: usize, tie: Option<&'static str>) -> Location {
    let (namespace, command) = ("/run/netns/pod".to_owned(), "iptables-nft".to_owned());
    Location::Chain { namespace, command, jumps, tie }
}

/// An object that is there and is to be removed.
fn object(subject: Description, location: Location) -> Object {
    Object {
        act: Act::Remove,
        subject,
        location: Some(location),
        state: State::Present,
        detail: None,
        verdict: Verdict::Remove,
        reasons: Vec::new(),
        outcome: None,
        failure: None,
        saved_as: None,
        frees_bytes: 0,
        evidence: vec![EvidenceReport { image: "files.img".to_owned(), record: 3, offset: 128 }],
        record: None,
    }
}

/// A link that is not there.
fn absent(state: State, verdict: Verdict, detail: &str) -> Object {
    let detail = Some(detail.to_owned()).filter(|text| !text.is_empty());
    Object { location: None, state, verdict, detail, ..object(link(), file_at("", 1, 0)) }
}

fn reason(name: &'static str, remedy: &str) -> Reason {
    Reason { name, explanation: "it is so", remedy: remedy.to_owned() }
}

fn kept(reasons: &[Reason]) -> Object {
    Object { verdict: Verdict::Keep, reasons: reasons.to_vec(), ..object(link(), file_at("/srv/link_remap.6", 2, 41)) }
}

fn report(objects: Vec<Object>, summary: Summary) -> CheckpointReport {
    let tree = TreeReport { state: "unknown", ..TreeReport::default() };
    CheckpointReport { objects, summary, tree, ..CheckpointReport::default() }
}

fn written(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8(line.as_bytes().to_vec()).unwrap()).collect()
}

#[track_caller]
fn check_object(object: &Object, expected: &str) {
    assert_eq!(written(&[object_line(object)]), [expected]);
}

#[track_caller]
fn check_summary(mode: Mode, objects: Vec<Object>, summary: Summary, expected: &[&str]) {
    assert_eq!(written(&summary_lines(&report(objects, summary), mode)), expected);
}

#[test]
fn what_is_left_out_is_listed_only_on_demand_and_its_consequences_come_first() {
    let left_out = Object { verdict: Verdict::LeftOut, ..object(link(), file_at("/srv/link_remap.6", 2, 41)) };
    let rest = object(connection(), rules(&["iptables-nft"]));
    let only = OnlyReport { part: "network", left_out: 1, consequences: vec!["a file stays".to_owned()] };
    let summary = Summary { objects: 2, removed: 1, left_out: 1, ..Summary::default() };
    let report = CheckpointReport { only: Some(only), ..report(vec![rest, left_out], summary) };
    let shown = written(&lines(&report, Mode::Show, Detail::Plain));
    assert_eq!(shown[0], "Note: a file stays");
    assert!(shown[1].starts_with("Locked tcp connection: "), "{shown:#?}");
    assert_eq!(shown[2..], ["2 objects: 1 to be removed, 1 left out."]);
    let link = |lines: &[String]| lines.iter().any(|line| line.ends_with("(41 bytes, 1 other name; left out)"));
    assert!(link(&written(&lines(&report, Mode::Show, Detail::Evidence))) && !link(&shown));
    // A removal has printed them before.
    assert!(written(&lines(&report, Mode::Gc, Detail::Plain))[0].starts_with("Locked tcp connection: "));
    let nothing =
        CheckpointReport { objects: Vec::new(), summary: Summary { left_out: 1, ..Summary::default() }, ..report };
    assert_eq!(written(&summary_lines(&nothing, Mode::Gc)), ["Nothing is left (network only)."]);
}

#[test]
fn a_link_begins_as_in_2016_and_ends_with_what_is_known() {
    let at = |location: Location| object(link(), location);
    let head = "Link remap: /srv/link_remap.6 -> /srv/data";
    let place = "/srv/link_remap.6";
    check_object(&at(file_at(place, 2, 41)), &format!("{head} (41 bytes, 1 other name; to be removed)"));
    check_object(&at(file_at(place, 1, 1)), &format!("{head} (1 byte, its last name; to be removed)"));
    check_object(&at(file_at(place, 4, 0)), &format!("{head} (0 bytes, 3 other names; to be removed)"));
    // Some filesystems do not count names.
    check_object(&at(file_at(place, 0, 1)), &format!("{head} (1 byte, its last name; to be removed)"));
    let elsewhere = format!("{head} (at /roots/one/l, 1 byte, its last name; to be removed)");
    check_object(&at(file_at("/roots/one/l", 1, 1)), &elsewhere);
    let nameless = Description { target: Target::NotTold, ..link() };
    let expected = "Link remap: /srv/link_remap.6 -> ? (1 byte, its last name; to be removed)";
    check_object(&object(nameless, file_at(place, 1, 1)), expected);
}

#[test]
fn a_silly_rename_is_called_one() {
    let target = Target::Is("/srv/.nfs000000000000002a00000001".into());
    let link = Description { target, remark: Some("an NFS silly rename"), ..link() };
    let expected = "Link remap: /srv/link_remap.6 -> /srv/.nfs000000000000002a00000001 \
                    (41 bytes, its last name, an NFS silly rename; to be removed)";
    check_object(&object(link, file_at("/srv/link_remap.6", 1, 41)), expected);
}

#[test]
fn a_connection_begins_as_in_2016() {
    let head = "Locked tcp connection: 10.0.0.1:80 -> ::1:4000";
    let one = object(connection(), rules(&["iptables-nft"]));
    check_object(&one, &format!("{head} (1 rule of iptables-nft; to be removed)"));
    let both = object(connection(), rules(&["iptables-nft", "iptables-legacy", "iptables-nft"]));
    check_object(&both, &format!("{head} (1 rule of iptables-legacy, 2 rules of iptables-nft; to be removed)"));
    let detail = Some("2 flows in the lock table".to_owned());
    let in_table = Object { location: None, detail, ..object(connection(), rules(&[])) };
    check_object(&in_table, &format!("{head} (2 flows in the lock table; to be removed)"));
}

#[test]
fn tables_and_chains_have_lines_of_the_same_style() {
    let head = "Network lock table: inet CRIU-a -> /run/netns/pod";
    check_object(&object(table(), table_at(Drops::Everything)), &format!("{head} (drops every packet; to be removed)"));
    check_object(&object(table(), table_at(Drops::Flows(1))), &format!("{head} (drops 1 flow; to be removed)"));
    check_object(&object(table(), table_at(Drops::Flows(0))), &format!("{head} (drops 0 flows; to be removed)"));
    let names = described("Network lock table", "inet CRIU-a", Target::Namespace);
    let gone = Object { subject: names, ..absent(State::Gone, Verdict::Nothing, "") };
    check_object(&gone, "Network lock table: inet CRIU-a (gone)");
    let head = "Network lock chain: CRIU -> /run/netns/pod";
    check_object(&object(chain(), chain_at(2, None)), &format!("{head} (iptables-nft, 2 jumps; to be removed)"));
    let tied = object(chain(), chain_at(1, Some("named by --netns")));
    check_object(&tied, &format!("{head} (iptables-nft, 1 jump, named by --netns; to be removed)"));
}

#[test]
fn the_line_ends_with_what_happens_or_happened() {
    let head = "Link remap: /srv/link_remap.6 -> /srv/data";
    let facts = "41 bytes, 1 other name";
    let outcome = |outcome: Outcome, failure: Option<&str>| {
        let failure = failure.map(str::to_owned);
        let outcome = Some(outcome);
        Object { outcome, failure, ..object(link(), file_at("/srv/link_remap.6", 2, 41)) }
    };
    let check = |object: &Object, end: &str| check_object(object, &format!("{head} ({end})"));
    check(&outcome(Outcome::Removed, None), &format!("{facts}; removed"));
    check(&outcome(Outcome::AlreadyGone, None), &format!("{facts}; gone"));
    let why = "cannot remove it: Operation not permitted";
    check(&outcome(Outcome::Failed, Some(why)), &format!("{facts}; NOT removed: {why}"));
    let two = [reason("tree-alive", ""), reason("other-size", "")];
    check(&kept(&two), &format!("{facts}; kept: tree-alive, other-size"));
    check(&Object { outcome: Some(Outcome::Kept), ..kept(&two) }, &format!("{facts}; kept: tree-alive, other-size"));
}

#[test]
fn a_file_that_was_kept_elsewhere_is_named() {
    let saved = Object {
        outcome: Some(Outcome::Removed),
        saved_as: Some(bytes("/saved/1\n")),
        ..object(link(), file_at("/srv/link_remap.6", 1, 41))
    };
    let expected =
        r"Link remap: /srv/link_remap.6 -> /srv/data (41 bytes, its last name; saved as /saved/1\n; removed)";
    check_object(&saved, expected);
}

#[test]
fn an_absent_object_says_why_it_is_absent() {
    let check = |object: &Object, end: &str| {
        check_object(object, &format!("Link remap: /srv/link_remap.6 -> /srv/data ({end})"));
    };
    check(&absent(State::Gone, Verdict::Nothing, ""), "gone");
    check(&absent(State::Vanished, Verdict::Nothing, "it was on a tmpfs"), "gone: it was on a tmpfs");
    let unreachable = absent(State::Unreachable, Verdict::CannotTell, "it is mounted nowhere");
    check(&unreachable, "not known: it is mounted nowhere");
    check(&Object { outcome: Some(Outcome::Failed), ..unreachable }, "not known: it is mounted nowhere");
}

#[test]
fn names_from_images_cannot_break_a_line_or_move_the_cursor() {
    let subject =
        Description { name: b"/a\n\x1b[2J\xff/l".to_vec(), target: Target::Is("/\u{202e}gpj".into()), ..link() };
    let line = object_line(&object(subject, file_at("/b\r", 1, 0)));
    assert!(line.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)), "{line:?}");
}

#[test]
fn entries_and_the_places_of_the_search_follow_on_request() {
    let summary = Summary { objects: 1, removed: 1, ..Summary::default() };
    let mut report = report(vec![object(link(), file_at("/srv/link_remap.6", 2, 41))], summary);
    report.network_namespaces.push("/run/netns/a\n".to_owned());
    report.objects[0].record = Some(RecordAnswer::Same);
    let whole = [
        "Link remap: /srv/link_remap.6 -> /srv/data (41 bytes, 1 other name; to be removed)",
        "    named by files.img record 3 at offset 128",
        "    the dump's record identifies this object",
        r"Looked in network namespace /run/netns/a\n",
        "1 object: 1 to be removed.",
    ];
    for (verbosity, expected) in
        [(0, &[whole[0], whole[4]][..]), (1, &[whole[0], whole[1], whole[2], whole[4]]), (2, &whole)]
    {
        let detail = Detail::of_verbosity(verbosity);
        assert_eq!(written(&lines(&report, Mode::Show, detail)), expected);
    }
}

#[test]
fn the_summary_counts_and_leaves_out_what_there_is_none_of() {
    let all =
        Summary { objects: 10, removed: 1, kept: 2, gone: 3, failed: 0, unknown: 4, left_out: 0, freed_bytes: 4096 };
    let shown = "10 objects: 1 to be removed (4096 bytes), 2 kept, 3 gone, 4 not known.";
    check_summary(Mode::Show, Vec::new(), all, &[shown]);
    check_summary(
        Mode::Gc,
        Vec::new(),
        Summary { freed_bytes: 1, failed: 3, unknown: 1, left_out: 0, ..all },
        &["10 objects: 1 removed (1 byte), 2 kept, 3 gone, 3 not removed, 1 not known."],
    );
    let one = Summary { objects: 1, removed: 1, ..Summary::default() };
    check_summary(Mode::Gc, Vec::new(), one, &["1 object: 1 removed."]);
    let failed = Summary { objects: 2, failed: 1, gone: 1, ..Summary::default() };
    check_summary(Mode::Gc, Vec::new(), failed, &["2 objects: 1 gone, 1 not removed."]);
}

#[test]
fn nothing_is_left_only_where_all_is_known() {
    for mode in [Mode::Show, Mode::Gc] {
        for gone in [0, 3] {
            let summary = Summary { objects: gone, gone, ..Summary::default() };
            check_summary(mode, Vec::new(), summary, &["Nothing is left."]);
            let mut unsure = report(Vec::new(), summary);
            unsure.cannot_be_known.push("files.img is missing".to_owned());
            let expected = ["Not known: files.img is missing", "Nothing found, but some checks could not be made."];
            assert_eq!(written(&lines(&unsure, mode, Detail::Plain)), expected);
        }
    }
}

/// A checkpoint with an object that is kept for these reasons.
pub(crate) fn kept_for(reasons: &[criu_gc::KeepReason]) -> CheckpointReport {
    let reasons: Vec<Reason> = reasons.iter().map(|kept| reason(kept.name(), kept.remedy())).collect();
    report(vec![kept(&reasons)], Summary::default())
}

#[test]
fn each_reason_is_explained_once_with_its_remedy() {
    let untied = |path: &str| kept(&[reason("untied-namespace", &format!("--netns {path}"))]);
    let objects = vec![
        kept(&[reason("tree-alive", "--allow tree-alive"), reason("other-size", "--allow other-size")]),
        kept(&[reason("tree-alive", "--allow tree-alive")]),
        untied("/run/netns/a"),
        untied("/run/netns/b"),
        object(link(), file_at("", 1, 0)),
    ];
    let summary = Summary { objects: 5, kept: 4, removed: 1, ..Summary::default() };
    let expected = [
        "5 objects: 1 to be removed, 4 kept.",
        "Kept, other-size (1 object): it is so. To remove: --allow other-size",
        "Kept, tree-alive (2 objects): it is so. To remove: --allow tree-alive",
        "Kept, untied-namespace (1 object): it is so. To remove: --netns /run/netns/a",
        "Kept, untied-namespace (1 object): it is so. To remove: --netns /run/netns/b",
    ];
    check_summary(Mode::Show, objects, summary, &expected);
}

#[test]
fn processes_that_stand_in_the_way_are_named() {
    let process = |name: &str| ProcessReport { pid: 7, name: bytes(name), state: 'S' };
    let said = |state: &'static str, criu: Vec<ProcessReport>| {
        let mut report = report(Vec::new(), Summary::default());
        report.tree = TreeReport { state, processes: vec![process("job\n")], criu };
        written(&tree_lines(&report))
    };
    let alive = r"Process 7 (job\n, state S) of the dumped tree is alive: nothing is removed while it lives";
    assert_eq!(said("alive", Vec::new()), [alive]);
    let mut allowed = report(vec![object(link(), file_at("/l", 1, 0))], Summary::default());
    allowed.tree = TreeReport { state: "alive", processes: vec![process("job")], criu: Vec::new() };
    assert_eq!(written(&tree_lines(&allowed)), ["Process 7 (job, state S) of the dumped tree is alive"]);
    let server = ProcessReport { pid: 0, name: bytes("/crtools-pr-155"), state: '?' };
    let serving = "A criu, or a task of a killed restore, still uses this dump (socket @/crtools-pr-155): nothing is removed while it runs";
    assert_eq!(said("alive", vec![server]), [serving, alive]);
    let criu = "Process 7 (criu, state S) is a criu working on these images: nothing is removed while it runs";
    assert_eq!(said("alive", vec![process("criu")]), [criu, alive]);
    let restored = said("restored", Vec::new());
    assert!(restored[0].starts_with(r"Process 7 (job\n, state S) was restored from these images: "), "{restored:?}");
    assert_eq!(said("dead", Vec::new()), [""; 0]);
    assert_eq!(said("unknown", Vec::new()), [""; 0]);
}
