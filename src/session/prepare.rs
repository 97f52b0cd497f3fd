// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads and examines everything before anything is removed.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::arguments;
use super::candidate::Candidate;
use super::find::{self, Described, Read};
use super::locks::{self, Locked, Locks, Purpose};
use crate::carrier::Presence;
use crate::causes::with_causes;
use crate::checkpoint::Checkpoint;
use crate::error::{Cause, Error, Silent};
use crate::goal::Goal;
use crate::host::{self, Host, Wanted};
use crate::kept_state;
use crate::kind::{self, Claims};
use crate::locate::containerd::{self, Layer};
use crate::locate::context::Trust;
use crate::locate::{self, Context, Given, Layout};
use crate::logged;
use crate::mounts;
use crate::obstacle;
use crate::options::Options;
use crate::plan::{self, Item, Plan, Policy, Verdict};
use crate::probe::{self, Hints, Survey};
use crate::record::store::RecordStore;
use crate::report::{self, CheckpointReport, Origin};
use crate::save::Destination;
use crate::system::author::Author;
use crate::system::mountinfo::{option, unescape};
use crate::tree;

/// What follows from the options for every checkpoint.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) policy: Policy,
    pub(super) save: Option<Destination>,
    pub(super) record_store: RecordStore,
}

impl Settings {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let save = options.save.as_deref().map(check_destination).transpose()?;
        let own_changes = save.as_ref().map(|save| save.own_changes().clone()).unwrap_or_default();
        let policy =
            Policy { allowed: options.allowed.clone(), only: options.only, stranded: options.stranded, own_changes };
        Ok(Settings { policy, save, record_store: options.record_store.clone() })
    }

    /// A look saves nothing.
    pub(super) fn without_saving(options: &Options) -> Self {
        let (allowed, only, stranded) = (options.allowed.clone(), options.only, options.stranded);
        let policy = Policy { allowed, only, stranded, ..Policy::default() };
        Settings { policy, save: None, record_store: options.record_store.clone() }
    }
}

/// Whether files can be kept there, unless that does not answer.
fn check_destination(path: &Path) -> Result<Destination, Error> {
    let theirs = path.to_owned();
    match host::answer(&[path], move || Destination::check(&theirs)) {
        Some(checked) => checked.map_err(Error::new),
        None => Err(Error::new(Cause::SaveSilent(Silent::at(path)))),
    }
}

/// A checkpoint that was read and looked for, or why it cannot be used.
pub(super) type Prepared = Candidate<Ready>;

/// A checkpoint of which all is known.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) given: Given,
    pub(super) checkpoint: Checkpoint,
    pub(super) claims: Claims,
    pub(super) hints: Hints,
    pub(super) plan: Plan,
    pub(super) origin: Origin,
    pub(super) context: report::Context,
}

/// Finds the checkpoints in everything that was named, locks them, and then reads and looks for each. The error is that
/// of an option.
pub(super) fn all(
    named: &[PathBuf],
    options: &Options,
    settings: &Settings,
    purpose: Purpose,
) -> Result<(Locks, Vec<Prepared>), Error> {
    let mut found: Vec<Candidate<Described>> = Vec::new();
    for path in worth_reading(named, purpose) {
        match find::locate(&path, options.work_dir.as_deref(), &options.observer) {
            Ok(candidates) => found.extend(candidates),
            Err(error) => found.push(Candidate { path, state: Err(error) }),
        }
    }
    let (locks, locked) = locks::take(each_once(found), purpose, &options.observer);
    let read = |locked: Candidate<Locked>| locked.and_then(|locked| ReadImages::new(locked, options));
    let mut read: Vec<Candidate<ReadImages>> = locked.into_iter().map(read).collect();
    // A key may be in the images that cannot be read.
    if read.iter().all(|candidate| candidate.usable().is_some()) {
        let checkpoints: Vec<&Checkpoint> =
            read.iter().filter_map(Candidate::usable).map(|images| &images.checkpoint).collect();
        let notes = arguments::check(options, &checkpoints)?;
        for images in read.iter_mut().filter_map(|candidate| candidate.state.as_mut().ok()) {
            images.notes.extend(notes.iter().cloned());
        }
    }
    // One picture for all of them. Each removal looks again for itself.
    let mut wanted = Wanted::default();
    for images in read.iter().filter_map(Candidate::usable) {
        wanted.add(probe::wanted(&images.checkpoint, &images.claims));
        if images.goal == Goal::Restorable {
            wanted.add(probe::wanted(&images.checkpoint, &kind::needed_for_restore(&images.checkpoint)));
        }
    }
    let host = Host::look(wanted);
    let look = |read: Candidate<ReadImages>| read.and_then(|images| images.look(&host, settings));
    Ok((locks, read.into_iter().map(look).collect()))
}

