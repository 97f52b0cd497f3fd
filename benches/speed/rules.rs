// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many locked connections, and many rules of others.
//!
//! The images name sockets that the dumped tree did not have, so criu-gc reports what it misses of them (status 1).

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use testkit::{LockMethod, TestHost};

use crate::checkpoints::{Dumped, touch};
use crate::measure::{Limit, Line, Report, Subject, assert_says, interleave};

/// iptables-legacy.
pub(crate) fn legacy(report: &mut Report) {
    backend(report, "legacy", &[1_000, 5_000, 25_000]);
}

/// iptables-nft.
pub(crate) fn nft(report: &mut Report) {
    backend(report, "nft", &[1_000, 5_000, 25_000]);
}

fn backend(report: &mut Report, name: &str, sizes: &[usize]) {
    let host = TestHost::new();
    let dumped = Dumped::connected(&host, LockMethod::Iptables);
    let images = host.dir().join("connections");
    let tool = format!("iptables-{name}");
    for size in sizes {
        let connections = connections(*size);
        dumped.with_connections(&images, &connections);
        let rules = host.dir().join("rules");
        fs::write(&rules, script("-I", connections.iter().flat_map(rules_of))).expect("a file");
        let script = format!("{tool} -F INPUT; {tool} -F OUTPUT; {tool}-restore --noflush < {}", rules.display());
        let fill = || {
            host.run("sh", &[&"-e", &"-c", &script]);
            touch(&images);
        };
        fill();
        assert_says(&host, &["--show"], &images, "to be removed");
        let rounds = if *size > 5_000 { 3 } else { 7 };
        let (floor, peer) = match name {
            "legacy" => ("legacy-dump", Subject::new("iptables-legacy-save")),
            _ => ("nft-dump", Subject::new("nft").args(["-a", "list", "ruleset"])),
        };
        let show = Subject::criu_gc().args(["--show"]).args([&images]);
        let [floor, peer, ours] = interleave(&host, [Subject::floor(floor), peer, show], rounds);
        let limit = if name == "legacy" && *size == 5_000 { Limit::Floor(5.0) } else { Limit::None };
        let peer_name = if name == "legacy" { "iptables-legacy-save" } else { "nft -a list" };
        let work = format!("{name} connections, show");
        report.add(&Line {
            work: &work,
            size: *size,
            floor: Some(floor),
            peer: Some((peer_name, peer)),
            ours,
            limits: &[limit],
        });
        remove(report, &host, name, &images, &fill, *size);
    }
}

fn remove(report: &mut Report, host: &TestHost, name: &str, images: &Path, fill: &dyn Fn(), size: usize) {
    let work = format!("{name} connections, removal");
    assert_says(host, &["--yes"], images, "removed)");
    let removal = || Subject::criu_gc().args(["--yes"]).args([images]).after(fill).ending_with(&[0, 1]);
    let rounds = if size > 5_000 { 3 } else { 5 };
    if name == "legacy" {
        let [ours] = interleave(host, [removal()], rounds);
        let limits: &[Limit] = if size == 5_000 { &[Limit::Milliseconds(250)] } else { &[] };
        return report.add(&Line { work: &work, size, floor: None, peer: None, ours, limits });
    }
    let [floor, ours] = interleave(host, [Subject::floor("nft-flush").after(fill), removal()], rounds);
    let limits: &[Limit] = if size == 5_000 { &[Limit::Floor(2.0)] } else { &[] };
    report.add(&Line { work: &work, size, floor: Some(floor), peer: None, ours, limits });
}

/// A table of nftables with sets.
pub(crate) fn table(report: &mut Report) {
    let host = TestHost::new();
    let dumped = Dumped::connected(&host, LockMethod::Nftables);
    let images = host.dir().join("connections");
    let run_id = dumped.inventory().dump_criu_run_id.expect("a run id");
    let name = format!("CRIU-{}", String::from_utf8_lossy(&run_id));
    let size = 5_000;
    let connections = connections(size);
    dumped.with_connections(&images, &connections);
    let table = host.dir().join("table");
    fs::write(&table, table_of(&name, &connections)).expect("a file");
    let refill = format!("nft delete table inet {name} 2>/dev/null || true; nft -f {}", table.display());
    let fill = || {
        host.run("sh", &[&"-e", &"-c", &refill]);
        touch(&images);
    };
    fill();
    assert_says(&host, &["--show"], &images, "to be removed");
    let list = Subject::new("nft").args(["list", "table", "inet", &name]);
    let [peer, ours] = interleave(&host, [list, Subject::criu_gc().args(["--show"]).args([&images])], 7);
    let (floor, peer) = (None, Some(("nft list table", peer)));
    report.add(&Line { work: "lock table, show", size, floor, peer, ours, limits: &[] });
    let delete = Subject::new("nft").args(["delete", "table", "inet", &name]).after(&fill);
    let [peer, ours] = interleave(
        &host,
        [delete, Subject::criu_gc().args(["--yes"]).args([&images]).after(&fill).ending_with(&[0, 1])],
        7,
    );
    let peer = Some(("nft delete table", peer));
    report.add(&Line { work: "lock table, removal", size, floor, peer, ours, limits: &[] });
}

