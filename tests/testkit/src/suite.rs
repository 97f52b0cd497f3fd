// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A suite of privileged tests that never passes without having run.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use crate::artifacts::{REQUIRED, cannot_run};

/// A test.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What must hold.
    pub name: &'static str,
    /// Panics if it does not.
    pub test: fn(),
}

/// Runs the tests as `cargo test` would.
pub fn run(cases: &[Case]) -> ExitCode {
    conclude(cases.iter().map(|case| trial(case.name.to_owned(), case.test)).collect())
}

/// One test of a suite. Where it cannot run it is ignored, with the reason in its name; or it fails, where it must run.
pub fn trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    let Some(reason) = cannot_run() else {
        return Trial::test(name, move || {
            test();
            Ok(())
        });
    };
    let is_required = std::env::var_os(REQUIRED).is_some();
    Trial::test(format!("{name}: {reason}"), move || Err(reason.into())).with_ignored_flag(!is_required)
}

/// Runs the tests that the command line asks for.
pub fn conclude(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
