// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packet filters of a host's network namespaces, as their own programs list them.

use std::fs;
use std::process::Command;

use super::context;
use crate::command::CommandExt;
use crate::host::TestHost;
use crate::host::network::NetNamespace;

/// The iptables that keeps its rules in nftables.
const NFT: [&str; 2] = ["iptables-nft-save", "ip6tables-nft-save"];

/// The families of the legacy iptables: the kernel's list of tables, the program that shows them.
const LEGACY: [(&str, &str); 2] =
    [("/proc/net/ip_tables_names", "iptables-legacy-save"), ("/proc/net/ip6_tables_names", "ip6tables-legacy-save")];

/// One section a namespace and program.
pub(super) fn sections(host: &TestHost) -> Vec<(String, Vec<String>)> {
    let names = fs::read_dir(host.path("/run/netns")).expect("the host's /run/netns");
    let names = names.map(|entry| entry.expect("a directory's entry").file_name());
    let named = names.map(|name| Some(NetNamespace::named(name.to_str().expect("a UTF-8 name"))));
    std::iter::once(None).chain(named).flat_map(|place| of_namespace(host, place.as_ref())).collect()
}

fn of_namespace(host: &TestHost, place: Option<&NetNamespace>) -> Vec<(String, Vec<String>)> {
    let name = place.map_or("the host", NetNamespace::name);
    let output = |words: &[&str]| without_counters(&entered(host, place).args(words).succeed().stdout);
    let tables = |program: &str| (format!("{program} in {name}"), context::of_tables(&output(&[program])));
    let blocks = context::of_blocks(&output(&["nft", "-a", "list", "ruleset"]));
    let mut sections = vec![(format!("nft in {name}"), blocks)];
    sections.extend(NFT.map(tables));
    for (names, program) in LEGACY {
        // The program makes the tables that it does not find. The list is missing until the kernel's module is loaded.
        if !output(&["sh", "-c", "[ ! -e \"$0\" ] || cat \"$0\"", names]).is_empty() {
            sections.push(tables(program));
        }
    }
    sections
}

fn entered(host: &TestHost, place: Option<&NetNamespace>) -> Command {
    let mut command = host.command("nsenter");
    command.args(place.map(NetNamespace::entry)).arg("--");
    command
}

/// Drops `packets N bytes M` and `[N:M]`.
fn without_counters(listing: &str) -> String {
    listing.lines().flat_map(|line| [line_without_counters(line), "\n".to_owned()]).collect()
}

fn line_without_counters(line: &str) -> String {
    let mut words = Vec::new();
    let mut rest = line.split(' ');
    while let Some(word) = rest.next() {
        let is_pair = word.starts_with('[') && word.ends_with(']') && word.contains(':');
        match word {
            "packets" | "bytes" => drop(rest.next()),
            _ if is_pair => {}
            _ => words.push(word),
        }
    }
    words.join(" ")
}
