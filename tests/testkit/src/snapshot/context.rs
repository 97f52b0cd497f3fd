// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listings of rules, with each line told where it belongs: a rule that moves to another table is
//! another line.

/// The output of `nft list`: blocks in braces, indented.
pub(super) fn of_blocks(listing: &str) -> Vec<String> {
    let mut blocks: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for line in listing.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let text = line.split(" # handle ").next().unwrap_or(line);
        match text.strip_suffix(" {") {
            Some(block) => {
                lines.push(within(&blocks, line.trim_end_matches(" {")));
                blocks.push(block);
            }
            None if text == "}" => drop(blocks.pop()),
            None => lines.push(within(&blocks, line)),
        }
    }
    lines
}

/// The output of `iptables-save`: tables that start with `*` and end with `COMMIT`.
pub(super) fn of_tables(listing: &str) -> Vec<String> {
    let mut table = Vec::new();
    let mut lines = Vec::new();
    for line in listing.lines().filter(|line| !line.starts_with('#') && *line != "COMMIT") {
        match line.strip_prefix('*') {
            Some(name) => table = vec![name],
            None => lines.push(within(&table, line)),
        }
    }
    lines
}

fn within(blocks: &[&str], line: &str) -> String {
    let words = blocks.iter().chain([&line]).copied();
    words.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let listing = "table inet T { # handle 1\n\tset s { # handle 2\n\t\telements = { 1,\n\t\t\t 2 }\n\t}\n\n\
                       \tchain c { # handle 3\n\t\ttcp dport 1 drop # handle 4\n\t}\n}\n";
        let expected = [
            "table inet T { # handle 1",
            "table inet T: set s { # handle 2",
            "table inet T: set s: elements = { 1,",
            "table inet T: set s: 2 }",
            "table inet T: chain c { # handle 3",
            "table inet T: chain c: tcp dport 1 drop # handle 4",
        ];
        assert_eq!(of_blocks(listing), expected);
    }

    #[test]
    fn tables() {
        let listing = "# Generated\n*filter\n:INPUT ACCEPT\n-A INPUT -j DROP\nCOMMIT\n*nat\n:INPUT ACCEPT\nCOMMIT\n";
        assert_eq!(of_tables(listing), ["filter: :INPUT ACCEPT", "filter: -A INPUT -j DROP", "nat: :INPUT ACCEPT"]);
    }
}
