// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CRIU's configuration files (`--config`): one option a line, by its long name without dashes, perhaps with a value.
//!
//! A `#` begins a comment. A value with spaces is in double quotes, in which `\"` is a quote.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// An option in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The number of its line, from 1.
    pub(crate) line: usize,
    /// The long name.
    pub(crate) name: String,
    pub(crate) value: Option<OsString>,
}

/// A line that is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is invalid: {why}")]
pub(crate) struct ConfigError {
    pub(crate) line: usize,
    pub(crate) why: &'static str,
}

/// The statements of a file.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Statement>, ConfigError> {
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    lines.filter_map(|(at, line)| statement(at + 1, line).transpose()).collect()
}

fn statement(line: usize, text: &[u8]) -> Result<Option<Statement>, ConfigError> {
    let invalid = |why| ConfigError { line, why };
    let text = text.trim_ascii();
    if text.is_empty() || text.starts_with(b"#") {
        return Ok(None);
    }
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let name = String::from_utf8(text[..end].to_vec()).map_err(|_| invalid("its option is not text"))?;
    let rest = text[end..].trim_ascii_start();
    let value = match rest.split_first() {
        None | Some((b'#', _)) => None,
        Some((b'"', quoted)) => Some(unquote(quoted).map_err(invalid)?),
        Some(_) => Some(bare(rest).map_err(invalid)?),
    };
    Ok(Some(Statement { line, name, value: value.map(OsString::from_vec) }))
}

/// A value without quotes.
fn bare(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let end = text.iter().position(|byte| *byte == b'#').unwrap_or(text.len());
    let value = text[..end].trim_ascii();
    match value.iter().any(u8::is_ascii_whitespace) {
        true => Err("it has more than one value; one with spaces must be in double quotes"),
        false => Ok(value.to_vec()),
    }
}

/// A value whose first quote has been read.
fn unquote(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let behind = text[at + 1..].trim_ascii();
                let is_end = behind.is_empty() || behind.starts_with(b"#");
                return if is_end { Ok(value) } else { Err("something follows its value") };
            }
            b'\\' if text.get(at + 1) == Some(&b'"') => {
                value.push(b'"');
                let _ = bytes.next();
            }
            byte => value.push(*byte),
        }
    }
    Err("its value has no closing quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text has these statements, each with its value.
    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str, Option<&str>)]) {
        let statements = parse(text.as_bytes()).unwrap();
        let found = statements.iter().map(|statement| {
            let value = statement.value.as_ref().map(|value| value.to_str().unwrap());
            (statement.line, statement.name.as_str(), value)
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_line_is_an_option_by_its_long_name() {
        check(
            "tcp-established\nwork-dir /var/log/criu\n",
            &[(1, "tcp-established", None), (2, "work-dir", Some("/var/log/criu"))],
        );
        check(
            "\n  # a comment\n\tverbosity\t4   # more\nlink-remap # yes\n",
            &[(3, "verbosity", Some("4")), (4, "link-remap", None)],
        );
    }

    #[test]
    fn a_value_may_be_quoted() {
        check(
            "work-dir \"/home/my \\\"work\\\" # directory\"  # here\nroot \"\"",
            &[(1, "work-dir", Some("/home/my \"work\" # directory")), (2, "root", Some(""))],
        );
    }

    #[test]
    fn what_criu_refuses_is_refused_with_its_line() {
        for (text, line) in [("root /a b\n", 1), ("\nroot \"/a", 2), ("root \"/a\" b", 1), ("root \"", 1)] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().line, line, "{text}");
        }
    }
}
