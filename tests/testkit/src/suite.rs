// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Suites of tests that have no harness of rustc's: a privileged test never passes without having run, and each suite
//! ends with how long its tests took.

mod times;

use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use libtest_mimic::{Arguments, Failed, FormatSetting, Trial};

use self::times::{Shown, Watch};
use crate::artifacts::{REQUIRED, cannot_run};

/// A privileged test.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What must hold.
    pub name: &'static str,
    /// Panics if it does not.
    pub test: fn(),
}

/// Runs privileged tests as `cargo test` would.
pub fn run(cases: &[Case]) -> ExitCode {
    conclude(cases.iter().map(|case| privileged_trial(case.name.to_owned(), case.test)).collect())
}

/// One test of a suite that fails by a panic.
pub fn trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    fallible_trial(name, move || {
        test();
        Ok(())
    })
}

/// One test of a suite that fails by a panic or an error.
pub fn fallible_trial(name: String, test: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    let watch = Watch::new(&name);
    Trial::test(name, move || {
        let _running = watch.start();
        test()
    })
}

/// One test of a suite that needs root and a CRIU. Where it cannot run it is ignored, with the reason in its name; or it
/// fails, where it must run.
pub fn privileged_trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    match cannot_run() {
        None => trial(name, test),
        Some(reason) => impossible_trial(&name, &reason),
    }
}

/// A test that cannot run, for this reason.
pub fn impossible_trial(name: &str, reason: &str) -> Trial {
    let is_required = std::env::var_os(REQUIRED).is_some();
    let failed = Failed::from(reason);
    Trial::test(format!("{name}: {reason}"), move || Err(failed)).with_ignored_flag(!is_required)
}

/// How many tests run at once for each processor: they wait for other programs, for locks and for time limits about half
/// of the time.
const TESTS_PER_PROCESSOR: usize = 2;

/// Runs the tests that the command line asks for, and prints how long each took.
pub fn conclude(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(|| TESTS_PER_PROCESSOR * available_parallelism().map_or(1, NonZero::get));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if matches!(arguments.format, None | Some(FormatSetting::Pretty)) {
        times::print(if conclusion.has_failed() { Shown::Slowest } else { Shown::All });
    }
    conclusion.exit_code()
}
