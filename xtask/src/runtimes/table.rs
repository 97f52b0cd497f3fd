// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The table of docs/runtimes.md: a row an engine, a column a release.

use std::fs;

use super::Outcome;
use crate::cargo;
use crate::error::Error;
use crate::tree::{file, write};

/// What stands around the table in the page.
const MARKS: (&str, &str) = ("<!-- What `cargo xtask runtimes` prints. -->\n", "<!-- End. -->\n");

/// An engine: its name in the table, the package whose version is told, and what the names of its tests contain.
const ENGINES: [(&str, &str, &str); 8] = [
    ("Docker", "docker.io", "Docker"),
    ("containerd: `ctr`", "containerd", "ctr"),
    ("containerd: its CRI service", "containerd", "real CRI"),
    ("LXC", "lxc", "LXC"),
    ("Incus", "incus-base", "Incus"),
    ("podman", "podman", "podman"),
    ("podman with crun", "crun", "podman, crun"),
    ("runc", "runc", "runc"),
];

/// Where something has gone wrong before criu-gc is called, and what the name of the test contains.
const SITUATIONS: [(&str, &str); 6] = [
    (
        "Docker: `docker start` after the checkpoint, at once and after a second",
        "real Docker: what a checkpoint left is removed beside the container, started afresh",
    ),
    ("Docker: `--restart always`", "that Docker restarts"),
    ("Docker: `docker start --checkpoint` failed", "real Docker: what a failed start"),
    ("CRI: the restore failed in the pod", "after a failed restore in the pod"),
    ("CRI: the restore failed, and the next attempt runs", "beside the next attempt"),
    ("podman: the restore failed", "after a restore by podman that failed"),
];

/// The tables, and the tests that failed.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let heads: String = outcomes.iter().map(|outcome| format!(" {} |", outcome.release)).collect();
    let rule = "---|".repeat(outcomes.len());
    let mut text = format!("| Runtime |{heads}\n|---|{rule}\n");
    for engine in ENGINES {
        let cells: String = outcomes.iter().map(|outcome| format!(" {} |", cell(outcome, engine))).collect();
        text += &format!("| {} |{cells}\n", engine.0);
    }
    text += &format!("\n| Then criu-gc |{heads}\n|---|{rule}\n");
    for (situation, name) in SITUATIONS {
        let cells: String = outcomes.iter().map(|outcome| format!(" {} |", answer(outcome, name))).collect();
        text += &format!("| {situation} |{cells}\n");
    }
    let failed: Vec<String> = outcomes.iter().flat_map(failed).collect();
    if !failed.is_empty() {
        text += &format!("\n{}\n", failed.join("\n"));
    }
    text
}

/// Writes the table to the page.
pub(super) fn publish(table: &str) -> Result<(), Error> {
    let page = cargo::workspace().join("docs/runtimes.md");
    let text = fs::read_to_string(&page).map_err(file("read", &page))?;
    let parts = text.split_once(MARKS.0).and_then(|(head, rest)| Some((head, rest.split_once(MARKS.1)?.1)));
    let (head, tail) = parts.ok_or_else(|| Error::Layout { place: page.clone(), what: "table" })?;
    write(&page, &format!("{head}{}{table}{}{tail}", MARKS.0, MARKS.1))
}

fn cell(outcome: &Outcome, (_, package, word): (&str, &str, &str)) -> String {
    let tests: Vec<_> = outcome.tests.iter().filter(|test| test.name.contains(word)).collect();
    let passed = tests.iter().filter(|test| test.has_passed).count();
    let version = outcome.versions.iter().find(|(name, _)| name == package).map(|(_, version)| upstream(version));
    match (tests.len(), version) {
        (0, _) | (_, None) => "not tested".to_owned(),
        (all, Some(version)) => format!("{version}: {passed} of {all}"),
    }
}

fn answer(outcome: &Outcome, name: &str) -> &'static str {
    let tests: Vec<_> = outcome.tests.iter().filter(|test| test.name.contains(name)).collect();
    match tests.iter().all(|test| test.has_passed) {
        true if tests.is_empty() => "not tested",
        true => "removes all, and the network is free",
        false => "fails",
    }
}

/// A version without Debian's epoch and revision: `1:5.0.2-1+deb12u4` is 5.0.2, and `1.6.20~ds1-1` is 1.6.20.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['-', '+', '~']).next().unwrap_or(version)
}

fn failed(outcome: &Outcome) -> impl Iterator<Item = String> {
    let failed = outcome.tests.iter().filter(|test| !test.has_passed);
    failed.map(|test| format!("- {}: failed: {} (criu {})", outcome.release, test.name, test.criu))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::core::Test;

    #[test]
    fn the_table_has_a_row_for_each_engine() {
        let test = |name: &str, has_passed| Test { name: name.to_owned(), criu: "4.3".to_owned(), has_passed };
        let outcome = Outcome {
            release: "Debian 12".to_owned(),
            versions: vec![("lxc".to_owned(), "1:5.0.2-1+deb12u4".to_owned())],
            tests: vec![test("real LXC: a", true), test("real LXC: b", false), test("by podman", true)],
        };
        let table = table(&[outcome]);
        assert!(table.starts_with("| Runtime | Debian 12 |\n|---|---|\n| Docker | not tested |\n"), "{table}");
        assert!(table.contains("\n| LXC | 5.0.2: 1 of 2 |\n"), "{table}");
        assert!(table.contains("\n| podman | not tested |\n"), "{table}");
        assert!(table.contains("\n| podman: the restore failed | not tested |\n"), "{table}");
        assert!(table.ends_with("\n\n- Debian 12: failed: real LXC: b (criu 4.3)\n"), "{table}");
    }

    #[test]
    fn versions_are_those_of_the_engines() {
        for (version, expected) in
            [("20.10.24+dfsg1-1", "20.10.24"), ("1.6.20~ds1-1", "1.6.20"), ("1:7.0.0-2+b1", "7.0.0")]
        {
            assert_eq!(upstream(version), expected);
        }
    }
}
