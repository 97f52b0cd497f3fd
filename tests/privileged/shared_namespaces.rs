// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Closed network namespaces with other users: other dumps in the same one, and in others.

use testkit::{Criu, DumpOptions, IptablesFlavour, LockMethod, TestHost};

use crate::case::{Case, Cases};
use crate::closed::{Closed, PROGRAMS};
use crate::filters::{Filters, nft, tables};
use crate::tool::NOTHING;
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "two dumps in one namespace share the chain, and it is removed once", test: dumped_twice },
    Case { name: "of three dumps in one namespace none opens the lock of the others", test: dumped_three_times },
    Case { name: "of two tables in one namespace only that of the checkpoint is removed", test: two_tables },
    Case { name: "chains in other namespaces survive", test: others },
    Case { name: "the rules of a closed namespace's user keep their order and counters", test: rules_of_user },
]));

fn dumped_twice(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let (one, other) = (closed.start_tree(), closed.start_tree());
        let before = closed.tool("one").snapshot();
        closed.dump(criu, &one, "one", flavour);
        closed.dump(criu, &other, "other", flavour);
        closed.named("one").assert_keeps_everything("shared-lock");
        let lines = closed.named("one").option("--allow", "shared-lock").assert_removes_everything_since(&before);
        assert_eq!(lines.iter().filter(|line| line.contains(", 4 jumps, ")).count(), 2, "{lines:#?}");
        assert!(closed.lets_packets_pass());
        closed.named("other").assert_finds_nothing();
    }
}

/// Three containers of a pod close it by one chain, and nothing tells whose jumps are whose: each is kept, whichever is
/// cleaned first. A fourth, alone in a pod of its own, is cleaned without an option.
fn dumped_three_times(criu: &Criu) {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let trees = NAMES.map(|name| (name, closed.start_tree()));
        for (name, tree) in &trees {
            closed.dump(criu, tree, name, flavour);
        }
        for name in NAMES {
            closed.named(name).assert_keeps_everything("shared-lock");
        }
        assert!(!closed.lets_packets_pass(), "GOT: the lock of other dumps is gone");

        let host = TestHost::new();
        let alone = Closed::new(&host, flavour);
        let tree = alone.start_tree();
        let before = alone.tool("alone").snapshot();
        alone.dump(criu, &tree, "alone", flavour);
        alone.named("alone").assert_removes_everything_since(&before);
        assert!(alone.lets_packets_pass());
    }
}

/// Chains that look the same, of a dump in another namespace and in the host's.
fn others(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let red = host.make_net_namespace("red").path();
        close(&Filters::of_namespace(&host, &red, flavour));
        nft(&host, Some(&red), "add table inet CRIU-1b4e28ba-2fa1-11d2-88");
        let tree = closed.start_tree();
        let before = closed.tool("images").snapshot();
        closed.dump(criu, &tree, "images", flavour);
        closed.assert_untied("images");
        // Only now: CRIU does not dump where it cannot connect with itself.
        let filters = Filters::of_host(&host, flavour);
        close(&filters);
        let rules = PROGRAMS.map(|program| filters.lines(program));
        let removed = closed.named("images").run(&[]);
        assert_eq!((removed.code(), PROGRAMS.map(|program| filters.lines(program))), (0, rules), "{removed}");
        closed.named("images").assert_finds_nothing();
        for (program, words) in PROGRAMS.iter().flat_map(|program| OPEN.map(|words| (program, words))) {
            filters.run(program, words);
        }
        assert_eq!(closed.tool("images").difference_to(&before), NOTHING, "{removed}");
        assert!(closed.lets_packets_pass() && !Net::at(&host, &red).lets_packets_pass());
    }
}

const OPEN: [&str; 4] = ["-D INPUT -j CRIU", "-D OUTPUT -j CRIU", "-F CRIU", "-X CRIU"];

/// Does what CRIU does to close a namespace.
fn close(filters: &Filters<'_>) {
    let script = [
        ":CRIU - [0:0]",
        "-I INPUT -j CRIU",
        "-I OUTPUT -j CRIU",
        "-A CRIU -m mark --mark 0xc114 -j ACCEPT",
        "-A CRIU -j DROP",
    ];
    PROGRAMS.iter().for_each(|program| filters.add(program, &script.map(str::to_owned)));
}

fn rules_of_user(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        let path = closed.namespace.path();
        let filters = Filters::of_namespace(&host, &path, flavour);
        let mine = [
            ":mine - [0:0]",
            ":CRIU2 - [0:0]",
            "[3:30] -A INPUT -p udp -j mine",
            "[0:0] -A INPUT -p udp -j CRIU2",
            "[5:50] -A OUTPUT -m mark --mark 0xc114 -j ACCEPT",
            "[7:70] -A FORWARD -m comment --comment \"-j CRIU\" -j DROP",
            "[9:90] -A mine -m mark --mark 0xc114 -j ACCEPT",
        ];
        PROGRAMS.iter().for_each(|program| filters.add(program, &mine.map(str::to_owned)));
        let tree = closed.start_tree();
        let rules = PROGRAMS.map(|program| filters.lines(program));
        closed.dump(criu, &tree, "images", flavour);
        assert_ne!(PROGRAMS.map(|program| filters.lines(program)), rules, "void");
        let removed = closed.named("images").run(&[]);
        assert_eq!((removed.code(), PROGRAMS.map(|program| filters.lines(program))), (0, rules), "{removed}");
    }
}

/// Each table closes the namespace by itself.
fn two_tables(criu: &Criu) {
    let host = TestHost::new();
    let closed = Closed::new(&host, IptablesFlavour::Nft);
    let path = closed.namespace.path();
    let (one, other) = (closed.start_tree(), closed.start_tree());
    let before = closed.tool("one").snapshot();
    let options = DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() };
    criu.dump(&host, &other, &host.dir().with_file_name("other"), &options);
    let table = tables(&host, Some(&path));
    let between = closed.tool("one").snapshot();
    criu.dump(&host, &one, &host.dir().with_file_name("one"), &options);
    assert_eq!((table.len(), tables(&host, Some(&path)).len()), (1, 2), "void");
    closed.tool("one").assert_removes_everything_since(&between);
    assert_eq!((tables(&host, Some(&path)), closed.lets_packets_pass()), (table, false));
    closed.tool("other").assert_removes_everything_since(&before);
    assert!(closed.lets_packets_pass());
}
