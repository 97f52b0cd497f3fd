// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask kernels`: the core on every kernel, and the table of docs/kernels.md.

use std::collections::BTreeSet;
use std::fs;

use machine::Kernel;

use super::core::{self, Outcome, Results};
use super::provision;
use crate::error::Error;
use crate::tree::{file, write};
use crate::{cargo, program};

/// What stands around the table in the page.
const MARKS: (&str, &str) = ("<!-- What `cargo xtask kernels` prints. -->\n", "<!-- End. -->\n");

/// Runs the core on the kernels, prints the table, and writes it to docs/kernels.md if it has all kernels.
pub(crate) fn run(kernels: &[Kernel]) -> Result<(), Error> {
    provision::bring(kernels)?;
    let mut outcomes = Vec::new();
    for kernel in kernels {
        println!("\nmachine: the core on kernel {kernel}");
        outcomes.push(core::run(*kernel, &[], Results::Kept)?);
    }
    let table = table(&outcomes);
    println!("\n{table}");
    if kernels == Kernel::ALL {
        publish(&table)?;
    }
    let failures: usize = outcomes.iter().map(|outcome| failed(outcome).len()).sum();
    let all: usize = outcomes.iter().map(|outcome| outcome.tests.len()).sum();
    if failures == 0 { Ok(()) } else { Err(Error::Unclean(failures, all)) }
}

/// Runs the tests that boot machines of their own.
pub(crate) fn run_machines() -> Result<(), Error> {
    provision::bring(&[Kernel::V6_1])?;
    let mut command = cargo::privileged();
    program::stream(command.args(["test", "--locked", "--package", "criu-gc", "--test", "machines"]))
}

fn publish(table: &str) -> Result<(), Error> {
    let page = cargo::workspace().join("docs/kernels.md");
    let text = fs::read_to_string(&page).map_err(file("read", &page))?;
    let parts = text.split_once(MARKS.0).and_then(|(head, rest)| Some((head, rest.split_once(MARKS.1)?.1)));
    let (head, tail) = parts.ok_or_else(|| Error::Layout { place: page.clone(), what: "table" })?;
    write(&page, &format!("{head}{}{table}{}{tail}", MARKS.0, MARKS.1))
}

/// A row a kernel, a column a CRIU; then the tests that failed, and why a CRIU did not run.
fn table(outcomes: &[Outcome]) -> String {
    let versions = |outcome: &Outcome| {
        let ran = outcome.tests.iter().map(|test| test.criu.clone());
        ran.chain(outcome.refusals.iter().map(|(version, _)| version.clone())).collect::<Vec<_>>()
    };
    let columns: BTreeSet<String> = outcomes.iter().flat_map(versions).collect();
    let heads: String = columns.iter().map(|version| format!(" CRIU {version} |")).collect();
    let mut text = format!("| Kernel |{heads} Minutes |\n|---|{}---|\n", "---|".repeat(columns.len()));
    for outcome in outcomes {
        let cells: String = columns.iter().map(|version| format!(" {} |", cell(outcome, version))).collect();
        let minutes = outcome.duration.as_secs_f32() / 60.0;
        text += &format!("| {} |{cells} {minutes:.1} |\n", outcome.release);
    }
    let notes: Vec<String> = outcomes.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        text += &format!("\n{}\n", notes.join("\n"));
    }
    text
}

fn cell(outcome: &Outcome, version: &str) -> String {
    let tests: Vec<_> = outcome.tests.iter().filter(|test| test.criu == version).collect();
    let passed = tests.iter().filter(|test| test.has_passed).count();
    if tests.is_empty() { "does not run".to_owned() } else { format!("{passed} of {}", tests.len()) }
}

fn notes(outcome: &Outcome) -> Vec<String> {
    let release = &outcome.release;
    let failed = failed(outcome).into_iter().map(|line| format!("- {release}: failed: {line}"));
    let refused = outcome.refusals.iter().map(|(version, error)| format!("- {release}, CRIU {version}: `{error}`"));
    failed.chain(refused).collect()
}

fn failed(outcome: &Outcome) -> Vec<String> {
    let failed = outcome.tests.iter().filter(|test| !test.has_passed);
    failed.map(|test| format!("{} (criu {})", test.name, test.criu)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_kernel() {
        let test = |criu: &str, has_passed| core::Test { name: "a".to_owned(), criu: criu.to_owned(), has_passed };
        let outcome = Outcome {
            release: "6.1".to_owned(),
            tests: vec![test("4.1.1", true), test("4.3", true), test("4.3", false)],
            refusals: vec![("3.17.1".to_owned(), "Error: no".to_owned())],
            duration: Duration::from_secs(90),
        };
        let expected = "| Kernel | CRIU 3.17.1 | CRIU 4.1.1 | CRIU 4.3 | Minutes |\n|---|---|---|---|---|\n\
            | 6.1 | does not run | 1 of 1 | 1 of 2 | 1.5 |\n\n\
            - 6.1: failed: a (criu 4.3)\n- 6.1, CRIU 3.17.1: `Error: no`\n";
        assert_eq!(table(&[outcome]), expected);
    }
}
