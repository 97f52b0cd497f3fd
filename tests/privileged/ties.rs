// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What ties a closed network namespace to a checkpoint, and where such a namespace is found.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use testkit::{
    CommandExt, Criu, DumpOptions, IptablesFlavour, Launch, LockMethod, NetNamespace, Network, TestHost, Workload,
};

use crate::case::{Case, Cases};
use crate::filters::{Filters, make_tables, tables};
use crate::places::images_of;
use crate::tool::{NOTHING, Tool};
use crate::traffic::Net;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "an external namespace is tied by the key of the images", test: external_key },
    Case { name: "a namespace with the devices of the images is tied", test: devices },
    Case { name: "two namespaces with the devices of the images are not tied", test: ambiguous },
    Case { name: "a namespace with the devices of the images that is younger than they is not tied", test: younger },
    Case { name: "a table in a namespace that only a process holds is found", test: table_of_process },
    Case { name: "a chain in a namespace that only a process holds is found", test: chain_of_process },
    Case { name: "of a namespace that ended with the tree nothing is left", test: died },
    Case { name: "a chain of another dump is a note, and neither an object nor a command", test: strange },
]));

/// Starts a tree in the network, and dumps it. In a new namespace not even the loopback device is up.
fn dump(criu: &Criu, host: &TestHost, network: Network, options: &DumpOptions) {
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(network).start(host);
    criu.dump(host, &tree, &images_of(host), options);
}

/// A namespace with the tables of this iptables, as the host has them too.
fn make_namespace(host: &TestHost, flavour: IptablesFlavour) -> NetNamespace {
    let namespace = host.make_net_namespace("blue");
    make_tables(host, None, flavour);
    make_tables(host, Some(&namespace.path()), flavour);
    namespace
}

fn external_key(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let blue = make_namespace(&host, flavour);
        let red = host.make_net_namespace("red");
        let inode = host.path(blue.path()).metadata().expect("a namespace").ino();
        let extra = vec!["--external".into(), format!("net[{inode}]:pod").into()];
        let tool = || Tool::on(&host);
        let before = tool().snapshot();
        dump(criu, &host, Network::Named(blue), &DumpOptions { flavour, extra, ..DumpOptions::default() });
        assert_not_known(&tool());
        let refused = tool().option("--external", "net[other]:/run/netns/blue").run(&[]);
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{refused}");
        // What the user says is taken for true: there is no chain in that namespace.
        tool().option("--external", format!("net[pod]:{}", red.path().display())).assert_finds_nothing();
        tool().option("--external", "net[pod]:/run/netns/blue").assert_removes_everything_since(&before);
    }
}

/// The dump closed a namespace, and nobody tells which.
fn assert_not_known(tool: &Tool<'_>) {
    let untied = tool.run(&[]);
    let line = "Network lock chain: CRIU (not known: nothing tells which network namespace it is in; name that with \
                --external net[pod]:PATH or --netns PATH)";
    assert!(untied.code() == 1 && untied.stdout.lines().any(|told| told == line), "{untied}");
    assert!(!untied.stdout.contains("removed") && !untied.stdout.contains("To remove:"), "{untied}");
}

/// A host with a namespace that has a device of its own, closed by a dump.
fn dump_with_device(criu: &Criu, host: &TestHost, flavour: IptablesFlavour) {
    let blue = make_namespace(host, flavour);
    host.connect(&blue, "10.9.0.1/24", "10.9.0.2/24");
    dump(criu, host, Network::Named(blue), &DumpOptions { flavour, ..DumpOptions::default() });
}

const TIED: &str = ", 2 jumps, has the devices and addresses of the images; to be removed)";

