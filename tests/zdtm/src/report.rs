// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The runs as tables, in Markdown: to be read in a terminal, and to be published as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use regex::Regex;

use crate::description::Flavour;
use crate::outcome::Outcome;

/// One run that is over.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The version of criu.
    pub(crate) criu: String,
    /// The test's name.
    pub(crate) test: String,
    /// In which namespaces.
    pub(crate) flavour: Flavour,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// All tables.
pub(crate) fn tables(records: &[Record]) -> String {
    let sections = [counts(records), residue(records), exceptions(records), failures(records)];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn counts(records: &[Record]) -> String {
    let mut lines: BTreeMap<(&str, Flavour), [usize; 5]> = BTreeMap::new();
    for record in records.iter().filter(|record| record.outcome.is_run()) {
        let counts = lines.entry((&record.criu, record.flavour)).or_default();
        let column = match record.outcome {
            Outcome::Cleaned(_) => [1, 1, 1, 1, 0],
            Outcome::Failed(_) => [1, 1, 1, 0, 1],
            Outcome::LeftNothing => [1, 1, 0, 0, 0],
            _ => [1, 0, 0, 0, 0],
        };
        counts.iter_mut().zip(column).for_each(|(count, more)| *count += more);
    }
    let mut text = "| CRIU | flavour | run | dumped | left something | cleaned | not clean |\n".to_owned();
    text.push_str("|---|---|---|---|---|---|---|\n");
    for ((criu, flavour), [run, dumped, left, cleaned, failed]) in lines {
        let flavour = flavour.name();
        line(&mut text, format_args!("| {criu} | {flavour} | {run} | {dumped} | {left} | {cleaned} | {failed} |"));
    }
    text
}

/// What each test left; runs that left the same are one line.
fn residue(records: &[Record]) -> String {
    let mut lines: BTreeMap<(&str, &str), Vec<&Record>> = BTreeMap::new();
    for record in records {
        if let Outcome::Cleaned(what) = &record.outcome {
            lines.entry((&record.test, what)).or_default().push(record);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let all: BTreeSet<_> = records.iter().map(|record| record.criu.as_str()).collect();
    let mut text = "| Test | runs | left, and cleaned |\n|---|---|---|\n".to_owned();
    for ((test, what), runs) in lines {
        line(&mut text, format_args!("| {test} | {} | {what} |", together(&runs, &all)));
    }
    text
}

/// What was not run or not dumped, by the reason.
fn exceptions(records: &[Record]) -> String {
    let mut lines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for record in records.iter().filter(|record| !record.outcome.is_failure()) {
        if !matches!(record.outcome, Outcome::Cleaned(_) | Outcome::LeftNothing) {
            lines.entry(without_numbers(&record.outcome.to_string())).or_default().push(&record.test);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut text = "| Not dumped | runs | tests |\n|---|---|---|\n".to_owned();
    for (why, mut tests) in lines {
        let runs = tests.len();
        tests.sort_unstable();
        tests.dedup();
        line(&mut text, format_args!("| {} | {runs} | {} |", cell(&why), tests.join(", ")));
    }
    text
}

fn failures(records: &[Record]) -> String {
    let failed = records.iter().filter(|record| record.outcome.is_failure());
    failed.map(|record| format!("{} {}: {}\n", record.test, run_of(record), record.outcome)).collect()
}

fn run_of(record: &Record) -> String {
    format!("{} criu {}", record.flavour.name(), record.criu)
}

/// The flavours, each with the versions of criu, if it is not all of them: `h, uns, ns (4.3)`.
fn together(runs: &[&Record], all: &BTreeSet<&str>) -> String {
    let mut versions: BTreeMap<Flavour, BTreeSet<&str>> = BTreeMap::new();
    for record in runs {
        versions.entry(record.flavour).or_default().insert(&record.criu);
    }
    let text = |(flavour, versions): (Flavour, BTreeSet<&str>)| match versions == *all {
        true => flavour.name().to_owned(),
        false => format!("{} ({})", flavour.name(), versions.into_iter().collect::<Vec<_>>().join(", ")),
    };
    versions.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Numbers of processes, mounts and sockets would make every run a reason of its own; those in names stay.
fn without_numbers(text: &str) -> String {
    Regex::new(r"\b(?:0x)?[0-9a-f]*\d[0-9a-f]*\b").expect("an expression").replace_all(text, "N").into_owned()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a text in memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(criu: &str, test: &str, flavour: Flavour, outcome: Outcome) -> Record {
        Record { criu: criu.to_owned(), test: test.to_owned(), flavour, outcome }
    }

    #[test]
    fn all_tables() {
        use Flavour::{Host, Own};
        let cleaned = || Outcome::Cleaned("1 link remap".to_owned());
        let records = [
            record("4.2.1", "static/a", Host, cleaned()),
            record("4.3", "static/a", Host, cleaned()),
            record("4.3", "static/a", Own, cleaned()),
            record("4.3", "static/b", Host, Outcome::NotDumped("a | 12 0x1f".to_owned())),
            record("4.3", "static/c", Host, Outcome::NotDumped("a | 345 0x2be".to_owned())),
            record("4.3", "static/d", Host, Outcome::Skipped("it is for vax".to_owned())),
            record("4.3", "static/e", Own, Outcome::Failed(vec!["still there: x".to_owned()])),
        ];
        let expected = "\
| CRIU | flavour | run | dumped | left something | cleaned | not clean |
|---|---|---|---|---|---|---|
| 4.2.1 | h | 1 | 1 | 1 | 1 | 0 |
| 4.3 | h | 3 | 1 | 1 | 1 | 0 |
| 4.3 | ns | 2 | 2 | 2 | 1 | 1 |

| Test | runs | left, and cleaned |
|---|---|---|
| static/a | h, ns (4.3) | 1 link remap |

| Not dumped | runs | tests |
|---|---|---|
| not dumped: a \\| N N | 2 | static/b, static/c |
| skipped: it is for vax | 1 | static/d |

static/e ns criu 4.3: FAILED
  still there: x
";
        assert_eq!(tables(&records), expected);
    }
}
