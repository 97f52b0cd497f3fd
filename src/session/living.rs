// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the targets of a cure to what is known of each: the images under their lock, or a pid.

use std::path::{Path, PathBuf};

use super::candidate::Candidate;
use super::find::{self, Described, Read};
use super::locks::{self, Locked, Locks, Purpose};
use super::prepare::own_layer;
use crate::checkpoint::{self, Checkpoint, LivingFacts};
use crate::error::{Error, Silent};
use crate::host;
use crate::locate::Given;
use crate::options::Options;
use crate::system::author::Author;

/// What is to be healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The tree of these images, as far as they name it: a path like those of [`look`](crate::look()).
    Checkpoint(PathBuf),
    /// This process and its descendants.
    Process(u32),
}

/// The targets, and the locks on their images.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) subjects: Vec<Subject>,
    _locks: Locks,
}

/// A target, or why it cannot be used.
#[derive(Debug)]
pub(crate) struct Subject {
    /// How it is named to people.
    pub(crate) name: String,
    pub(crate) state: Result<Clues, Error>,
}

/// What leads to the processes.
#[derive(Debug)]
pub(crate) enum Clues {
    /// Images of a dump.
    Images(Box<Images>),
    /// A pid.
    Process(u32),
}

/// Images of a dump, and what they tell of a tree that lives on.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) given: Given,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) facts: LivingFacts,
    pub(crate) note: Option<String>,
}

impl Images {
    /// Whether only root can have written the images and the log: what others say changes no process.
    pub(crate) fn is_trusted(&self) -> bool {
        let log = self.checkpoint.log_file.as_ref().map_or(Author::Trusted, |log| log.author);
        self.checkpoint.author.or(log) == Author::Trusted
    }
}

/// Opens the targets for a look.
pub(crate) fn open_to_look(targets: &[Target], options: &Options) -> Opened {
    open(targets, options, Purpose::Show)
}

/// Opens the targets for a cure: no other run uses the images meanwhile.
pub(crate) fn open_to_change(targets: &[Target], options: &Options) -> Opened {
    open(targets, options, Purpose::Remove)
}

fn open(targets: &[Target], options: &Options, purpose: Purpose) -> Opened {
    let mut subjects = Vec::new();
    let mut found: Vec<Candidate<Described>> = Vec::new();
    for target in targets {
        match target {
            Target::Process(pid) => {
                subjects.push(Subject { name: format!("process {pid}"), state: Ok(Clues::Process(*pid)) })
            }
            Target::Checkpoint(path) => match find::locate(path, options.work_dir.as_deref(), &options.observer) {
                Ok(candidates) => found.extend(candidates),
                Err(error) => found.push(Candidate { path: path.clone(), state: Err(error) }),
            },
        }
    }
    let (locks, locked) = locks::take(found, purpose, &options.observer);
    subjects.extend(locked.into_iter().map(|candidate| {
        let Candidate { path, state } = candidate.and_then(|locked| read(locked, options));
        Subject { name: path.display().to_string(), state: state.map(|images| Clues::Images(Box::new(images))) }
    }));
    Opened { subjects, _locks: locks }
}

fn read(locked: Locked, options: &Options) -> Result<Images, Error> {
    let Described { given, context, .. } = locked.described;
    let Read { given, mut checkpoint, .. } = find::read(given, options)?;
    if checkpoint.is_interrupted() {
        checkpoint.layer = own_layer(&context);
    }
    let path = given.path().to_owned();
    let (given, facts) = living_facts(given, &path)?;
    Ok(Images { given, checkpoint, facts, note: locked.note })
}

fn living_facts(given: Given, path: &Path) -> Result<(Given, LivingFacts), Error> {
    let answered = host::answer(&[path], move || {
        let facts = match &given {
            Given::Images(images) => checkpoint::living_facts(images)?,
            Given::Record(_) => LivingFacts::default(),
        };
        Ok::<_, checkpoint::ReadError>((given, facts))
    });
    answered.ok_or_else(|| Error::new(Silent::at(path)))?.map_err(Error::new)
}
