// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a pattern to the directories that match it. No symbolic link is followed, and the number of names is limited.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criu_images::ImageKind;
use rustix::fs::FileType;

use super::super::unseen::{Limit, Unseen, Why};
use super::{Base, OpenError};
use crate::causes::with_causes;
use crate::system::dir::{Directory, FileError, Reach};

/// No more entries are looked at below one base.
const MOST: usize = 50_000;

/// A path of which some components can have any name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A directory of this name.
    Name(&'static str),
    /// Any directory.
    Any,
    /// Any directory whose name begins so.
    Beginning(&'static str),
    /// Any directory, named by the container.
    Container,
    /// A file whose name ends so.
    File(&'static str),
    /// Every directory with images, so many below.
    Below(usize),
}

impl Pattern {
    /// A path whose components are names, `*` for any directory, `name*` for one whose name begins so, `+` for that of a
    /// container, or `*.tar` for files.
    pub(super) fn of(path: &'static str) -> Self {
        let step = |component: &'static str| match (component, component.strip_prefix('*')) {
            ("*", _) => Step::Any,
            ("+", _) => Step::Container,
            (_, Some(ending)) => Step::File(ending),
            (name, None) => name.strip_suffix('*').map_or(Step::Name(name), Step::Beginning),
        };
        Pattern(path.split('/').map(step).collect())
    }

    /// Every directory with images, down to so many below. Below one of them is none.
    pub(super) fn below(depth: usize) -> Self {
        Pattern(vec![Step::Below(depth)])
    }
}

/// What matches.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    /// The paths below the base, with the directory that a container names.
    pub(super) paths: Vec<(PathBuf, Option<String>)>,
    /// Directories that could not be read.
    pub(super) failed: Vec<Unseen>,
    looked_at: usize,
    /// Whether it was said that names were left out.
    is_full: bool,
}

/// The directories and files below the base that match one of the patterns.
pub(super) fn expand(base: &Base, patterns: &[Pattern]) -> Result<Expanded, OpenError> {
    let directory = base.open()?;
    let mut found = Expanded::default();
    for Pattern(steps) in patterns {
        found.follow(&directory, Path::new(""), None, steps);
    }
    Ok(found)
}

impl Expanded {
    fn follow(&mut self, directory: &Directory, here: &Path, container: Option<&str>, steps: &[Step]) {
        let Some((step, rest)) = steps.split_first() else {
            self.paths.push((here.to_owned(), container.map(str::to_owned)));
            return;
        };
        let failed = self.step(directory, here, container, step, rest).err();
        if let Some(error) = failed.filter(|error| !error.is_no_directory()) {
            let place = directory.path().to_owned();
            self.failed.push(Unseen { place, why: Why::Unreadable(with_causes(&error)) });
        }
    }

    fn step(
        &mut self,
        directory: &Directory,
        here: &Path,
        container: Option<&str>,
        step: &Step,
        rest: &[Step],
    ) -> Result<(), FileError> {
        match step {
            Step::Name(name) => self.enter(directory, &here.join(name), container, rest),
            Step::Any | Step::Container | Step::Beginning(_) => {
                let beginning = if let Step::Beginning(beginning) = step { *beginning } else { "" };
                let begins = |name: &Vec<u8>| name.starts_with(beginning.as_bytes());
                for name in self.names(directory)?.into_iter().filter(begins) {
                    let path = here.join(OsStr::from_bytes(&name));
                    let text = String::from_utf8_lossy(&name);
                    let container = if *step == Step::Container { Some(text.as_ref()) } else { container };
                    // What is no directory, or went away, is none that matches.
                    let _ = self.enter(directory, &path, container, rest);
                }
                Ok(())
            }
            Step::Below(depth) => {
                let names = directory.names()?;
                let has_images = names.iter().any(|name| ImageKind::from_file_name(OsStr::from_bytes(name)).is_some());
                if has_images {
                    self.paths.push((here.to_owned(), None));
                } else if *depth > 0 {
                    for name in self.counted(directory, names) {
                        let _ = self.enter(
                            directory,
                            &here.join(OsStr::from_bytes(&name)),
                            None,
                            &[Step::Below(depth - 1)],
                        );
                    }
                }
                Ok(())
            }
            Step::File(ending) => {
                for name in self.names(directory)?.into_iter().filter(|name| name.ends_with(ending.as_bytes())) {
                    let name = OsStr::from_bytes(&name);
                    let entry = directory.entry(name)?;
                    if entry.is_some_and(|entry| entry.file_type() == FileType::RegularFile) {
                        self.paths.push((here.join(name), None));
                    }
                }
                Ok(())
            }
        }
    }

