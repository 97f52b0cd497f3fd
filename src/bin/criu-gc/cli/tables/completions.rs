// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The completions in packaging/completions, for shells that read files.

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use criu_gc::{KeepReason, Part};

use super::super::{Arguments, RemoveArguments, ScanArguments, WatchArguments};
use super::assert_snapshot;

/// What the words that take the options of criu-gc do.
const WORDS: [(&str, &str); 5] = [
    ("gc", "Remove what the dump left"),
    ("clean", "Remove what the dump left"),
    ("show", "List what the dump left, and change nothing"),
    ("restorable", "Undo what a killed restore left"),
    ("heal", "Give processes back what a killed dump took"),
];

/// The whole command line as one command with subcommands. The program parses it otherwise: it accepts the options of
/// criu restore too.
fn whole() -> Command {
    let words = WORDS.map(|(name, about)| main().name(name).about(about));
    let scan = ScanArguments::command().name("scan");
    let remove = RemoveArguments::command().name("rm");
    let watch = WatchArguments::command().name("watch");
    let command = main().subcommands(words).subcommand(scan).subcommand(remove).subcommand(watch);
    command.disable_help_subcommand(true).about("Show and remove exactly what a CRIU checkpoint left on this host")
}

fn main() -> Command {
    let reasons = KeepReason::ALL.into_iter().filter(|reason| reason.can_be_allowed()).map(KeepReason::name);
    let reasons = PossibleValuesParser::new(reasons);
    let parts = PossibleValuesParser::new(Part::ALL.map(Part::name));
    let command = Arguments::command().disable_help_flag(false);
    command.mut_arg("allow", |option| option.value_parser(reasons)).mut_arg("only", |option| option.value_parser(parts))
}

/// What shells ask the program for: the names of containers, which no file holds.
const NAMES: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "criu-gc.bash", include_str!("../../../../../packaging/completions/names.bash")),
    (Shell::Zsh, "_criu-gc", include_str!("../../../../../packaging/completions/names.zsh")),
    (Shell::Fish, "criu-gc.fish", include_str!("../../../../../packaging/completions/names.fish")),
];

#[test]
fn the_shells_complete_the_command_line() {
    for (shell, file, names) in NAMES {
        let mut text = Vec::new();
        generate(shell, &mut whole(), "criu-gc", &mut text);
        let text = String::from_utf8(text).expect("text");
        // clap_complete (4.6) calls the program's own hyphen one before a subcommand, in one of two places.
        let text = text.replace("criu__subcmd__gc", "criu__gc");
        let text = match shell {
            Shell::Zsh => with_names(&text, names),
            _ => format!("{text}\n{names}"),
        };
        assert_snapshot(&format!("packaging/completions/{file}"), &text);
    }
}

/// zsh's script, in which checkpoints are also names. Its last lines call what it has defined before.
fn with_names(script: &str, names: &str) -> String {
    const LAST: &str = "if [ \"$funcstack[1]\" = \"_criu-gc\" ]; then";
    let is_checkpoint = |line: &str| {
        ["'*-D+[", "'*--images-dir=[", "'::directories", "'*::directories"].iter().any(|it| line.starts_with(it))
    };
    let line = |line: &str| match line.replace(":_files' \\", ":_criu_gc_named' \\") {
        named if is_checkpoint(line) => named + "\n",
        _ => format!("{line}\n"),
    };
    let script: String = script.lines().map(line).collect();
    assert!(script.contains(":_criu_gc_named'") && script.contains(LAST), "clap_complete writes other lines");
    script.replace(LAST, &format!("{names}{LAST}"))
}
