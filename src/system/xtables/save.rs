// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text that `iptables-save` prints. Pure.
//!
//! A comment in a rule may hold a line break, which is printed as it is, inside quotes: read line by line, the rest of
//! the comment would pass for a rule. So quotes are read first and lines second.

use std::borrow::Cow;
use std::collections::HashSet;

/// What cannot be understood in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A quote that does not end.
    #[error("a quotation mark is not closed")]
    OpenQuote,
    /// The filter table is not there, or not to its end.
    #[error("the filter table is missing or truncated")]
    Incomplete,
    /// A line of another kind.
    #[error("line {line:?}")]
    Line {
        /// Its words.
        line: Vec<String>,
    },
}

/// Hands over the chains and the rules of the filter table among those in the text, in their order: the name of each chain,
/// and of each rule its chain and the words that follow `-A CHAIN`. What is not UTF-8 in one is replaced. Nothing is kept:
/// a host may have any number of rules. Whatever was handed over before an error means nothing.
pub fn each_of_filter(
    text: &[u8],
    mut chain: impl FnMut(&str),
    mut rule: impl FnMut(&str, &[&str]),
) -> Result<(), ParseError> {
    let mut names = HashSet::new();
    let mut lines = Lines { bytes: text.iter().copied(), words: Vec::new(), ends: Vec::new() };
    let mut section = Section::Before;
    while lines.next()? {
        let words: Vec<Cow<'_, str>> = lines.words().collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        match (section, words.as_slice()) {
            (Section::Before, ["*filter"]) => section = Section::Within,
            (Section::Within, ["COMMIT"]) => section = Section::After,
            (Section::Within, ["-A", name, words @ ..]) if names.contains(*name) => rule(name, words),
            (Section::Within, [name, _policy, _counters]) if name.starts_with(':') => {
                names.insert(name[1..].to_owned());
                chain(&name[1..]);
            }
            (Section::Within, words) => {
                return Err(ParseError::Line { line: words.iter().map(|word| (*word).to_owned()).collect() });
            }
            (Section::Before | Section::After, _) => {}
        }
    }
    if section == Section::After { Ok(()) } else { Err(ParseError::Incomplete) }
}

/// Where in the text the filter table is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Before,
    Within,
    After,
}

/// The words of each line that has any; a line that begins with `#` is a comment. Inside quotation marks a backslash
/// takes the next character as it is (`xtables_save_string`, libxtables/xtables.c).
struct Lines<B> {
    bytes: B,
    /// The words of this line, one after the other, and where each ends.
    words: Vec<u8>,
    ends: Vec<usize>,
}

impl<B: Iterator<Item = u8>> Lines<B> {
    /// Goes to the next line; `false` where there is none. A last line without its end is one that was cut off.
    fn next(&mut self) -> Result<bool, ParseError> {
        self.words.clear();
        self.ends.clear();
        let mut is_in_word = false;
        while let Some(byte) = self.bytes.next() {
            match byte {
                b'#' if !is_in_word && self.ends.is_empty() => {
                    // To the end of the line; `None` at the end of the text.
                    self.bytes.find(|byte| *byte == b'\n');
                }
                b'"' => {
                    is_in_word = true;
                    quoted(&mut self.bytes, &mut self.words)?;
                }
                b' ' | b'\t' | b'\n' => {
                    if std::mem::take(&mut is_in_word) {
                        self.ends.push(self.words.len());
                    }
                    if byte == b'\n' && !self.ends.is_empty() {
                        return Ok(true);
                    }
                }
                _ => {
                    is_in_word = true;
                    self.words.push(byte);
                }
            }
        }
        Ok(false)
    }

    fn words(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| String::from_utf8_lossy(&self.words[start..*end]))
    }
}

fn quoted(bytes: &mut impl Iterator<Item = u8>, word: &mut Vec<u8>) -> Result<(), ParseError> {
    loop {
        match bytes.next().ok_or(ParseError::OpenQuote)? {
            b'"' => return Ok(()),
            b'\\' => word.push(bytes.next().ok_or(ParseError::OpenQuote)?),
            byte => word.push(byte),
        }
    }
}

#[cfg(test)]
mod tests;