/// What is to be opened: if a removal has to fail because a path does not exist, no large archive is read first. What does
/// not answer is there.
fn worth_reading(named: &[PathBuf], purpose: Purpose) -> Vec<PathBuf> {
    if named.len() < 2 || purpose == Purpose::Show {
        return named.to_vec();
    }
    let answers = host::bounded_each(named.to_vec(), |named: &PathBuf| locate::is_missing(named));
    let is_missing = named.iter().zip(answers).filter(|(_, answer)| *answer == Some(true));
    let missing: Vec<PathBuf> = is_missing.map(|(named, _)| named.clone()).collect();
    if missing.is_empty() { named.to_vec() } else { missing }
}

/// The same without those that were named before, by whatever path.
fn each_once(found: Vec<Candidate<Described>>) -> Vec<Candidate<Described>> {
    let mut seen = HashSet::new();
    let mut is_new = |candidate: &Candidate<Described>| {
        let identity = candidate.usable().and_then(|described| described.given.identity());
        identity.is_none_or(|identity| seen.insert(identity))
    };
    found.into_iter().filter(|candidate| is_new(candidate)).collect()
}

impl Prepared {
    /// What would be done.
    pub(super) fn report(&self) -> CheckpointReport {
        match &self.state {
            Ok(ready) => report::checkpoint(
                &self.path,
                &ready.checkpoint,
                ready.origin.clone(),
                ready.context.clone(),
                report::planned(ready.plan.items()),
            ),
            Err(error) => report::failed_checkpoint(&self.path, &with_causes(error)),
        }
    }

    /// Whether anything is to be removed.
    pub(super) fn removes_anything(&self) -> bool {
        self.usable().is_some_and(|ready| ready.plan.removes_anything())
    }

    /// Whether files are among what is to be removed.
    pub(super) fn removes_files(&self) -> bool {
        self.usable().is_some_and(Ready::removes_files)
    }
}

/// A checkpoint that was read, and not looked for yet.
pub(super) struct ReadImages {
    pub(super) given: Given,
    pub(super) checkpoint: Checkpoint,
    pub(super) claims: Claims,
    pub(super) hints: Hints,
    origin: Origin,
    goal: Goal,
    /// What is to be said of its lock, its stored record and the options.
    notes: Vec<String>,
}

impl ReadImages {
    pub(super) fn new(locked: Locked, options: &Options) -> Result<Self, Error> {
        let Locked { described, note } = locked;
        let Described { given, layout, context: metadata, archive } = described;
        let Read { given, mut checkpoint, note: of_store } = find::read(given, options)?;
        if checkpoint.is_interrupted() {
            complete(&mut checkpoint, &metadata);
        }
        let metadata = with_words_of_containerd(metadata, &checkpoint);
        if let (Some((failed, started)), Some(written)) = (metadata.own_failed_restore(), checkpoint.written_until) {
            checkpoint.restores.add_failure_by_engine(&failed.file, failed.value, started, written.latest());
        }
        let written = checkpoint.written;
        let origin = Origin { layout, archive, metadata: metadata.clone(), written };
        let mut hints = Hints { metadata, ..options.hints.clone() };
        hints.external_namespaces.extend(options.inherited.iter().cloned());
        let claims = kind::claims(&checkpoint, options.goal);
        let (goal, notes) = (options.goal, note.into_iter().chain(of_store).collect());
        Ok(ReadImages { given, checkpoint, claims, hints, origin, goal, notes })
    }

