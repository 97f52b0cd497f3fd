// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What came of a run.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::action::Stopped;

/// What came of one test in one flavour with one criu.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It is not for here, and why.
    Skipped(String),
    /// It did not get ready, and why.
    NotStarted(String),
    /// The dump failed: why, and what it left all the same.
    NotDumped(String, Vec<String>),
    /// The dump of a test that criu is to refuse failed and left nothing.
    Refused(String),
    /// The dump left nothing, and criu-gc says so.
    LeftNothing,
    /// The dump left this, of which nothing is left.
    Cleaned(String),
    /// After the dump something is not as it should be.
    NotClean(Vec<String>),
    /// Something did not end after the test was started, and was killed.
    Hung(String),
    /// The runner or the hook failed, which says nothing about criu-gc.
    Broken(String),
    /// A signal ended the run.
    Interrupted,
}

/// The outcomes, as they are counted: each run is in one column.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Class {
    Cleaned,
    LeftNothing,
    NotClean,
    Refused,
    NotDumped,
    NotStarted,
    Hung,
    Broken,
    Skipped,
    Interrupted,
}

/// What is asked of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Demand {
    /// To be dumped.
    Dump,
    /// Not to be wrong: there are tests in CRIU's suite that cannot be started or dumped here.
    Truth,
}

impl Outcome {
    /// What came of a run that could not go on after the test was started.
    pub(crate) fn of_stop(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Hung(..) => Self::Hung(stopped.to_string()),
            Stopped::Interrupted => Self::Interrupted,
        }
    }

    /// The same if it was not yet started.
    pub(crate) fn of_stopped_start(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Hung(..) => Self::NotStarted(format!("hung: {stopped}")),
            Stopped::Interrupted => Self::Interrupted,
        }
    }

    /// Its column.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Skipped(_) => Class::Skipped,
            Self::NotStarted(_) => Class::NotStarted,
            Self::NotDumped(..) => Class::NotDumped,
            Self::Refused(_) => Class::Refused,
            Self::LeftNothing => Class::LeftNothing,
            Self::Cleaned(_) => Class::Cleaned,
            Self::NotClean(_) => Class::NotClean,
            Self::Hung(_) => Class::Hung,
            Self::Broken(_) => Class::Broken,
            Self::Interrupted => Class::Interrupted,
        }
    }

    /// Whether the run fails what is asked of it.
    pub(crate) fn fails(&self, demand: Demand) -> bool {
        match self {
            Self::NotClean(_) | Self::Hung(_) | Self::Broken(_) => true,
            Self::NotDumped(_, left) if !left.is_empty() => true,
            Self::NotStarted(_) | Self::NotDumped(..) => demand == Demand::Dump,
            Self::Skipped(_) | Self::Refused(_) | Self::LeftNothing | Self::Cleaned(_) | Self::Interrupted => false,
        }
    }

    /// What a run is that ended after the interrupt: the signal may have reached its programs too.
    pub(crate) fn after_interrupt(self) -> Self {
        match self {
            Self::Cleaned(_) | Self::LeftNothing | Self::Skipped(_) | Self::Refused(_) => self,
            _ => Self::Interrupted,
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.class().name();
        match self {
            Self::LeftNothing | Self::Interrupted => write!(formatter, "{name}"),
            Self::Refused(why) => write!(formatter, "refused by criu, as expected: {why}"),
            Self::NotDumped(why, left) => {
                write!(formatter, "{name}: {why}")?;
                left.iter().try_for_each(|line| write!(formatter, "\n  the failed dump left {line}"))
            }
            Self::NotClean(problems) => {
                write!(formatter, "NOT CLEAN")?;
                problems.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
            }
            Self::Skipped(why) | Self::NotStarted(why) | Self::Cleaned(why) | Self::Hung(why) | Self::Broken(why) => {
                write!(formatter, "{name}: {why}")
            }
        }
    }
}

impl Class {
    /// All, in the order of columns.
    pub(crate) const ALL: [Self; 10] = [
        Self::Cleaned,
        Self::LeftNothing,
        Self::NotClean,
        Self::Refused,
        Self::NotDumped,
        Self::NotStarted,
        Self::Hung,
        Self::Broken,
        Self::Skipped,
        Self::Interrupted,
    ];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cleaned => "cleaned",
            Self::LeftNothing => "left nothing",
            Self::NotClean => "not clean",
            Self::Refused => "refused",
            Self::NotDumped => "not dumped",
            Self::NotStarted => "not started",
            Self::Hung => "hung",
            Self::Broken => "broken",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether the test was dumped.
    pub(crate) fn is_dumped(self) -> bool {
        matches!(self, Self::Cleaned | Self::LeftNothing | Self::NotClean)
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
    use std::time::Duration;

    use super::*;

    fn each() -> Vec<Outcome> {
        let why = || "why".to_owned();
        vec![
            Outcome::Cleaned(why()),
            Outcome::LeftNothing,
            Outcome::NotClean(vec![why()]),
            Outcome::Refused(why()),
            Outcome::NotDumped(why(), Vec::new()),
            Outcome::NotStarted(why()),
            Outcome::Hung(why()),
            Outcome::Broken(why()),
            Outcome::Skipped(why()),
            Outcome::Interrupted,
        ]
    }

    fn failing(demand: Demand) -> Vec<Class> {
        each().iter().filter(|outcome| outcome.fails(demand)).map(Outcome::class).collect()
    }

    #[test]
    fn each_outcome_is_in_a_column_of_its_own() {
        assert_eq!(each().iter().map(Outcome::class).collect::<Vec<_>>(), Class::ALL);
    }

    #[test]
    fn what_fails() {
        let always = [Class::NotClean, Class::Hung, Class::Broken];
        assert_eq!(failing(Demand::Truth), always);
        let [not_clean, hung, broken] = always;
        assert_eq!(failing(Demand::Dump), [not_clean, Class::NotDumped, Class::NotStarted, hung, broken]);
        let left = Outcome::NotDumped("why".to_owned(), vec!["a link".to_owned()]);
        assert!(left.fails(Demand::Truth));
        assert_eq!(left.to_string(), "not dumped: why\n  the failed dump left a link");
    }

    #[test]
    fn a_hang_before_the_test_is_ready_is_a_test_that_was_not_started() {
        let stopped = Stopped::Hung("dump", Duration::from_secs(3));
        assert_eq!(Outcome::of_stop(stopped).to_string(), "hung: dump did not end within 3 s");
        let stopped = Stopped::Hung("start", Duration::from_secs(3));
        assert_eq!(Outcome::of_stopped_start(stopped).to_string(), "not started: hung: start did not end within 3 s");
    }

    #[test]
    fn nothing_fails_because_of_an_interrupt() {
        let after: Vec<_> = each().into_iter().map(|outcome| outcome.after_interrupt().class()).collect();
        let kept = [Class::Cleaned, Class::LeftNothing, Class::Refused, Class::Skipped];
        assert!(after.iter().all(|class| kept.contains(class) || *class == Class::Interrupted), "{after:?}");
        assert_eq!(after.iter().filter(|class| kept.contains(class)).count(), kept.len());
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
