// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cases of the suite, those that the tool does not pass yet among them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::{Failed, Trial};
use machine::{Installation, Kernel};
use testkit::suite;

inventory::collect!(Cases);

/// The tests of a module, which adds them to the suite.
pub(crate) struct Cases(pub(crate) &'static [Case]);

/// A test in a machine.
pub(crate) struct Case {
    /// What must hold.
    pub(crate) name: &'static str,
    /// Panics if it does not.
    pub(crate) test: fn(),
    /// Whether it does today.
    pub(crate) today: Today,
}

/// What is known of the tool as it is.
pub(crate) enum Today {
    /// The test passes.
    Passes,
    /// The test fails; whoever mends that turns this into [`Today::Passes`].
    #[allow(dead_code, reason = "there need not be such a test")]
    Fails {
        /// What is wrong, and what it is a part of.
        because: &'static str,
        /// A part of the message of the failure: any other one is a failure of the suite.
        message: &'static str,
    },
}

/// All tests, by name: the modules come in no order.
pub(crate) fn trials() -> Vec<Trial> {
    let mut cases: Vec<&Case> = inventory::iter::<Cases>().flat_map(|cases| cases.0).collect();
    cases.sort_by_key(|case| case.name);
    cases.into_iter().map(trial).collect()
}

/// The test; without machines it is ignored or fails.
fn trial(case: &'static Case) -> Trial {
    match Installation::of_workspace().check(Kernel::V6_1) {
        Ok(()) => suite::fallible_trial(case.name.to_owned(), || run(case)),
        Err(error) => suite::impossible_trial(case.name, &error.to_string()),
    }
}

fn run(case: &Case) -> Result<(), Failed> {
    match &case.today {
        Today::Passes => {
            (case.test)();
            Ok(())
        }
        Today::Fails { because, message } => match catch_unwind(AssertUnwindSafe(case.test)) {
            Ok(()) => Err(format!("this passes now, and is listed as failing because {because}").into()),
            Err(panic) if text(panic.as_ref()).contains(message) => Ok(()),
            Err(panic) => Err(format!("this fails otherwise than listed: {}", text(panic.as_ref())).into()),
        },
    }
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text")
}
