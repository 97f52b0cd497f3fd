// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the words that somebody typed to the words that clap parses: command words, options of CRIU, abbreviations.
//!
//! clap sees every option by its full name with its value attached, and every operand behind `--`. So only
//! [`words::split`](super::words::split) decides what is an option, what is its value, and what is an operand.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::{ArgAction, Command};

use super::config::Statement;
use super::criu::{EXEC_COMMAND, HONOURED, Negation, RestoreOption, WITHOUT_EFFECT};
use super::scan::{REMOVE, SCAN};
use super::suggest;
use super::watch::WATCH;
use super::words::{Given, Known, Split, SplitError, Takes, find_long, split};
use crate::terminal::escaped;

/// What stands where CRIU has its command: the first word that is neither an option nor the value of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandWord {
    /// `gc`, of the series of 2016.
    Gc,
    /// `clean`, its name in later discussions.
    Clean,
    /// `show`, which means `--show`.
    Show,
    /// `restorable`: undoes what a failed restore left.
    Restorable,
    /// `heal`: heals processes that a killed dump left damaged.
    Heal,
}

/// A command line that was understood so far.
#[derive(Debug)]
pub(crate) struct Line {
    /// What clap parses, the program's name first.
    pub(crate) words: Vec<OsString>,
    pub(crate) command: Option<CommandWord>,
    /// The options of CRIU that change nothing, as they were typed.
    pub(crate) without_effect: Vec<String>,
}

/// What is wrong with a command line, and what may have been meant. Its words can be shown to people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// The words cannot be split.
    #[error("{0}")]
    Split(String),
    /// An option of CRIU without a command word.
    #[error("{0} is an option of criu restore: criu-gc accepts it after the word gc")]
    AfterWordOnly(String),
    /// The word `show` is not the first.
    #[error("show is a command word and comes first: did you mean --show? A directory of this name is ./show")]
    MisplacedShow,
    /// Another command word is not the first.
    #[error("{0} is a command word and comes first; a directory of this name is ./{0}")]
    Misplaced(&'static str),
    /// What getopt takes for an abbreviation of `--force-irmap`; nobody means that here.
    #[error("unknown option --force: --allow REASON ignores one reason to keep an object")]
    Force,
    /// A value is not one of those that CRIU has.
    #[error("invalid value {value:?} for {typed}: expected {expected}")]
    Value { typed: String, value: String, expected: String },
    /// A line of the configuration file.
    #[error("line {line} of the configuration file is invalid: {why}")]
    Config { line: usize, why: String },
}

/// CRIU's own level if no option says otherwise, and the highest that means more to criu-gc.
const USUAL_LEVEL: u32 = 2;
const HIGHEST_LEVEL: u32 = 4;
/// The option that counts.
const VERBOSE: &str = "verbose";
/// The option that names a checkpoint.
const IMAGES: &str = "images-dir";

impl CommandWord {
    const ALL: [CommandWord; 5] =
        [CommandWord::Gc, CommandWord::Clean, CommandWord::Show, CommandWord::Restorable, CommandWord::Heal];

    /// What people type.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            CommandWord::Gc => "gc",
            CommandWord::Clean => "clean",
            CommandWord::Show => "show",
            CommandWord::Restorable => "restorable",
            CommandWord::Heal => "heal",
        }
    }

    fn of(word: &OsStr) -> Option<Self> {
        Self::ALL.into_iter().find(|command| word == command.name())
    }
}

