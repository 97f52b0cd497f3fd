// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cases of the suite, and how each becomes one test a version of CRIU.

use libtest_mimic::Trial;
use testkit::Criu;

/// A test that is run with each CRIU.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What must hold.
    pub(crate) name: &'static str,
    /// Panics if it does not.
    pub(crate) test: fn(&Criu),
}

/// All tests. Where they cannot run, each is ignored with the reason in its name, or fails if it must run.
pub(crate) fn trials(cases: &[&[Case]]) -> Vec<Trial> {
    let cases = cases.iter().copied().flatten().copied();
    if let Some(reason) = testkit::cannot_run() {
        let is_required = std::env::var_os(testkit::REQUIRED).is_some();
        return cases.map(|case| cannot_run(case, &reason, is_required)).collect();
    }
    let criu = Criu::all();
    cases.flat_map(|case| criu.iter().map(move |criu| trial(case, criu.clone()))).collect()
}

fn trial(case: Case, criu: Criu) -> Trial {
    let name = format!("{} (criu {})", case.name, criu.version());
    Trial::test(name, move || {
        (case.test)(&criu);
        Ok(())
    })
}

fn cannot_run(case: Case, reason: &str, is_required: bool) -> Trial {
    let why = reason.to_owned();
    Trial::test(format!("{}: {reason}", case.name), move || Err(why.into())).with_ignored_flag(!is_required)
}
