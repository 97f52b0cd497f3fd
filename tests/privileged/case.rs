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
    trials_with(cases, &Criu::all())
}

/// Tests in which it is all the same which CRIU made the images, and which take long: each once, with the newest.
pub(crate) fn trials_with_newest(cases: &[&[Case]]) -> Vec<Trial> {
    let all = Criu::all();
    trials_with(cases, &all[all.len().saturating_sub(1)..])
}

fn trials_with(cases: &[&[Case]], criu: &[Criu]) -> Vec<Trial> {
    let cases = cases.iter().copied().flatten().copied();
    cases.flat_map(|case| trials_of(case, criu)).collect()
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