/// Understands a command line, the program's name first, and a CRIU configuration file.
pub(crate) fn interpret(words: &[OsString], config: &[Statement], command: &Command) -> Result<Line, LineError> {
    let known = known(command);
    let Split { options, operands } =
        split(words.get(1..).unwrap_or_default(), &known).map_err(|error| LineError::Split(message(&error, &known)))?;
    let (word, operands) = take_command_word(operands, &options)?;
    let configured = from_config(config, &known)?;
    options.iter().try_for_each(refuse_force)?;
    if let Some(given) = options.iter().find(|given| word.is_none() && restore_option(given).is_some()) {
        return Err(LineError::AfterWordOnly(given.typed.clone()));
    }
    let names_checkpoint = !operands.is_empty() || options.iter().any(|given| given.name == IMAGES);
    let configured = configured.into_iter().filter(|given| given.name != IMAGES || !names_checkpoint);
    let mut line = Line { words: Vec::new(), command: word, without_effect: Vec::new() };
    let mut options: Vec<Given> = configured.chain(options).collect();
    if word == Some(CommandWord::Show) {
        options.push(Given { name: "show".to_owned(), typed: "show".to_owned(), value: None });
    }
    let level = level(&options)?;
    let verbose = (USUAL_LEVEL..level.min(HIGHEST_LEVEL)).map(|_| OsString::from(format!("--{VERBOSE}")));
    let mut canonical: Vec<(Given, OsString)> = Vec::new();
    for given in options.into_iter().filter(|given| given.name != VERBOSE) {
        match restore_option(&given) {
            Some(option) => {
                check_value(&given, option)?;
                line.without_effect.push(given.typed);
            }
            None => add(&mut canonical, given),
        }
    }
    let program = words.first().cloned().unwrap_or_default();
    line.words = std::iter::once(program).chain(canonical.into_iter().map(|(_, word)| word)).chain(verbose).collect();
    line.words.push("--".into());
    line.words.extend(operands);
    Ok(line)
}

/// Adds an option for clap. A flag may be repeated, and the last value of a CRIU option counts, as in CRIU.
fn add(canonical: &mut Vec<(Given, OsString)>, given: Given) {
    let is_repeatable = matches!(given.name.as_str(), IMAGES | "external" | "join-ns" | "ext-mount-map" | "inherit-fd");
    let is_replaced = given.value.is_none() || (HONOURED.contains(&given.name.as_str()) && !is_repeatable);
    if is_replaced {
        canonical.retain(|(earlier, _)| earlier.name != given.name);
    }
    let mut word = match given.typed.as_str() {
        "-h" => OsString::from("-h"),
        _ => OsString::from(format!("--{}", given.name)),
    };
    if let Some(value) = &given.value {
        word.push("=");
        word.push(value);
    }
    canonical.push((given, word));
}

/// The first operand is CRIU's word. Elsewhere such a word is refused: whoever types it means no directory.
fn take_command_word(
    mut operands: Vec<OsString>,
    options: &[Given],
) -> Result<(Option<CommandWord>, Vec<OsString>), LineError> {
    let word = operands.first().and_then(|word| CommandWord::of(word));
    if word.is_some() {
        let _ = operands.remove(0);
        if options.iter().any(|given| given.name == EXEC_COMMAND) {
            // The others are a command that criu restore would run.
            operands.clear();
        }
    }
    if let Some(word) = [SCAN, REMOVE, WATCH].into_iter().find(|word| operands.iter().any(|operand| operand == word)) {
        return Err(LineError::Misplaced(word));
    }
    match operands.iter().find_map(|operand| CommandWord::of(operand)) {
        None => Ok((word, operands)),
        Some(CommandWord::Show) => Err(LineError::MisplacedShow),
        Some(other) => Err(LineError::Misplaced(other.name())),
    }
}

/// What the file says, as if it had been typed.
fn from_config(config: &[Statement], known: &[Known]) -> Result<Vec<Given>, LineError> {
    let is_of_criu = |option: &&Known| {
        option.longs.iter().any(|long| HONOURED.contains(&long.as_str())) || is_without_effect(option)
    };
    let known: Vec<Known> = known.iter().filter(is_of_criu).cloned().collect();
    let given = |Statement { line, name, value }: &Statement| {
        let at = |why: String| LineError::Config { line: *line, why };
        let option = find_long(name, &known).map_err(|error| at(message(&error, &known)))?;
        let option = option.ok_or_else(|| at(format!("criu restore has no option {}", escaped(name.as_bytes()))))?;
        match (option.takes, value) {
            (Takes::Value, None) => Err(at(format!("{name} needs a value"))),
            (Takes::Nothing, Some(_)) => Err(at(format!("{name} takes no value"))),
            (_, value) => Ok(Given { name: option.name.clone(), typed: name.clone(), value: value.clone() }),
        }
    };
    config.iter().map(given).collect()
}

