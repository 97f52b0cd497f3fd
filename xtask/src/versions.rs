// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which of the archive's versions of CRIU are wanted: the newest of each minor line; and whether it is asked again.

use std::collections::BTreeMap;

/// The first line whose releases run on the kernels that the tests meet.
pub(crate) const OLDEST: (u32, u32) = (4, 2);

/// Whether the archive is asked for newer versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Freshness {
    /// Not if some are here.
    AsFound,
    /// In any case.
    LookAgain,
}

/// One version of a Debian package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Version {
    /// As apt takes it: `4.3-1~exp2`.
    pub(crate) package: String,
    /// CRIU's own: `4.3`.
    pub(crate) upstream: String,
}

/// The newest of each line from [`OLDEST`] on, oldest first. The input is what `apt-cache madison`
/// prints, newest first.
pub(crate) fn wanted(madison: &str) -> Vec<Version> {
    let mut newest: BTreeMap<(u32, u32), Version> = BTreeMap::new();
    for version in all(madison) {
        let Some(line) = version.line().filter(|line| *line >= OLDEST) else { continue };
        let best = newest.entry(line).or_insert_with(|| version.clone());
        if version.order() > best.order() {
            *best = version;
        }
    }
    newest.into_values().collect()
}

/// All versions that `apt-cache madison` lists.
pub(crate) fn all(madison: &str) -> Vec<Version> {
    let column = |line: &str| Some(line.split('|').nth(1)?.trim().to_owned());
    madison.lines().filter_map(column).map(Version::new).collect()
}

impl Version {
    fn new(package: String) -> Self {
        let without_epoch = package.split_once(':').map_or(package.as_str(), |(_, rest)| rest);
        let upstream = without_epoch.rsplit_once('-').map_or(without_epoch, |(upstream, _)| upstream);
        Self { upstream: upstream.to_owned(), package }
    }

    /// The line that the version belongs to: its first two numbers.
    pub(crate) fn line(&self) -> Option<(u32, u32)> {
        match self.numbers()[..] {
            [major, minor, ..] => Some((major, minor)),
            _ => None,
        }
    }

    /// A release candidate (`4.4~rc1`) comes before its release.
    fn order(&self) -> (Vec<u32>, bool) {
        (self.numbers(), !self.upstream.contains('~'))
    }

    fn numbers(&self) -> Vec<u32> {
        let release = self.upstream.split(['~', '+']).next().unwrap_or_default();
        release.split('.').map_while(|number| number.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(versions: &[&str], expected: &[&str]) {
        let row = |version: &&str| format!("      criu | {version} | http://m sid/main amd64 Packages\n");
        let madison: String = versions.iter().map(row).collect();
        let wanted: Vec<_> = wanted(&madison).into_iter().map(|version| version.package).collect();
        assert_eq!(wanted, expected);
    }

    #[test]
    fn the_newest_of_each_line() {
        check(&["4.3-1~exp2", "4.2.1-1", "4.2.1-1", "4.1.1-1", "3.17.1-2"], &["4.2.1-1", "4.3-1~exp2"]);
        check(&["4.10-1", "4.9.2-1", "4.9.10-1"], &["4.9.10-1", "4.10-1"]);
        check(&["5.0~rc1-1", "4.4-1", "4.4~rc2-1"], &["4.4-1", "5.0~rc1-1"]);
        check(&["1:4.3-2", "1:4.3-1"], &["1:4.3-2"]);
        check(&["4.1.1-1"], &[]);
        check(&[], &[]);
    }
}
