// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packet filters of a host's network namespaces, as their own programs list them.

use std::fs;

use super::context;
use crate::command::CommandExt;
use crate::host::TestHost;
use crate::host::network::NetNamespace;

/// Lists the packet filters of a namespace, each listing below a line with the name of its program. Where the kernel has
/// no list of legacy tables, its module is not loaded; `iptables-legacy-save` would make the tables that it does not find.
const LIST: &str = r#"
list() { echo "== $1"; "$@"; }
list nft -a list ruleset
list iptables-nft-save
list ip6tables-nft-save
for family in ip ip6; do
    table=
    [ ! -e /proc/net/${family}_tables_names ] || read -r table < /proc/net/${family}_tables_names || true
    [ -z "$table" ] || list ${family}tables-legacy-save
done
"#;

/// One section a namespace and program.
pub(super) fn sections(host: &TestHost) -> Vec<(String, Vec<String>)> {
    let names = fs::read_dir(host.path("/run/netns")).expect("the host's /run/netns");
    let names = names.map(|entry| entry.expect("a directory's entry").file_name());
    let named = names.map(|name| Some(NetNamespace::named(name.to_str().expect("a UTF-8 name"))));
    std::iter::once(None).chain(named).flat_map(|place| of_namespace(host, place.as_ref())).collect()
}

fn of_namespace(host: &TestHost, place: Option<&NetNamespace>) -> Vec<(String, Vec<String>)> {
    let (name, path) = place.map_or(("the host", None), |place| (place.name(), Some(place.path())));
    let listed = host.command_in(path.as_deref(), "sh").args(["-e", "-c", LIST]).succeed().stdout;
    let section = |listing: &str| {
        let (program, lines) = listing.split_once('\n').unwrap_or((listing, ""));
        let lines = without_counters(lines);
        let lines = if program == "nft" { context::of_blocks(&lines) } else { context::of_tables(&lines) };
        (format!("{program} in {name}"), lines)
    };
    format!("\n{listed}").split("\n== ").skip(1).map(section).collect()
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