fn is_without_effect(option: &Known) -> bool {
    WITHOUT_EFFECT.iter().any(|other| other.long == option.name)
}

fn restore_option(given: &Given) -> Option<&'static RestoreOption> {
    WITHOUT_EFFECT.iter().find(|option| option.long == given.name)
}

fn refuse_force(given: &Given) -> Result<(), LineError> {
    if given.typed == "--force" { Err(LineError::Force) } else { Ok(()) }
}

fn check_value(given: &Given, option: &RestoreOption) -> Result<(), LineError> {
    let is_wrong = |value: &&OsString| !option.values.is_empty() && !option.values.iter().any(|known| value == known);
    match given.value.as_ref().filter(is_wrong) {
        None => Ok(()),
        Some(value) => Err(wrong_value(given, value, format!("one of {}", option.values.join(", ")))),
    }
}

fn wrong_value(given: &Given, value: &OsStr, expected: String) -> LineError {
    LineError::Value { typed: given.typed.clone(), value: escaped(value.as_bytes()), expected }
}

/// CRIU's level: `-v` raises it by one, `-vN` sets it.
fn level(options: &[Given]) -> Result<u32, LineError> {
    options.iter().filter(|given| given.name == VERBOSE).try_fold(USUAL_LEVEL, |level, given| match &given.value {
        None => Ok(level.saturating_add(1)),
        Some(value) => {
            let number = value.to_str().and_then(|text| text.parse().ok());
            number.ok_or_else(|| wrong_value(given, value, "a number".to_owned()))
        }
    })
}

/// All options: those that clap knows, and those of CRIU.
fn known(command: &Command) -> Vec<Known> {
    let own = command.get_arguments().filter_map(|argument| {
        let name = argument.get_long()?.to_owned();
        let action = argument.get_action();
        let takes = if action.takes_values() {
            Takes::Value
        } else if matches!(action, ArgAction::Count) {
            Takes::Number
        } else {
            Takes::Nothing
        };
        let aliases = argument.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned);
        let shorts = argument.get_short().into_iter().chain(argument.get_all_short_aliases().unwrap_or_default());
        let longs = std::iter::once(name.clone()).chain(aliases).collect();
        Some(Known { name, longs, shorts: shorts.collect(), takes })
    });
    let of_criu = WITHOUT_EFFECT.iter().map(|option| {
        let negation = (option.negation == Negation::Exists).then(|| format!("no-{}", option.long));
        let longs = std::iter::once(option.long.to_owned()).chain(negation).collect();
        let shorts = option.short.into_iter().collect();
        Known { name: option.long.to_owned(), longs, shorts, takes: option.takes }
    });
    own.chain(of_criu).collect()
}

fn message(error: &SplitError, known: &[Known]) -> String {
    match error {
        SplitError::Unknown(word) => {
            let shown = escaped(word.as_bytes());
            let name = shown.trim_start_matches('-').split('=').next().unwrap_or_default();
            let own = || known.iter().filter(|option| !is_without_effect(option));
            let near = suggest::option(name, own().flat_map(|option| &option.longs).map(String::as_str));
            match near.and_then(|near| own().find(|option| option.longs.iter().any(|long| long == near))) {
                Some(option) => format!("unknown option {shown}: did you mean --{}?", option.name),
                None => format!("unknown option {shown}"),
            }
        }
        SplitError::Ambiguous { typed, names } => {
            let names: Vec<String> = names.iter().map(|name| format!("--{name}")).collect();
            format!("{typed} is ambiguous: it may be {}", names.join(", "))
        }
        SplitError::NoValue { typed, next: None } => format!("{typed} needs a value"),
        SplitError::NoValue { typed, next: Some(next) } => {
            let (next, equals) = (escaped(next.as_bytes()), if typed.starts_with("--") { "=" } else { "" });
            format!(
                "{typed} needs a value, and {next} looks like an option; if it is the value, write {typed}{equals}{next}"
            )
        }
        SplitError::ExtraValue { typed, value } => {
            format!("{typed} takes no value: {}", escaped(value.as_bytes()))
        }
    }
}
