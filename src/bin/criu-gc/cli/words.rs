// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Splits a command line into options and operands as getopt_long does for CRIU.
//!
//! Options and operands may be mixed, a long name may be abbreviated, `-v4` and `--verbosity=4` have an attached value.
//! One thing is stricter: a separate value must not begin with a dash, because `-o $LOG --show` with an empty variable
//! would otherwise remove.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What an option is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// No value.
    Nothing,
    /// Perhaps an attached value.
    Optional,
    /// Perhaps an attached number; letters behind the short name are further options.
    Number,
    /// A value, attached or as the next word.
    Value,
}

/// An option that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its name without dashes, in full.
    pub(crate) name: String,
    /// All its long names.
    pub(crate) longs: Vec<String>,
    pub(crate) shorts: Vec<char>,
    pub(crate) takes: Takes,
}

/// An option as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The name of the option in full.
    pub(crate) name: String,
    /// What was typed, without the value: for messages, and because `-h` prints less than `--help`.
    pub(crate) typed: String,
    pub(crate) value: Option<OsString>,
}

/// The words of a command line by what they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) options: Vec<Given>,
    pub(crate) operands: Vec<OsString>,
}

/// Why words cannot be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SplitError {
    /// No option has this name.
    Unknown(OsString),
    /// Several have names that begin so.
    Ambiguous { typed: String, names: Vec<String> },
    /// The value is missing, or is `next`, which looks like an option.
    NoValue { typed: String, next: Option<OsString> },
    /// The option takes none.
    ExtraValue { typed: String, value: OsString },
}

/// Splits the words that follow the program's name.
pub(crate) fn split(words: &[OsString], known: &[Known]) -> Result<Split, SplitError> {
    let mut split = Split::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            split.operands.extend(rest.by_ref().cloned());
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            split.options.push(long_option(word, long, known, &mut rest)?);
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            short_options(word, known, &mut rest, &mut split.options)?;
        } else {
            split.operands.push(word.clone());
        }
    }
    Ok(split)
}

fn long_option<'a>(
    word: &OsStr,
    long: &[u8],
    known: &[Known],
    rest: &mut impl Iterator<Item = &'a OsString>,
) -> Result<Given, SplitError> {
    let (name, value) = match long.iter().position(|byte| *byte == b'=') {
        Some(at) => (&long[..at], Some(OsString::from_vec(long[at + 1..].to_vec()))),
        None => (long, None),
    };
    let unknown = || SplitError::Unknown(word.to_owned());
    let name = std::str::from_utf8(name).map_err(|_| unknown())?;
    let typed = format!("--{name}");
    let option = find_long(name, known)?.ok_or_else(unknown)?;
    let value = match (option.takes, value) {
        (Takes::Nothing, Some(value)) => return Err(SplitError::ExtraValue { typed, value }),
        (Takes::Value, None) => Some(next_value(&typed, rest)?),
        (Takes::Nothing | Takes::Optional | Takes::Number | Takes::Value, value) => value,
    };
    Ok(Given { name: option.name.clone(), typed, value })
}

/// The option with this long name, or the only one with a name that begins so.
pub(crate) fn find_long<'a>(name: &str, known: &'a [Known]) -> Result<Option<&'a Known>, SplitError> {
    if let Some(exact) = known.iter().find(|option| option.longs.iter().any(|long| long == name)) {
        return Ok(Some(exact));
    }
    let begins = |option: &&Known| !name.is_empty() && option.longs.iter().any(|long| long.starts_with(name));
    let found: Vec<&Known> = known.iter().filter(begins).collect();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several => {
            let names = several.iter().flat_map(|option| &option.longs).filter(|long| long.starts_with(name));
            Err(SplitError::Ambiguous { typed: format!("--{name}"), names: names.cloned().collect() })
        }
    }
}

fn short_options<'a>(
    word: &OsStr,
    known: &[Known],
    rest: &mut impl Iterator<Item = &'a OsString>,
    options: &mut Vec<Given>,
) -> Result<(), SplitError> {
    let unknown = || SplitError::Unknown(word.to_owned());
    let mut letters = &word.as_bytes()[1..];
    while let Some((letter, behind)) = letters.split_first() {
        letters = behind;
        let letter = char::from(*letter);
        let option = known.iter().find(|option| option.shorts.contains(&letter)).ok_or_else(unknown)?;
        let typed = format!("-{letter}");
        let value = match option.takes {
            Takes::Nothing => None,
            Takes::Value if letters.is_empty() => Some(next_value(&typed, rest)?),
            Takes::Value | Takes::Optional => take(&mut letters, usize::MAX),
            Takes::Number => {
                let digits = letters.iter().take_while(|byte| byte.is_ascii_digit()).count();
                take(&mut letters, digits)
            }
        };
        options.push(Given { name: option.name.clone(), typed, value });
    }
    Ok(())
}

