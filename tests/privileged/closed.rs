// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network namespaces that a dump closed and that outlived it: every process in them is without network.

use testkit::{
    CommandExt, Criu, DumpOptions, IptablesFlavour, Launch, LockMethod, NetNamespace, Network, TableNames, TestHost,
    Workload,
};

use crate::case::{Case, Cases};
use crate::filters::{Filters, make_tables, tables};
use crate::places::images_of;
use crate::tool::{NOTHING, Tool};
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "the table of a closed namespace is found by its name and removed", test: table },
    Case { name: "the chain of a closed namespace is left alone until the namespace is named", test: chain },
    Case {
        name: "the chain of a namespace that the tree shared with a living process is not called gone",
        test: shared
    },
    Case { name: "a chain that is jumped to two or three times is kept until that is allowed", test: jumps },
    Case { name: "a chain with a rule of somebody else's is kept until that is allowed", test: foreign_rule },
    Case { name: "a chain that somebody else jumps to is kept, whatever is allowed", test: foreign_jump },
]));

pub(crate) const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];

/// A host with a namespace that a dump has closed.
pub(crate) struct Closed<'a> {
    host: &'a TestHost,
    pub(crate) namespace: NetNamespace,
}

impl<'a> Closed<'a> {
    /// Makes the namespace, and the tables of this iptables in it and in the host: CRIU tries there what it can do.
    pub(crate) fn new(host: &'a TestHost, flavour: IptablesFlavour) -> Self {
        let namespace = host.make_net_namespace("blue");
        make_tables(host, None, flavour);
        make_tables(host, Some(&namespace.path()), flavour);
        Closed { host, namespace }
    }

    pub(crate) fn start_tree(&self) -> Workload {
        let launch = Launch::new(&[&"listen-connect", &"127.0.0.1:0"]);
        launch.network(Network::Named(self.namespace.clone())).start(self.host)
    }

    /// Dumps the tree, with this iptables.
    pub(crate) fn dump(&self, criu: &Criu, tree: &Workload, images: &str, flavour: IptablesFlavour) {
        let options = DumpOptions { flavour, ..DumpOptions::default() };
        criu.dump(self.host, tree, &self.host.dir().with_file_name(images), &options);
    }

    pub(crate) fn lets_packets_pass(&self) -> bool {
        Net::at(self.host, &self.namespace.path()).lets_packets_pass()
    }

    pub(crate) fn tool(&self, images: &str) -> Tool<'a> {
        Tool::new(self.host, &self.host.dir().with_file_name(images))
    }

    /// Without a word about the namespace nothing is removed, and a note names it.
    pub(crate) fn assert_untied(&self, images: &str) {
        let tool = self.tool(images);
        let before = tool.snapshot();
        let untied = tool.run(&[]);
        assert_eq!((untied.code(), tool.difference_to(&before)), (0, NOTHING.map(String::from).to_vec()), "{untied}");
        let is_note = |line: &str| line.starts_with("Note: ") && line.contains("a chain CRIU, and nothing ties");
        assert!(untied.stdout.lines().any(is_note), "{untied}");
        assert!(!untied.stdout.contains("kept:") && !untied.stdout.contains("To remove:"), "{untied}");
    }

    pub(crate) fn named(&self, images: &str) -> Tool<'a> {
        self.tool(images).option("--netns", self.namespace.path())
    }
}

fn table(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let tree = closed.start_tree();
    let tool = closed.tool("images");
    let before = tool.snapshot();
    assert!(closed.lets_packets_pass());
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &tree, &images_of(&host), &options);
    let names = tables(&host, Some(&closed.namespace.path()));
    let [name] = &names[..] else { panic!("void: {names:?}") };
    assert!(!closed.lets_packets_pass());
    let tool = match criu.table_names() {
        TableNames::RunId => tool,
        TableNames::RootPid => {
            tool.assert_keeps_everything("untied-namespace");
            closed.named("images")
        }
    };
    let lines = tool.assert_removes_everything_since(&before);
    let line = format!("Network lock table: inet {name} -> /run/netns/blue (drops every packet; to be removed)");
    assert_eq!(lines, [line.as_str(), "1 object: 1 to be removed."]);
    assert!(closed.lets_packets_pass());
}

