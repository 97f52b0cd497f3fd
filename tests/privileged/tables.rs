// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The nftables table of a dump in the host's own network: known by its name, removed if it is CRIU's as a whole.

use std::path::PathBuf;

use testkit::{Crit, Criu, DumpOptions, LockMethod, TableNames, TestHost};

use crate::case::{Case, Cases};
use crate::filters::{make_tables, nft, tables};
use crate::tool::{NOTHING, Tool};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a table has the run id in its name, and is found in any network namespace", test: by_name },
    Case { name: "tables with names of other dumps survive", test: other_names },
    Case { name: "a table that holds something of somebody else's is kept until that is allowed", test: foreign },
    Case { name: "any beginning of a table, as a killed CRIU leaves it, is removed", test: beginnings },
    Case { name: "a table may hold connections that the images do not have", test: more_connections },
    Case { name: "rules are looked for in the network namespace that is named", test: rules_elsewhere },
]));

/// A host where a tree with a connection was dumped.
struct Dumped<'a> {
    host: &'a TestHost,
    images: PathBuf,
    /// The table's name.
    table: String,
}

impl<'a> Dumped<'a> {
    fn new(criu: &Criu, host: &'a TestHost) -> Self {
        let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0", &"listen-connect", &"[::1]:0"]);
        let images = host.dir().with_file_name("images");
        criu.dump(host, &tree, &images, &DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() });
        let mut names = tables(host, None);
        let table = names.pop().expect("void: no table");
        assert_eq!(names, NOTHING);
        Dumped { host, images, table }
    }

    fn tool(&self) -> Tool<'a> {
        Tool::new(self.host, &self.images)
    }

    /// Runs `nft` with `TABLE` for the table.
    fn nft(&self, words: &str) -> String {
        nft(self.host, None, &words.replace("TABLE", &format!("inet {}", self.table)))
    }

    fn line(&self, facts: &str) -> String {
        format!("Network lock table: inet {} -> /proc/self/ns/net ({facts})", self.table)
    }
}

fn by_name(criu: &Criu) {
    let host = TestHost::new();
    let elsewhere = host.make_net_namespace("elsewhere");
    let before = Tool::new(&host, host.dir()).snapshot();
    let dumped = Dumped::new(criu, &host);
    let inventory = Crit::records(criu, &dumped.images.join("inventory.img"));
    let tool = match criu.table_names() {
        TableNames::RunId => {
            let run_id = inventory[0]["dump_criu_run_id"].as_str().expect("a run id");
            assert!([run_id, &run_id[..21]].contains(&&dumped.table["CRIU-".len()..]), "{run_id} {}", dumped.table);
            dumped.tool().inside(&elsewhere)
        }
        // A pid proves nothing in a namespace in which criu-gc does not run.
        TableNames::RootPid => {
            dumped.tool().inside(&elsewhere).assert_keeps_everything("untied-namespace");
            dumped.tool()
        }
    };
    let lines = tool.assert_removes_everything_since(&before);
    let line = dumped.line("drops 4 flows; to be removed").replace("self", "1");
    assert!(lines.contains(&line), "{lines:#?}");
}

/// Names that are nearly the same, also that which the other versions of CRIU give to the next run.
fn other_names(criu: &Criu) {
    let host = TestHost::new();
    let dumped = Dumped::new(criu, &host);
    let definition = dumped.nft("list table TABLE");
    let near = match criu.table_names() {
        TableNames::RunId => dumped.table[.."CRIU-1b4e28ba-2fa1-11d2-8".len()].to_owned(),
        TableNames::RootPid => format!("{}0", dumped.table),
    };
    let names =
        ["CRIU-1b4e28ba-2fa1-11d2-88", "CRIU-1b4e28ba-2fa1-11d2-883f-0016d3cca427", "CRIU-1", &near, "CRIU-", "CRIU"];
    let planted = host.dir().with_file_name("tables");
    let copies = names.map(|name| definition.replace(&dumped.table, name));
    std::fs::write(&planted, copies.concat()).expect("a file");
    host.run("nft", &[&"-f", &planted]);
    host.run("nft", &[&format!("add table ip {}", dumped.table)]);
    let all = nft(&host, None, "list ruleset");
    assert_eq!(dumped.tool().run(&[]).code(), 0);
    assert_eq!(nft(&host, None, "list ruleset"), all.replace(&definition, ""));
    dumped.tool().assert_finds_nothing();
}

