// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A picture of what a host holds: files and packet filters.
//!
//! It is an independent witness: no code of criu-gc takes part, and taking it changes nothing.
//! Counters and times are left out, names and handles are not.

mod context;
mod files;
mod filters;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::host::TestHost;

/// Files and packet filters of a host at one moment. Two are equal if nothing happened in between.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// What was looked at, and the lines that were found there, in their order.
    sections: BTreeMap<String, Vec<String>>,
}

impl Snapshot {
    pub(crate) fn take(host: &TestHost, directories: &[&Path]) -> Self {
        let files = directories.iter().map(|path| files::section(host, path));
        Self { sections: files.chain(filters::sections(host)).collect() }
    }

    /// What the other has and this has not (`+`), and the contrary (`-`); a line that says only
    /// that the order differs, if so. Empty if the two are equal.
    pub fn difference(&self, later: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.sections.keys().chain(later.sections.keys()).collect();
        let compare = |name: &String| {
            let lines = |snapshot: &Self| snapshot.sections.get(name).cloned().unwrap_or_default();
            let changes = changes(&lines(self), &lines(later));
            changes.into_iter().map(move |change| format!("{name}: {change}")).collect::<Vec<_>>()
        };
        names.into_iter().flat_map(compare).collect()
    }

    /// All lines that hold the text, with what they were found in.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let named = |(name, lines): (&String, &Vec<String>)| {
            lines.iter().map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        };
        self.sections.iter().flat_map(named).filter(|line| line.contains(text)).collect()
    }
}

fn changes(earlier: &[String], later: &[String]) -> Vec<String> {
    let gone = surplus(earlier, later).into_iter().map(|line| format!("- {line}"));
    let new = surplus(later, earlier).into_iter().map(|line| format!("+ {line}"));
    let changes: Vec<_> = gone.chain(new).collect();
    if changes.is_empty() && earlier != later {
        return vec!["the same lines in another order".to_owned()];
    }
    changes
}

/// The lines of one that the other has not, or not as often.
fn surplus<'a>(of: &'a [String], over: &[String]) -> Vec<&'a String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for line in over {
        *counts.entry(line).or_default() += 1;
    }
    let is_surplus = |line: &&String| match counts.get_mut(*line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    of.iter().filter(is_surplus).collect()
}
