// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text that `iptables-save` prints. Pure.
//!
//! A comment in a rule may hold a line break, which is printed as it is, inside quotes: read line by line, the rest of
//! the comment would pass for a rule. So quotes are read first and lines second.

/// The filter table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterTable {
    /// The chains, built-in ones and others.
    pub chains: Vec<LegacyChain>,
}

/// A chain of legacy iptables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyChain {
    /// The chain's name.
    pub name: String,
    /// What becomes of packets that reach its end; `None` for a chain that is only jumped to.
    pub policy: Option<String>,
    /// The rules, in order: the words that follow `-A CHAIN`. What is not UTF-8 in one is replaced.
    pub rules: Vec<Vec<String>>,
}

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

impl FilterTable {
    /// The filter table among those in the text, with those rules only for which `keep` is true of their chain and words.
    pub fn parse_some(text: &[u8], keep: impl Fn(&str, &[String]) -> bool) -> Result<Self, ParseError> {
        let mut table = FilterTable::default();
        let mut state = Section::Before;
        for words in (Lines { bytes: text.iter().copied() }) {
            let words = words?;
            match state {
                Section::Before if words == ["*filter"] => state = Section::Within,
                Section::Within if words == ["COMMIT"] => state = Section::After,
                Section::Within => table.add(&words, &keep).ok_or(ParseError::Line { line: words })?,
                Section::Before | Section::After => {}
            }
        }
        if state == Section::After { Ok(table) } else { Err(ParseError::Incomplete) }
    }

    fn add(&mut self, words: &[String], keep: impl Fn(&str, &[String]) -> bool) -> Option<()> {
        let (first, rest) = words.split_first()?;
        match (first.strip_prefix(':'), first.as_str(), rest) {
            (Some(name), _, [policy, _counters]) => {
                let policy = (policy != "-").then(|| policy.clone());
                self.chains.push(LegacyChain { name: name.to_owned(), policy, rules: Vec::new() });
            }
            (None, "-A", [name, rule @ ..]) => {
                let chain = self.chains.iter_mut().find(|chain| chain.name == *name)?;
                if keep(name, rule) {
                    chain.rules.push(rule.to_vec());
                }
            }
            _ => return None,
        }
        Some(())
    }
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
}

impl<B: Iterator<Item = u8>> Iterator for Lines<B> {
    type Item = Result<Vec<String>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        let mut word: Option<Vec<u8>> = None;
        // A last line without its end is one that was cut off.
        while let Some(byte) = self.bytes.next() {
            match byte {
                b'#' if word.is_none() && line.is_empty() => {
                    // To the end of the line; `None` at the end of the text.
                    self.bytes.find(|byte| *byte == b'\n');
                }
                b'"' => {
                    if let Err(error) = quoted(&mut self.bytes, word.get_or_insert_default()) {
                        return Some(Err(error));
                    }
                }
                b' ' | b'\t' | b'\n' => {
                    line.extend(word.take().map(|word| String::from_utf8_lossy(&word).into_owned()));
                    if byte == b'\n' && !line.is_empty() {
                        return Some(Ok(line));
                    }
                }
                _ => word.get_or_insert_default().push(byte),
            }
        }
        None
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