/// What somebody may have added to a table, and how it is taken back.
const FOREIGN: [(&str, &str); 6] = [
    ("add chain TABLE mine", "delete chain TABLE mine"),
    ("add set TABLE mine { type ipv4_addr; }", "delete set TABLE mine"),
    ("add counter TABLE mine", "delete counter TABLE mine"),
    ("add table TABLE { flags dormant; }", "add table TABLE"),
    ("add chain TABLE input { policy drop; }", "add chain TABLE input { policy accept; }"),
    ("add rule TABLE output ip daddr 10.0.0.1 accept", ""),
];

fn foreign(criu: &Criu) {
    let host = TestHost::new();
    let tool = Tool::new(&host, &host.dir().with_file_name("images"));
    let before = tool.snapshot();
    let dumped = Dumped::new(criu, &host);
    let untouched = dumped.nft("list table TABLE");
    for (add, take_back) in FOREIGN {
        dumped.nft(add);
        assert_ne!(dumped.nft("list table TABLE"), untouched, "void: {add}");
        tool.assert_keeps_everything("foreign-content");
        if !take_back.is_empty() {
            dumped.nft(take_back);
            assert_eq!(dumped.nft("list table TABLE"), untouched, "{take_back}");
        }
    }
    let lines = tool.show();
    let kept = lines.iter().filter(|line| line.starts_with("Locked tcp connection: ") && line.contains("; kept: "));
    assert_eq!(kept.count(), 4, "{lines:#?}");
    tool.option("--allow", "foreign-content").assert_removes_everything_since(&before);
}

/// CRIU makes chains, sets and rules one by one; the last of them go first.
const LAST_FIRST: [&str; 6] = [
    "flush chain TABLE input",
    "flush chain TABLE output",
    "delete set TABLE conns6",
    "delete set TABLE conns4",
    "delete chain TABLE input",
    "delete chain TABLE output",
];

fn beginnings(criu: &Criu) {
    let host = TestHost::new();
    let tool = Tool::new(&host, &host.dir().with_file_name("images"));
    let before = tool.snapshot();
    let dumped = Dumped::new(criu, &host);
    for (step, flows) in LAST_FIRST.into_iter().zip([4, 4, 2, 0, 0, 0]) {
        dumped.nft(step);
        let lines = tool.show();
        let expected = dumped.line(&format!("drops {flows} flows; to be removed"));
        assert!(lines.contains(&expected), "{step}: {lines:#?}");
    }
    tool.assert_removes_everything_since(&before);
}

/// The name is this dump's alone: an element more is of a socket that is not in incomplete images.
fn more_connections(criu: &Criu) {
    let host = TestHost::new();
    let tool = Tool::new(&host, &host.dir().with_file_name("images"));
    let before = tool.snapshot();
    let dumped = Dumped::new(criu, &host);
    dumped.nft("add element TABLE conns4 { 10.0.0.1 . 1 . 10.0.0.2 . 2 }");
    dumped.nft("add element TABLE conns6 { fd00::1 . 1 . fd00::2 . 2 }");
    let lines = tool.assert_removes_everything_since(&before);
    assert!(lines.contains(&dumped.line("drops 6 flows; to be removed")), "{lines:#?}");
}

/// Rules have no name to be found by: they are where CRIU ran, here not in the tool's own namespace.
fn rules_elsewhere(criu: &Criu) {
    for flavour in testkit::IptablesFlavour::ALL {
        let host = TestHost::new();
        let elsewhere = host.make_net_namespace("elsewhere");
        make_tables(&host, None, flavour);
        let tree = host.start_workload(&[&"listen-connect", &"127.0.0.1:0"]);
        let images = host.dir().with_file_name("images");
        let tool = Tool::new(&host, &images).inside(&elsewhere).option("--netns", "/proc/1/ns/net");
        let before = tool.snapshot();
        criu.dump(&host, &tree, &images, &DumpOptions { flavour, ..DumpOptions::default() });
        tool.assert_removes_everything_since(&before);
    }
}
