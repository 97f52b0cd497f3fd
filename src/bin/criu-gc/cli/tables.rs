// SPDX-License-Identifier: Apache-2.0 OR MIT
//! README.md, the manual pages and the shells' completions say of each option, reason and exit status what the program
//! says.
//!
//! `CRIU_GC_WRITE_SNAPSHOTS=1` writes them again.

mod completions;
mod manual;

use std::fs;
use std::path::Path;

use clap::{Arg, CommandFactory};
use criu_gc::KeepReason;

use super::{Arguments, RemoveArguments, ScanArguments, WatchArguments};
use crate::exit::ExitStatus;

fn options(mut command: clap::Command) -> String {
    command.build();
    let rows = command.get_arguments().filter(|option| !option.is_positional()).map(option_row);
    format!("| Option | Meaning |\n|---|---|\n{}", rows.collect::<String>())
}

fn option_row(option: &Arg) -> String {
    let short = option.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let takes_value = option.get_action().takes_values();
    let values = option.get_value_names().filter(|_| takes_value).unwrap_or_default();
    let value: String = values.iter().map(|name| format!(" {name}")).collect();
    let long = option.get_long().expect("a long name");
    let help = option.get_help().expect("a sentence").to_string();
    format!("| {short}`--{long}{value}` | {help} |\n")
}

fn reasons() -> String {
    let row = |reason: KeepReason| {
        let remedy = match reason.can_be_allowed() {
            true => format!("`{}`", reason.remedy()),
            false => reason.remedy().to_owned(),
        };
        format!("| `{reason}` | {} | {remedy} |\n", reason.explanation())
    };
    let rows: String = KeepReason::ALL.into_iter().map(row).collect();
    format!("| Reason | Meaning | To remove |\n|---|---|---|\n{rows}")
}

fn exit_statuses() -> String {
    let row = |status: ExitStatus| format!("| {} | {} |\n", status as u8, status.explanation());
    let rows: String = ExitStatus::ALL.into_iter().map(row).collect();
    format!("| Exit status | Meaning |\n|---|---|\n{rows}")
}

/// The text with this table between its two marks.
fn with_table(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).expect("a mark before the table");
    let (_, after) = rest.split_once(&end).expect("a mark behind the table");
    format!("{before}{begin}{table}{end}{after}")
}

/// Compares the text with the file, or writes that.
#[track_caller]
fn assert_snapshot(name: &str, text: &str) {
    let path = in_tree(name);
    if std::env::var_os("CRIU_GC_WRITE_SNAPSHOTS").is_some() {
        fs::write(&path, text).expect(name);
        return;
    }
    let found = fs::read_to_string(&path).expect(name);
    assert_eq!(found, text, "{name}: CRIU_GC_WRITE_SNAPSHOTS=1 writes it again");
}

fn in_tree(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn the_readme_has_the_tables_of_the_program() {
    let text = fs::read_to_string(in_tree("README.md")).expect("README.md");
    let tables = [
        ("options", options(Arguments::command())),
        ("scan options", options(ScanArguments::command())),
        ("rm options", options(RemoveArguments::command())),
        ("watch options", options(WatchArguments::command())),
        ("reasons", reasons()),
        ("exit statuses", exit_statuses()),
    ];
    let expected = tables.iter().fold(text.clone(), |text, (name, table)| with_table(&text, name, table));
    assert_snapshot("README.md", &expected);
}

#[test]
fn every_sentence_is_one() {
    let commands =
        [Arguments::command(), ScanArguments::command(), RemoveArguments::command(), WatchArguments::command()];
    let helps = commands.into_iter().flat_map(|mut command| {
        command.build();
        let helps = command.get_arguments().map(|option| option.get_help().expect("a sentence").to_string());
        helps.collect::<Vec<_>>()
    });
    let reasons = KeepReason::ALL.map(|reason| reason.explanation().to_owned());
    let statuses = ExitStatus::ALL.map(|status| status.explanation().to_owned());
    for sentence in helps.chain(reasons).chain(statuses) {
        assert!(!sentence.is_empty() && !sentence.contains(". ") && !sentence.ends_with('.'), "{sentence}");
    }
}
