// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cases of the suite, and how each becomes one test a version of CRIU.

use libtest_mimic::Trial;
use testkit::{Criu, suite};

/// A test that is run with each CRIU.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What must hold.
    pub(crate) name: &'static str,
    /// Panics if it does not.
    pub(crate) test: fn(&Criu),
}

/// All tests, each once a version of CRIU.
pub(crate) fn trials(cases: &[&[Case]]) -> Vec<Trial> {
    let criu = Criu::all();
    let cases = cases.iter().copied().flatten().copied();
    cases.flat_map(|case| trials_of(case, &criu)).collect()
}

fn trials_of(case: Case, criu: &[Criu]) -> Vec<Trial> {
    if criu.is_empty() {
        // It cannot run, and says why.
        return vec![suite::trial(case.name.to_owned(), || unreachable!("there is no CRIU"))];
    }
    let trial = |criu: &Criu| {
        let (name, criu) = (format!("{} (criu {})", case.name, criu.version()), criu.clone());
        suite::trial(name, move || (case.test)(&criu))
    };
    criu.iter().map(trial).collect()
}