/// A container's lock chain next to the rules of a cluster.
pub(crate) fn strangers(report: &mut Report) {
    const RULES: usize = 20_000;
    for (backend, table, floor, limit) in
        [("nft", "filter", "nft-chains", Limit::Floor(2.0)), ("legacy", "nat", "legacy-dump", Limit::Floor(5.0))]
    {
        let host = TestHost::new();
        let (dumped, _) = Dumped::container(&host);
        let rules = host.dir().join("rules");
        let mut text = format!("*{table}\n:STRANGER - [0:0]\n");
        for number in 0..RULES {
            let (address, target) =
                (stranger(number), if table == "nat" { "DNAT --to-destination 10.0.0.1:80" } else { "REJECT" });
            writeln!(text, "-A STRANGER -d {address}/32 -p tcp -m tcp --dport 80 -j {target}").expect("memory");
        }
        text.push_str("COMMIT\n");
        fs::write(&rules, text).expect("a file");
        if backend == "legacy" {
            host.run("iptables-legacy", &[&"-t", &"filter", &"-L", &"-n"]);
        }
        host.run("sh", &[&"-e", &"-c", &format!("iptables-{backend}-restore --noflush < {}", rules.display())]);
        let show = Subject::criu_gc().args(["--show"]).args([&dumped.images]);
        let save = format!("iptables-{backend}-save");
        let [floor, peer, ours] = interleave(&host, [Subject::floor(floor), Subject::new(&save), show], 7);
        let work = format!("rules of others in {table} ({backend}), show of a container's");
        let peer = Some((save.as_str(), peer));
        report.add(&Line { work: &work, size: RULES, floor: Some(floor), peer, ours, limits: &[limit] });
    }
}

fn stranger(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a80_0000 + u32::try_from(number).expect("a number"))
}

fn connections(count: usize) -> Vec<(SocketAddrV4, SocketAddrV4)> {
    let (local, peer) = (Ipv4Addr::new(10, 0, 0, 1), SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 80));
    (10_000..).take(count).map(|port| (SocketAddrV4::new(local, port), peer)).collect()
}

/// The two that CRIU inserts for a connection.
fn rules_of((local, peer): &(SocketAddrV4, SocketAddrV4)) -> [String; 2] {
    let rule = |chain: &str, from: &SocketAddrV4, to: &SocketAddrV4| {
        format!(
            "{chain} -p tcp -m mark ! --mark 0xC114 -s {}/32 --sport {} -d {}/32 --dport {} -j DROP",
            from.ip(),
            from.port(),
            to.ip(),
            to.port()
        )
    };
    [rule("INPUT", peer, local), rule("OUTPUT", local, peer)]
}

fn script(verb: &str, rules: impl Iterator<Item = String>) -> String {
    let mut text = String::from("*filter\n");
    rules.for_each(|rule| writeln!(text, "{verb} {rule}").expect("memory"));
    text.push_str("COMMIT\n");
    text
}

fn table_of(name: &str, connections: &[(SocketAddrV4, SocketAddrV4)]) -> String {
    let element = |from: &SocketAddrV4, to: &SocketAddrV4| {
        format!("{} . {} . {} . {}", from.ip(), from.port(), to.ip(), to.port())
    };
    let elements: Vec<String> =
        connections.iter().flat_map(|(local, peer)| [element(local, peer), element(peer, local)]).collect();
    let mut text = format!(
        "table inet {name} {{\nset conns4 {{ type ipv4_addr . inet_service . ipv4_addr . inet_service; elements = {{ {} }}; }}\n\
         set conns6 {{ type ipv6_addr . inet_service . ipv6_addr . inet_service; }}\n",
        elements.join(",")
    );
    for chain in ["output", "input"] {
        writeln!(
            text,
            "chain {chain} {{ type filter hook {chain} priority filter; policy accept; meta mark 0xc114 accept; \
             ip saddr . tcp sport . ip daddr . tcp dport @conns4 drop; \
             ip6 saddr . tcp sport . ip6 daddr . tcp dport @conns6 drop; }}"
        )
        .expect("memory");
    }
    text.push_str("}\n");
    text
}