/// Takes so many bytes, or all; `None` for none.
fn take(letters: &mut &[u8], count: usize) -> Option<OsString> {
    let (taken, behind) = letters.split_at(count.min(letters.len()));
    *letters = behind;
    (!taken.is_empty()).then(|| OsString::from_vec(taken.to_vec()))
}

fn next_value<'a>(typed: &str, rest: &mut impl Iterator<Item = &'a OsString>) -> Result<OsString, SplitError> {
    match rest.next() {
        Some(value) if value == "-" || !value.as_bytes().starts_with(b"-") => Ok(value.clone()),
        next => Err(SplitError::NoValue { typed: typed.to_owned(), next: next.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(longs: &[&str], shorts: &[char], takes: Takes) -> Known {
        let longs: Vec<String> = longs.iter().map(|&long| long.to_owned()).collect();
        Known { name: longs[0].clone(), longs, shorts: shorts.to_vec(), takes }
    }

    fn known() -> Vec<Known> {
        vec![
            option(&["show", "dry-run"], &['n'], Takes::Nothing),
            option(&["images-dir"], &['D'], Takes::Value),
            option(&["log-file"], &['o'], Takes::Value),
            option(&["verbose", "verbosity"], &['v'], Takes::Number),
            option(&["ext-unix-sk"], &['x'], Takes::Optional),
            option(&["ext-mount-map"], &['M'], Takes::Value),
            option(&["save"], &[], Takes::Value),
        ]
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect()
    }

    /// The line is split into these options, `NAME` or `NAME=VALUE`, and these operands.
    #[track_caller]
    fn check(line: &str, options: &[&str], operands: &[&str]) {
        let split = split(&words(line), &known()).unwrap();
        let shown = |given: &Given| match &given.value {
            Some(value) => format!("{}={}", given.name, value.display()),
            None => given.name.clone(),
        };
        let found: Vec<String> = split.options.iter().map(shown).collect();
        assert_eq!(found, options, "{line}");
        assert_eq!(split.operands, operands, "{line}");
    }

    #[test]
    fn options_and_operands_may_be_mixed() {
        let options = ["log-file=gc.log", "images-dir=DIR", "verbose=4", "show"];
        check("gc -o gc.log -D DIR -v4 --show", &options, &["gc"]);
        check("-D DIR gc x --show", &["images-dir=DIR", "show"], &["gc", "x"]);
        let options = ["images-dir=DIR", "log-file=-", "log-file=-", "images-dir=-x"];
        check("-DDIR -o- -o - - --images-dir=-x", &options, &["-"]);
        check("a -- --show -n --", &[], &["a", "--show", "-n", "--"]);
    }

    #[test]
    fn optional_values_are_attached() {
        check("-v -vv -v4 -v 4", &["verbose", "verbose", "verbose", "verbose=4", "verbose"], &["4"]);
        check("-vn -v0n -nv", &["verbose", "show", "verbose=0", "show", "show", "verbose"], &[]);
        check("--verbosity --verbosity=3 --verbosity 3", &["verbose", "verbose=3", "verbose"], &["3"]);
        check("-x -x5 -xnv --ext-unix-sk=7", &["ext-unix-sk", "ext-unix-sk=5", "ext-unix-sk=nv", "ext-unix-sk=7"], &[]);
    }

    #[test]
    fn a_long_name_may_be_abbreviated() {
        check("--sho --dry --images=x --verb", &["show", "show", "images-dir=x", "verbose"], &[]);
        let names = vec!["ext-unix-sk".to_owned(), "ext-mount-map".to_owned()];
        let ambiguous = SplitError::Ambiguous { typed: "--ext".to_owned(), names };
        assert_eq!(split(&words("--ext"), &known()), Err(ambiguous));
    }

    #[test]
    fn what_cannot_be_split_is_an_error() {
        let error = |line: &str| split(&words(line), &known()).unwrap_err();
        for unknown in ["--shwo", "-q", "-nq", "--shows", "-\u{e9}"] {
            assert_eq!(error(unknown), SplitError::Unknown(unknown.into()));
        }
        assert_eq!(error("--show=1"), SplitError::ExtraValue { typed: "--show".to_owned(), value: "1".into() });
        // An empty variable of a shell must not make a value of the next option.
        for line in ["-o --show -D DIR", "--save --show", "-o -n", "-D --"] {
            let error = error(line);
            assert!(matches!(error, SplitError::NoValue { next: Some(_), .. }), "{line}: {error:?}");
        }
        assert_eq!(error("-D"), SplitError::NoValue { typed: "-D".to_owned(), next: None });
    }
}
