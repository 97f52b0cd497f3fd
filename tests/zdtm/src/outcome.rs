// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What came of a run.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// What came of one test in one flavour with one criu.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It is not for here, and why.
    Skipped(String),
    /// It did not get ready, and why.
    NotStarted(String),
    /// The dump failed and left nothing; why it failed.
    NotDumped(String),
    /// The same, for a test that criu is to refuse.
    Refused(String),
    /// The dump left nothing, and criu-gc says so.
    LeftNothing,
    /// The dump left this, of which nothing is left.
    Cleaned(String),
    /// Something is not as it should be.
    Failed(Vec<String>),
}

impl Outcome {
    /// Whether the test was started.
    pub(crate) fn is_run(&self) -> bool {
        !matches!(self, Self::Skipped(_) | Self::NotStarted(_))
    }

    /// The outcome of a test that has to be dumped: that it was not is a failure.
    pub(crate) fn of_required(self) -> Self {
        match self {
            Self::NotStarted(_) | Self::NotDumped(_) => Self::Failed(vec![self.to_string()]),
            other => other,
        }
    }

    /// Whether the run says against criu-gc, or against the protocol.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(why) => write!(formatter, "skipped: {why}"),
            Self::NotStarted(why) => write!(formatter, "not started: {why}"),
            Self::NotDumped(why) => write!(formatter, "not dumped: {why}"),
            Self::Refused(why) => write!(formatter, "refused by criu, as it is meant to be: {why}"),
            Self::LeftNothing => write!(formatter, "left nothing"),
            Self::Cleaned(what) => write!(formatter, "cleaned: {what}"),
            Self::Failed(problems) => {
                write!(formatter, "FAILED")?;
                problems.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
            }
        }
    }
}

/// The objects of criu-gc's lines that are or were there, counted by their kind: `2 link remaps, 1 locked tcp
/// connection`.
pub(crate) fn kinds(output: &str) -> String {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let present = output.lines().filter(|line| line.contains(" -> ") && line.ends_with("to be removed)"));
    for (kind, _) in present.filter_map(|line| line.split_once(": ")) {
        *counts.entry(kind.to_lowercase()).or_default() += 1;
    }
    let count = |(kind, count): (String, u32)| match count {
        1 => format!("1 {kind}"),
        _ => format!("{count} {kind}s"),
    };
    counts.into_iter().map(count).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_test_that_was_not_dumped_has_failed() {
        let dumped = |outcome: Outcome| !outcome.of_required().is_failure();
        assert!(!dumped(Outcome::NotStarted(String::new())) && !dumped(Outcome::NotDumped(String::new())));
        assert!(dumped(Outcome::Refused(String::new())) && dumped(Outcome::Skipped(String::new())));
        assert!(dumped(Outcome::LeftNothing) && dumped(Outcome::Cleaned(String::new())));
        let outcome = Outcome::NotDumped("why".to_owned()).of_required();
        assert_eq!(outcome.to_string(), "FAILED\n  not dumped: why");
    }

    #[test]
    fn kinds_of_what_is_there() {
        let output = "Locked tcp connection: 1.1.1.1:1 -> 1.1.1.1:2 (2 rules of iptables-nft; to be removed)\n\
                      Link remap: /a -> /b (41 bytes, 1 other name; to be removed)\n\
                      Link remap: /c -> /b (41 bytes, 1 other name; to be removed)\n\
                      Link remap: /d -> /e (gone: with the tree's own tmpfs)\n\
                      4 objects: 3 to be removed, 1 gone.\n";
        assert_eq!(kinds(output), "2 link remaps, 1 locked tcp connection");
        assert_eq!(kinds("Nothing is left.\n"), "");
    }
}
