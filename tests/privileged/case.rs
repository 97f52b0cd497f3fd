// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cases of the suite, and how each becomes one test a version of CRIU.

use libtest_mimic::Trial;
use testkit::{Criu, suite};

inventory::collect!(Cases);

/// The cases of a module, which adds them to the suite.
pub(crate) struct Cases {
    versions: Versions,
    cases: &'static [Case],
}

/// A test.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What must hold.
    pub(crate) name: &'static str,
    /// Panics if it does not.
    pub(crate) test: fn(&Criu),
}

/// With which CRIUs tests are run.
enum Versions {
    Each,
    Newest,
    /// With the newest, where `cargo xtask runtimes` runs them: they need a client that is built there alone.
    WithClientOfCri,
    /// With the newest, where hosts have a newer release of Debian: this machine's own lacks these engines.
    WithNewerEngines,
}

impl Cases {
    /// Cases that are run with each CRIU.
    pub(crate) const fn with_each_criu(cases: &'static [Case]) -> Self {
        Cases { versions: Versions::Each, cases }
    }

    /// Cases in which it is all the same which CRIU made the images, and which take long: they are run with the newest.
    pub(crate) const fn with_newest_criu(cases: &'static [Case]) -> Self {
        Cases { versions: Versions::Newest, cases }
    }

    /// Cases with the CRI service of containerd, whose client only `cargo xtask runtimes` builds.
    pub(crate) const fn with_client_of_cri(cases: &'static [Case]) -> Self {
        Cases { versions: Versions::WithClientOfCri, cases }
    }

    /// Cases with engines that only the trees of `cargo xtask runtimes` have.
    pub(crate) const fn with_newer_engines(cases: &'static [Case]) -> Self {
        Cases { versions: Versions::WithNewerEngines, cases }
    }

    fn trials(&self, all: &[Criu]) -> Vec<Trial> {
        let newest = &all[all.len().saturating_sub(1)..];
        let criu = match self.versions {
            Versions::Each => all,
            Versions::Newest => newest,
            Versions::WithClientOfCri if std::env::var_os(testkit::CRI).is_none() => return Vec::new(),
            Versions::WithNewerEngines if std::env::var_os(testkit::ROOT).is_none() => return Vec::new(),
            Versions::WithClientOfCri | Versions::WithNewerEngines => newest,
        };
        self.cases.iter().flat_map(|case| trials_of(*case, criu)).collect()
    }
}

/// All tests by name, since the modules come in no order. Those that take long come first, so that none of them runs on
/// alone at the end.
pub(crate) fn trials() -> Vec<Trial> {
    let criu = Criu::all();
    let (each, long): (Vec<&Cases>, Vec<&Cases>) =
        inventory::iter::<Cases>().partition(|cases| matches!(cases.versions, Versions::Each));
    let by_name = |cases: Vec<&Cases>| {
        let mut trials: Vec<Trial> = cases.into_iter().flat_map(|cases| cases.trials(&criu)).collect();
        trials.sort_by(|one, other| one.name().cmp(other.name()));
        trials
    };
    [long, each].into_iter().flat_map(by_name).collect()
}

/// The names of all cases.
pub(crate) fn names() -> Vec<&'static str> {
    inventory::iter::<Cases>().flat_map(|cases| cases.cases).map(|case| case.name).collect()
}

fn trials_of(case: Case, criu: &[Criu]) -> Vec<Trial> {
    if criu.is_empty() {
        // It cannot run, and says why.
        return vec![suite::privileged_trial(case.name.to_owned(), || unreachable!("there is no CRIU"))];
    }
    let trial = |criu: &Criu| {
        let (name, criu) = (format!("{} (criu {})", case.name, criu.version()), criu.clone());
        suite::privileged_trial(name, move || (case.test)(&criu))
    };
    criu.iter().map(trial).collect()
}