    /// Looks for what it left, and decides.
    fn look(self, host: &Host, settings: &Settings) -> Result<Ready, Error> {
        let ReadImages { given, checkpoint, claims, hints, origin, goal, notes } = self;
        let mut survey = survey(host, &given, &checkpoint, claims.clone(), &hints)?;
        survey.notes.extend(notes);
        match goal {
            Goal::Gc => {}
            // A restore that succeeded took them away.
            Goal::Restorable if checkpoint.restores.succeeded.is_some() || survey.tree.is_restored() => {}
            Goal::Restorable => {
                let missing = probe::missing_for_restore(host, &checkpoint, &hints).map_err(Error::new)?;
                survey.unknown.extend(missing);
            }
        }
        if origin.layout == Layout::Bundle {
            survey.notes.extend(kept_state::note(host, &given));
        }
        survey.notes.extend(obstacle::notes(host, &given, &checkpoint, &hints.metadata, &settings.record_store));
        let advice = host.advice(&probe::trace_of(&checkpoint)).filter(|_| survey.is_open());
        survey.notes.extend(advice.map(str::to_owned));
        let context = report::Context::new(&checkpoint, &survey, settings.policy.only);
        let plan = plan::decide(&checkpoint, survey, &settings.policy);
        Ok(Ready { given, checkpoint, claims, hints, plan, origin, context })
    }
}

/// Adds what containerd keeps of the container on this host.
fn with_words_of_containerd(metadata: Context, checkpoint: &Checkpoint) -> Context {
    let (mut completed, layer) = (metadata.clone(), layer_of(checkpoint));
    let look = move || {
        containerd::complete(&mut completed, layer.as_ref(), &host::own_mounts_at(Path::new("/run")));
        completed
    };
    host::answer(&[Path::new("/run")], look).unwrap_or(metadata)
}

/// The layer that the container wrote to.
fn layer_of(checkpoint: &Checkpoint) -> Option<Layer> {
    let namespace = checkpoint.root_mount_namespace()?;
    let mut roots = checkpoint.mounts.values().filter(|mount| mounts::mountpoint(&mount.entry) == b"/");
    let root = roots.find(|mount| mount.namespace == namespace)?;
    let upper = option(&root.entry.options, b"upperdir=").map(unescape)?;
    let trust = if checkpoint.author == Author::Trusted { Trust::Host } else { Trust::Stranger };
    Some(Layer { upper: OsString::from_vec(upper).into(), written: checkpoint.written?, trust })
}

/// Adds what the log and the living tree know of an interrupted dump, of which images are missing.
fn complete(checkpoint: &mut Checkpoint, metadata: &Context) {
    checkpoint.layer = own_layer(metadata);
    let host = Host::look(Wanted::default());
    let tree = tree::living(&host, checkpoint);
    checkpoint.held = host.deleted_files(tree.iter().map(|task| task.pid));
    tree::add_living_mounts(&host, &tree, checkpoint);
    logged::add_links(&host, &tree, checkpoint);
}

/// The layer of a container of this host's engine.
pub(super) fn own_layer(metadata: &Context) -> Option<Vec<u8>> {
    let root = metadata.own_root()?;
    mounts::layer_at(root, &host::own_mounts_at(root))
}

impl Ready {
    fn removes_files(&self) -> bool {
        let is_file = |item: &&Item| matches!(item.finding.presence, Presence::File(_));
        self.plan.items().iter().filter(is_file).any(|item| item.verdict == Verdict::Remove)
    }
}

/// Looks for what the checkpoint left.
pub(super) fn survey(
    host: &Host,
    given: &Given,
    checkpoint: &Checkpoint,
    claims: Claims,
    hints: &Hints,
) -> Result<Survey, Error> {
    probe::look(host, given, checkpoint, claims, hints).map_err(Error::new)
}
