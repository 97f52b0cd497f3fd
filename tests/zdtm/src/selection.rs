// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which tests run, in which flavours, with which criu.

use std::path::Path;

use crate::description::Flavour;
use crate::error::Error;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::programs::Programs;
use crate::suite::{self, Test};
use crate::trial::Trial;

/// One test in one flavour with one criu.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) test: &'a Test,
    pub(crate) flavour: Flavour,
    pub(crate) programs: &'a Programs,
}

/// The tests that are asked for.
pub(crate) fn tests(options: &Options, project: &Path) -> Result<Vec<Test>, Error> {
    let source = options.criu_source.as_deref();
    let of_criu = source.map(|source| suite::of_criu(source, project)).transpose()?.unwrap_or_default();
    if options.all {
        return Ok(of_criu);
    }
    let all: Vec<_> = suite::own(project)?.into_iter().chain(of_criu).collect();
    match options.tests.is_empty() {
        true => Ok(all.into_iter().filter(|test| test.hook.is_some() || test.tree.is_none()).collect()),
        false => suite::chosen(all, &options.tests, source),
    }
}

/// Each test once for every criu and every flavour that it has and that is asked for.
pub(crate) fn runs<'a>(tests: &'a [Test], programs: &'a [Programs], options: &Options) -> Vec<Run<'a>> {
    let flavours = |test: &Test| {
        // One whose description cannot be read is to be seen once.
        test.description.as_ref().map_or_else(|_| vec![Flavour::Host], |it| it.flavours.clone())
    };
    let mut runs = Vec::new();
    for programs in programs {
        for test in tests {
            let flavours = flavours(test).into_iter().filter(|flavour| options.includes(*flavour));
            runs.extend(flavours.map(|flavour| Run { test, flavour, programs }));
        }
    }
    runs
}

impl<'a> Run<'a> {
    /// What is to be done; or what there is to say without doing anything.
    pub(crate) fn trial(&self, options: &Options) -> Result<Trial<'a>, Outcome> {
        let Self { test, flavour, programs } = *self;
        match &test.description {
            Err(problem) => Err(Outcome::NotStarted(problem.clone())),
            Ok(description) if description.is_manual() && options.tests.is_empty() => {
                Err(Outcome::Skipped("it runs only if it is asked for".to_owned()))
            }
            Ok(description) => Ok(Trial { test, description, flavour, programs }),
        }
    }
}