fn devices(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let tool = Tool::on(&host);
        dump_with_device(criu, &host, flavour);
        let blue = PathBuf::from("/run/netns/blue");
        let net = Net::at(&host, &blue);
        assert!(!net.lets_packets_pass());
        // The other end of the device is in the host; another namespace has one of the same name only.
        let red = host.make_net_namespace("red");
        host.run_in(&red, "ip", &[&"link", &"add", &"blue-in", &"type", &"veth", &"peer", &"name", &"other"]);
        let lines = tool.show();
        assert_eq!(lines.iter().filter(|line| line.ends_with(TIED)).count(), 2, "{lines:#?}");
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        let left = Filters::of_namespace(&host, &blue, flavour);
        assert_eq!(["iptables", "ip6tables"].map(|program| left.lines(program).len()), [5, 5], "{removed}");
        assert!(net.lets_packets_pass());
        tool.assert_finds_nothing();
    }
}

fn ambiguous(criu: &Criu) {
    let host = TestHost::new();
    let tool = Tool::on(&host);
    dump_with_device(criu, &host, IptablesFlavour::Nft);
    make_twin(&host);
    tool.assert_keeps_everything("untied-namespace");
    host.run("ip", &[&"netns", &"delete", &"red"]);
    let removed = tool.run(&[]);
    assert_eq!(removed.code(), 0, "{removed}");
    assert!(Net::at(&host, "/run/netns/blue".as_ref()).lets_packets_pass());
}

/// As a pod that is made again with the same device and addresses, and closed by a dump of its own.
fn younger(criu: &Criu) {
    let host = TestHost::new();
    let tool = Tool::on(&host);
    dump_with_device(criu, &host, IptablesFlavour::Nft);
    make_twin(&host);
    host.run("ip", &[&"netns", &"delete", &"blue"]);
    let red = PathBuf::from("/run/netns/red");
    let filters = Filters::of_namespace(&host, &red, IptablesFlavour::Nft);
    for words in ["-N CRIU", "-A CRIU -m mark --mark 0xc114 -j ACCEPT", "-A CRIU -j DROP", "-I INPUT -j CRIU"] {
        filters.run("iptables", words);
    }
    let closed = filters.lines("iptables");
    let untied = tool.run(&[]);
    let note = "Note: /run/netns/red has a chain CRIU, and nothing ties it to this checkpoint; --netns PATH would";
    assert!(untied.code() == 0 && untied.stdout.lines().any(|line| line == note), "{untied}");
    assert_eq!(filters.lines("iptables"), closed);
}

/// Makes a namespace whose device has the number, the name and the addresses of that in `blue`.
fn make_twin(host: &TestHost) {
    // It also mounts /sys anew, which shows the network namespace in which it was mounted.
    let enter: [testkit::Word<'_>; 3] = [&"netns", &"exec", &"blue"];
    let blue = |file: &str| {
        let shown = host.command("ip").args(enter).arg("cat").arg(format!("/sys/class/net/blue-in/{file}")).succeed();
        shown.stdout.trim().to_owned()
    };
    let (index, address) = (blue("ifindex"), blue("address"));
    let red = host.make_net_namespace("red");
    let link = format!("link add blue-in index {index} address {address} type veth peer name other index 99");
    for words in [&link, "address add 10.9.0.2/24 dev blue-in", "link set other up", "link set blue-in up"] {
        let words: Vec<&str> = words.split(' ').collect();
        let words: Vec<testkit::Word<'_>> = words.iter().map(|word| word as testkit::Word<'_>).collect();
        host.run_in(&red, "ip", &words);
    }
}

/// A tree in a network namespace that a process outside of the tree shares: its path is that process's.
fn start_sharing_tree(host: &TestHost) -> (Workload, PathBuf) {
    let tree = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Own).start(host);
    let script = format!(
        "nsenter --net=/proc/{0}/ns/net sleep infinity & \
         until [ $(readlink /proc/$!/ns/net) = $(readlink /proc/{0}/ns/net) ]; do :; done; echo $!",
        tree.pid()
    );
    let pid = host.run("sh", &[&"-c", &script]).stdout;
    (tree, PathBuf::from(format!("/proc/{}/ns/net", pid.trim())))
}