    /// Goes to `path`, whose last component is in the directory.
    fn enter(
        &mut self,
        directory: &Directory,
        path: &Path,
        container: Option<&str>,
        rest: &[Step],
    ) -> Result<(), FileError> {
        let name = path.file_name().unwrap_or_default();
        let next = directory.below(Path::new(name), Reach::AcrossMounts)?;
        let next = if rest.is_empty() { next } else { next.reopened()? };
        self.follow(&next, path, container, rest);
        Ok(())
    }

    fn names(&mut self, directory: &Directory) -> Result<Vec<Vec<u8>>, FileError> {
        let names = directory.names()?;
        Ok(self.counted(directory, names))
    }

    /// As many names as may still be looked at.
    fn counted(&mut self, directory: &Directory, names: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let left = MOST.saturating_sub(self.looked_at);
        self.looked_at += names.len();
        if names.len() > left && !self.is_full {
            self.is_full = true;
            let place = directory.path().to_owned();
            self.failed.push(Unseen { place, why: Why::Limit(Limit::Names(MOST)) });
        }
        names.into_iter().take(left).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn expanded(top: &Path, patterns: &[&'static str]) -> Vec<PathBuf> {
        let patterns: Vec<Pattern> = patterns.iter().map(|path| Pattern::of(path)).collect();
        let found = expand(&Base::Named(top.to_owned()), &patterns).unwrap();
        assert_eq!(found.failed, []);
        found.paths.into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn directories_and_files_match_and_links_do_not() {
        let top = tempfile::tempdir().unwrap();
        for path in ["a/userdata/checkpoint", "b/userdata", "c/userdata/checkpoint"] {
            fs::create_dir_all(top.path().join(path)).unwrap();
        }
        symlink(top.path().join("a"), top.path().join("link")).unwrap();
        symlink("x.tar", top.path().join("link.tar")).unwrap();
        fs::write(top.path().join("x.tar"), "").unwrap();
        fs::create_dir(top.path().join("y.tar")).unwrap();
        let checkpoints = expanded(top.path(), &["*/userdata/checkpoint"]);
        assert_eq!(checkpoints, ["a/userdata/checkpoint", "c/userdata/checkpoint"].map(PathBuf::from));
        assert_eq!(expanded(top.path(), &["*.tar"]), [PathBuf::from("x.tar")]);
        assert_eq!(expanded(top.path(), &["none/*", "a"]), [PathBuf::from("a")]);
        fs::create_dir(top.path().join("bc")).unwrap();
        assert_eq!(expanded(top.path(), &["b*"]), ["b", "bc"].map(PathBuf::from));
    }

    #[test]
    fn directories_with_images_are_found_to_a_depth() {
        let top = tempfile::tempdir().unwrap();
        for path in ["one", "two/images", "1/2/3/4", "one/below"] {
            fs::create_dir_all(top.path().join(path)).unwrap();
            fs::write(top.path().join(path).join("inventory.img"), "").unwrap();
        }
        let found = expand(&Base::Named(top.path().to_owned()), &[Pattern::below(3)]).unwrap();
        let paths: Vec<PathBuf> = found.paths.into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["one", "two/images"].map(PathBuf::from));
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let error = expand(&Base::Named("/no/such".into()), &[Pattern::of("*")]).unwrap_err();
        assert!(error.is_nothing(), "{error}");
    }
}