fn chain(criu: &Criu) {
    for (flavour, backend) in [(IptablesFlavour::Nft, "nft"), (IptablesFlavour::Legacy, "legacy")] {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let tree = closed.start_tree();
        let before = closed.tool("images").snapshot();
        closed.dump(criu, &tree, "images", flavour);
        assert!(!closed.lets_packets_pass());
        // Then no other namespace has what the images record, a loopback device; but that is no proof.
        host.run("ip", &[&"link", &"set", &"lo", &"down"]);
        let chain = |program: &str, fate: &str| {
            format!("Network lock chain: CRIU -> /run/netns/blue ({program}-{backend}, 2 jumps{fate})")
        };
        let gone = "Network lock chain: CRIU (gone: with the tree's network namespace, unless that outlived the tree)";
        assert_eq!(closed.tool("images").show()[0], gone);
        closed.assert_untied("images");
        let lines = closed.named("images").assert_removes_everything_since(&before);
        let removed = PROGRAMS.map(|program| chain(program, ", named by the user; to be removed"));
        assert_eq!(lines[..2], removed);
        assert!(closed.lets_packets_pass());
    }
}

/// The rest of a service, for example. A namespace with other devices is not the tree's, whoever is in it.
fn shared(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let (other, tree) = (closed.start_tree(), closed.start_tree());
    closed.dump(criu, &tree, "images", IptablesFlavour::Nft);
    let unknown = closed.tool("images").run(&[]);
    assert_eq!(unknown.code(), 1, "{unknown}");
    assert!(unknown.stdout.starts_with("Network lock chain: CRIU (not known: "), "{unknown}");
    host.command_in(Some(&closed.namespace.path()), "ip").args(["link", "add", "type", "veth"]).succeed();
    closed.assert_untied("images");
    host.command_in(Some(&closed.namespace.path()), "ip").args(["link", "delete", "veth0"]).succeed();
    assert_eq!(closed.tool("images").run(&[]).code(), 1);
    drop(other);
    closed.assert_untied("images");
}

/// Each further lock, as by a restore that failed, adds jumps to the chain that is there.
fn jumps(criu: &Criu) {
    for (flavour, more) in [(IptablesFlavour::Nft, 1), (IptablesFlavour::Legacy, 2)] {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let tree = closed.start_tree();
        let before = closed.tool("images").snapshot();
        closed.dump(criu, &tree, "images", flavour);
        let path = closed.namespace.path();
        let filters = Filters::of_namespace(&host, &path, flavour);
        for chain in ["INPUT", "OUTPUT"].repeat(more) {
            PROGRAMS.iter().for_each(|program| drop(filters.run(program, &format!("-I {chain} -j CRIU"))));
        }
        closed.named("images").assert_keeps_everything("shared-lock");
        let allowed = closed.named("images").option("--allow", "shared-lock");
        let lines = allowed.assert_removes_everything_since(&before);
        let count = format!(", {} jumps, named by the user; to be removed)", 2 + 2 * more);
        assert_eq!(lines.iter().filter(|line| line.ends_with(&count)).count(), 2, "{lines:#?}");
        assert!(closed.lets_packets_pass());
    }
}

fn foreign_rule(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let tree = closed.start_tree();
        let before = closed.tool("images").snapshot();
        closed.dump(criu, &tree, "images", flavour);
        let path = closed.namespace.path();
        let filters = Filters::of_namespace(&host, &path, flavour);
        PROGRAMS.iter().for_each(|program| drop(filters.run(program, "-I CRIU 2 -p tcp --dport 22 -j ACCEPT")));
        closed.named("images").assert_keeps_everything("foreign-content");
        closed.named("images").option("--allow", "foreign-content").assert_removes_everything_since(&before);
        assert!(closed.lets_packets_pass());
    }
}

/// The kernel deletes no chain that is jumped to; then neither its jumps nor its rules may be gone.
fn foreign_jump(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let tree = closed.start_tree();
        closed.dump(criu, &tree, "images", flavour);
        let path = closed.namespace.path();
        let filters = Filters::of_namespace(&host, &path, flavour);
        PROGRAMS.iter().for_each(|program| drop(filters.run(program, "-N mine")));
        for rule in ["-A FORWARD -j CRIU", "-A mine -j CRIU", "-A mine -g CRIU", "-A INPUT -p udp -j CRIU"] {
            PROGRAMS.iter().for_each(|program| drop(filters.run(program, rule)));
            closed.named("images").assert_keeps_everything("foreign-content");
            let tool = closed.named("images").option("--allow", "foreign-content");
            let before = tool.snapshot();
            let failed = tool.run(&[]);
            assert_eq!((failed.code(), failed.stdout.matches("; NOT removed: ").count()), (1, 2), "{rule}: {failed}");
            assert_eq!(tool.difference_to(&before), NOTHING, "{failed}");
            PROGRAMS.iter().for_each(|program| filters.delete(program, rule));
        }
        assert_eq!(closed.named("images").run(&[]).code(), 0);
    }
}
