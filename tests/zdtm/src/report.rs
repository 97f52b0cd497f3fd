// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The runs as tables, in Markdown: to be read in a terminal, and to be published as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;

use crate::description::Flavour;
use crate::outcome::{Class, Outcome};
use crate::transcript::Transcript;

/// How many of the slowest runs are named.
const SLOWEST: usize = 5;

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
    /// Whether that fails what was asked for.
    pub(crate) has_failed: bool,
    /// How long it took.
    pub(crate) duration: Duration,
}

/// What is printed when a run is over: what came of it, and if it failed, what its actions said.
pub(crate) struct Line<'a> {
    pub(crate) record: &'a Record,
    /// How many are over, this one too.
    pub(crate) number: usize,
    /// How many there are to be.
    pub(crate) of: usize,
    pub(crate) transcript: &'a Transcript,
}

impl Record {
    /// Where below a directory its transcript is kept.
    pub(crate) fn place(&self, directory: &Path) -> PathBuf {
        directory.join(self.criu.replace('/', "_")).join(self.flavour.name()).join(&self.test)
    }

    fn name(&self) -> String {
        format!("{} {} criu {}", self.test, self.flavour.name(), self.criu)
    }
}

impl Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, number, of, transcript } = self;
        let seconds = record.duration.as_secs_f32();
        write!(formatter, "[{number}/{of}] {}, {seconds:.1} s: {}", record.name(), record.outcome)?;
        if record.has_failed { write!(formatter, "\n{transcript}") } else { Ok(()) }
    }
}

/// All tables.
pub(crate) fn tables(records: &[Record]) -> String {
    let sections = [counts(records), residue(records), exceptions(records), failures(records)];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

/// How long all took, and which took longest.
pub(crate) fn durations(records: &[Record], all: Duration) -> String {
    let mut slowest: Vec<&Record> = records.iter().collect();
    slowest.sort_by_key(|record| std::cmp::Reverse(record.duration));
    let named = slowest.into_iter().take(SLOWEST);
    let named = named.map(|record| format!("{} {:.1} s", record.name(), record.duration.as_secs_f32()));
    let (runs, all) = (records.len(), all.as_secs_f32());
    format!("{runs} runs in {all:.1} s; the slowest: {}", named.collect::<Vec<_>>().join(", "))
}

/// Each run in one column. Columns that hold nothing are left out, but for the first three.
fn counts(records: &[Record]) -> String {
    let mut lines: BTreeMap<(&str, Flavour), BTreeMap<Class, usize>> = BTreeMap::new();
    for record in records {
        let line = lines.entry((&record.criu, record.flavour)).or_default();
        *line.entry(record.outcome.class()).or_default() += 1;
    }
    let is_used = |class: &Class| lines.values().any(|line| line.contains_key(class));
    let always = &Class::ALL[..3];
    let columns: Vec<_> = Class::ALL.into_iter().filter(|class| always.contains(class) || is_used(class)).collect();
    let heads: String = columns.iter().map(|class| format!(" {} |", class.name())).collect();
    let mut text = format!("| CRIU | flavour | runs |{heads}\n|---|---|---|{}\n", "---|".repeat(columns.len()));
    for ((criu, flavour), counts) in &lines {
        let cell = |class: &Class| format!(" {} |", counts.get(class).copied().unwrap_or_default());
        let cells: String = columns.iter().map(cell).collect();
        let runs: usize = counts.values().sum();
        line(&mut text, format_args!("| {criu} | {} | {runs} |{cells}", flavour.name()));
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
    for record in records.iter().filter(|record| !record.has_failed) {
        if !record.outcome.class().is_dumped() {
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
    let failed = records.iter().filter(|record| record.has_failed);
    let lines: String = failed.map(|record| format!("{}: {}\n", record.name(), record.outcome)).collect();
    if lines.is_empty() { lines } else { format!("Failed:\n{lines}") }
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

fn line(text: &mut String, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a text in memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::outcome::Demand;

    fn record(criu: &str, test: &str, flavour: Flavour, outcome: Outcome) -> Record {
        let has_failed = outcome.fails(Demand::Truth);
        let duration = Duration::from_millis(1500);
        Record { criu: criu.to_owned(), test: test.to_owned(), flavour, outcome, has_failed, duration }
    }

    #[test]
    fn all_tables() {
        use Flavour::{Host, Own};
        let cleaned = || Outcome::Cleaned("1 link remap".to_owned());
        let not_dumped = |why: &str| Outcome::NotDumped(why.to_owned(), Vec::new());
        let records = [
            record("4.2.1", "static/a", Host, cleaned()),
            record("4.3", "static/a", Host, cleaned()),
            record("4.3", "static/a", Own, cleaned()),
            record("4.3", "static/b", Host, not_dumped("a | 12 0x1f")),
            record("4.3", "static/c", Host, not_dumped("a | 345 0x2be")),
            record("4.3", "static/d", Host, Outcome::Skipped("it is for vax".to_owned())),
            record("4.3", "static/e", Own, Outcome::NotClean(vec!["still there: x".to_owned()])),
            record("4.3", "static/f", Own, Outcome::NotStarted("it said nothing".to_owned())),
            record("4.3", "static/g", Own, Outcome::Hung("dump did not end within 3 s".to_owned())),
        ];
        let expected = "\
| CRIU | flavour | runs | cleaned | left nothing | not clean | not dumped | not started | hung | skipped |
|---|---|---|---|---|---|---|---|---|---|
| 4.2.1 | h | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 |
| 4.3 | h | 4 | 1 | 0 | 0 | 2 | 0 | 0 | 1 |
| 4.3 | ns | 4 | 1 | 0 | 1 | 0 | 1 | 1 | 0 |

| Test | runs | left, and cleaned |
|---|---|---|
| static/a | h, ns (4.3) | 1 link remap |

| Not dumped | runs | tests |
|---|---|---|
| not dumped: a \\| N N | 2 | static/b, static/c |
| not started: it said nothing | 1 | static/f |
| skipped: it is for vax | 1 | static/d |

Failed:
static/e ns criu 4.3: NOT CLEAN
  still there: x
static/g ns criu 4.3: hung: dump did not end within 3 s
";
        assert_eq!(tables(&records), expected);
    }

    #[test]
    fn the_slowest_are_named() {
        let took = |name: &str, seconds| {
            let record = record("4.3", name, Flavour::Host, Outcome::LeftNothing);
            Record { duration: Duration::from_secs(seconds), ..record }
        };
        let records: Vec<_> = (1..=7).map(|seconds| took(&format!("own/{seconds}"), seconds)).collect();
        let text = durations(&records, Duration::from_secs(20));
        assert!(text.starts_with("7 runs in 20.0 s; the slowest: own/7 h criu 4.3 7.0 s, own/6 h"), "{text}");
        assert_eq!(text.matches("criu").count(), SLOWEST);
    }

    #[test]
    fn a_line_shows_what_was_said_if_the_run_failed() {
        let mut transcript = Transcript::default();
        transcript.record_text("test", "its own output, a.out", "a line\n".to_owned());
        let line = |outcome| {
            let record = record("4.3", "static/a", Flavour::Host, outcome);
            Line { record: &record, number: 3, of: 9, transcript: &transcript }.to_string()
        };
        assert_eq!(line(Outcome::LeftNothing), "[3/9] static/a h criu 4.3, 1.5 s: left nothing");
        let failed = "[3/9] static/a h criu 4.3, 1.5 s: hung: why\n  test: its own output, a.out\n    a line\n";
        assert_eq!(line(Outcome::Hung("why".to_owned())), failed);
    }
}