fn table_of_process(criu: &Criu) {
    let host = TestHost::new();
    let (tree, path) = start_sharing_tree(&host);
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions { lock: LockMethod::Nftables, ..DumpOptions::default() });
    assert_eq!(tables(&host, Some(&path)).len(), 1, "void");
    let tool = Tool::on(&host);
    let lines = tool.show();
    assert!(lines[0].ends_with(&format!(" -> {} (drops every packet; to be removed)", path.display())), "{lines:#?}");
    assert_eq!(tool.run(&[]).code(), 0);
    assert_eq!(tables(&host, Some(&path)), NOTHING);
    tool.assert_finds_nothing();
}

fn chain_of_process(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let (tree, path) = start_sharing_tree(&host);
        make_tables(&host, None, flavour);
        let filters = Filters::of_namespace(&host, &path, flavour);
        let open = filters.lines("iptables");
        criu.dump(&host, &tree, &images_of(&host), &DumpOptions { flavour, ..DumpOptions::default() });
        assert_ne!(filters.lines("iptables"), open, "void");
        let tool = Tool::on(&host);
        let note = format!("Note: {} has a chain CRIU, and nothing ties it to this checkpoint", path.display());
        assert!(tool.show().iter().any(|line| line.starts_with(&note)), "{:#?}", tool.show());
        assert_ne!(filters.lines("iptables"), open, "{}", tool.run(&[]));
        let tool = tool.option("--netns", &path);
        assert_eq!(tool.run(&[]).code(), 0);
        assert_eq!(filters.lines("iptables"), open);
        tool.assert_finds_nothing();
    }
}

fn died(criu: &Criu) {
    for (lock, flavour) in [
        (LockMethod::Nftables, IptablesFlavour::Nft),
        (LockMethod::Iptables, IptablesFlavour::Nft),
        (LockMethod::Iptables, IptablesFlavour::Legacy),
    ] {
        let host = TestHost::new();
        make_tables(&host, None, flavour);
        let tool = Tool::on(&host);
        let before = tool.snapshot();
        dump(criu, &host, Network::Own, &DumpOptions { lock, flavour, ..DumpOptions::default() });
        let lines = tool.show();
        assert!(
            lines[0].starts_with("Network lock ") && lines[0].ends_with(" (gone)") && !lines[0].contains(" -> "),
            "{lines:#?}"
        );
        tool.assert_finds_nothing();
        assert_eq!(tool.difference_to(&before), NOTHING);
    }
}

/// As on a node where another container's network is locked. Runtimes dump with `--empty-ns net`, and then the images have
/// nothing of the namespace.
fn strange(criu: &Criu) {
    for extra in [vec![], vec!["--empty-ns".into(), "net".into()]] {
        let host = TestHost::new();
        let blue = make_namespace(&host, IptablesFlavour::Nft);
        let others = Launch::new(&[&"listen", &"0.0.0.0:0"]).network(Network::Named(blue.clone())).start(&host);
        criu.dump(&host, &others, &host.dir().with_file_name("others"), &DumpOptions::default());
        dump(criu, &host, Network::Own, &DumpOptions { extra, ..DumpOptions::default() });
        let tool = Tool::on(&host);
        let shown = tool.show();
        let note = "Note: /run/netns/blue has a chain CRIU, and nothing ties it to this checkpoint; --netns PATH would";
        assert!(shown.iter().any(|line| line == note), "{shown:#?}");
        assert!(!shown.iter().any(|line| line.contains("To remove:") || line.contains(" -> /run")), "{shown:#?}");
        assert_eq!(tool.run(&["--show", "--exit-code"]).code(), 0, "{shown:#?}");
        let removed = tool.run(&[]);
        assert_eq!(removed.code(), 0, "{removed}");
        assert!(!Net::at(&host, &blue.path()).lets_packets_pass(), "the other dump's lock was removed: {removed}");
    }
}
