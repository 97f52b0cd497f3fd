// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads and looks for everything before anything is removed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::locks::{self, Locks, Taken};
use super::with_causes;
use crate::archive::Progress;
use crate::carrier::Presence;
use crate::checkpoint::{self, Checkpoint};
use crate::cli::{Arguments, External};
use crate::host::{self, Host, Next, Wanted, Watched};
use crate::kind::{self, Claims};
use crate::locate::{self, Images, LocateError, Located};
use crate::mounts::MountHints;
use crate::plan::{self, Item, Plan, Policy, Verdict};
use crate::probe::{self, Hints, Survey};
use crate::report::{self, CheckpointReport, Origin};
use crate::save::Destination;
use crate::terminal::{ProgressLine, Terminal};

/// What the command line says about every checkpoint.
pub(super) struct Options {
    pub(super) hints: Hints,
    pub(super) policy: Policy,
    work_dir: Option<PathBuf>,
    pub(super) save: Option<Destination>,
}

impl Options {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, String> {
        let mut hints = Hints { namespaces: arguments.netns.clone(), ..Hints::default() };
        hints.mounts = MountHints { root: arguments.root.clone(), external: Vec::new() };
        for external in &arguments.external {
            match external.clone() {
                External::Mount { key, path } => hints.mounts.external.push((key, path)),
                External::NetworkNamespace { key, path } => hints.external_namespaces.push((key, path)),
            }
        }
        let save = arguments.save.as_deref().map(check).transpose()?;
        let policy = Policy {
            allowed: arguments.allow.iter().copied().collect(),
            own_changes: save.as_ref().map(|save| save.own_changes().clone()).unwrap_or_default(),
        };
        Ok(Options { hints, policy, work_dir: arguments.work_dir.clone(), save })
    }

    /// What a person is asked before anything is removed.
    pub(super) fn question(&self) -> &'static str {
        match self.save {
            None => "Remove this? The dump cannot be restored on this host afterwards.",
            Some(_) => "Save the files, and remove this? The dump cannot be restored on this host afterwards.",
        }
    }
}

/// Whether files can be kept there, unless that does not answer.
fn check(path: &Path) -> Result<Destination, String> {
    let theirs = path.to_owned();
    let checked = host::answer(&[path], move || Destination::check(&theirs).map_err(|error| error.to_string()));
    checked.unwrap_or_else(|| Err(host::does_not_answer(path)))
}

/// A checkpoint that was read and looked for, or why it cannot be used.
pub(super) struct Prepared {
    /// How it is named to people.
    pub(super) path: PathBuf,
    pub(super) state: Result<Ready, String>,
}

/// A checkpoint of which all is known.
pub(super) struct Ready {
    pub(super) images: Images,
    pub(super) checkpoint: Checkpoint,
    pub(super) claims: Claims,
    pub(super) hints: Hints,
    pub(super) plan: Plan,
    pub(super) origin: Origin,
    pub(super) context: report::Context,
}

/// Finds the checkpoints in everything that the user named, locks them, and then reads and looks for each.
pub(super) fn all(
    named: &[PathBuf],
    options: &Options,
    purpose: locks::Purpose,
    terminal: &mut Terminal,
) -> (Locks, Vec<Prepared>) {
    let mut found: Vec<(PathBuf, Result<Located, String>)> = Vec::new();
    for path in named {
        match locate(path, options.work_dir.as_deref(), &terminal.progress()) {
            Ok(located) => found.extend(located.into_iter().map(|each| (each.images.path().to_owned(), Ok(each)))),
            Err(told) => found.push((path.clone(), Err(told))),
        }
    }
    let usable: Vec<&Images> = found.iter().flat_map(|(_, located)| located).map(|located| &located.images).collect();
    let (locks, taken) = locks::take(&usable, purpose, terminal);
    let mut taken = taken.into_iter();
    let mut read = |located: Located| {
        let taken = taken.next().unwrap_or_else(|| Taken::No("nobody asked for its lock".to_owned()));
        ReadImages::of(located, taken, options)
    };
    let read: Vec<(PathBuf, Result<ReadImages, String>)> =
        found.into_iter().map(|(path, located)| (path, located.and_then(&mut read))).collect();
    // One picture for all of them. Each removal looks again for itself.
    let mut wanted = Wanted::default();
    for images in read.iter().flat_map(|(_, images)| images) {
        wanted.add(probe::wanted(&images.checkpoint, &images.claims));
    }
    let host = Host::look(wanted);
    let prepare = |(path, images): (PathBuf, Result<ReadImages, String>)| {
        let state = images.and_then(|images| images.look(&host, options));
        Prepared { path, state }
    };
    (locks, read.into_iter().map(prepare).collect())
}

/// What the thread that looks for checkpoints tells.
enum Told {
    /// How far it has come.
    Progress(String),
    /// It reads from a pipe, whose other end may take its time.
    Pipe,
    /// What it found.
    Found(Result<Vec<Located>, LocateError>),
}

/// Finds the checkpoints in what was named, on a watched thread.
fn locate(named: &Path, work_dir: Option<&Path>, line: &ProgressLine) -> Result<Vec<Located>, String> {
    let mut patience = host::patience_with(&[named, work_dir.unwrap_or(named)]);
    let (path, work_dir) = (named.to_owned(), work_dir.map(Path::to_owned));
    let is_seen = line.is_seen();
    let start = Watched::start("locate", move |sender| {
        if locate::is_pipe(&path) {
            let _ = sender.send(Told::Pipe);
        }
        let tell = |progress: Progress<'_>| {
            if is_seen {
                let _ = sender.send(Told::Progress(how_far(progress)));
            }
        };
        let _ = sender.send(Told::Found(locate::locate(&path, work_dir.as_deref(), &tell)));
    });
    let mut worker = start.map_err(|error| format!("cannot start a thread: {error}"))?;
    loop {
        match worker.next(patience) {
            Next::Message(Told::Progress(text)) => line.show(|| text),
            Next::Message(Told::Pipe) => patience = Duration::MAX,
            Next::Message(Told::Found(found)) => return found.map_err(|error| not_located(&error)),
            Next::Ended | Next::Silent => return Err(host::does_not_answer(named)),
        }
    }
}

/// Reads the images on a watched thread.
fn read(images: Images, work_dir: Option<&Path>) -> Result<(Images, Checkpoint), String> {
    let path = images.path().to_owned();
    let read = host::answer(&[&path, work_dir.unwrap_or(&path)], move || {
        let checkpoint = checkpoint::read(&images).map_err(|error| with_causes(&error))?;
        Ok((images, checkpoint))
    });
    read.unwrap_or_else(|| Err(host::does_not_answer(&path)))
}

/// What is not in a container may be on its host.
fn not_located(error: &LocateError) -> String {
    let LocateError::Directory(directory) = error else { return with_causes(error) };
    let told = directory.to_string_with_cause();
    if directory.is_not_found() && host::has_other_mounts() {
        return format!("{told}; process 1 has another root directory: if that is what is meant, use --host");
    }
    told
}

fn how_far(progress: Progress<'_>) -> String {
    let Progress { path, read, size } = progress;
    let (path, read) = (path.display(), read >> 20);
    match size {
        Some(size) => format!("reads {path}: {read} of {} MiB", size >> 20),
        None => format!("reads {path}: {read} MiB"),
    }
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
            Err(error) => report::failed_checkpoint(&self.path, error),
        }
    }

    /// Whether anything is to be removed.
    pub(super) fn removes_anything(&self) -> bool {
        self.state.as_ref().is_ok_and(|ready| ready.plan.removes_anything())
    }

    /// Whether files are among what is to be removed.
    pub(super) fn removes_files(&self) -> bool {
        self.state.as_ref().is_ok_and(Ready::removes_files)
    }
}

/// A checkpoint that was read, and not looked for yet.
struct ReadImages {
    images: Images,
    checkpoint: Checkpoint,
    claims: Claims,
    hints: Hints,
    origin: Origin,
    /// What is to be said of its lock.
    note: Option<String>,
}

impl ReadImages {
    fn of(located: Located, taken: Taken, options: &Options) -> Result<Self, String> {
        let note = match taken {
            Taken::Yes => None,
            Taken::Without(note) => Some(note),
            Taken::No(why) => return Err(why),
        };
        let Located { images, layout, context: metadata, archive } = located;
        let (images, checkpoint) = read(images, options.work_dir.as_deref())?;
        let origin = Origin { layout, archive, metadata: metadata.clone() };
        let hints = Hints { metadata, ..options.hints.clone() };
        let claims = kind::claims(&checkpoint).map_err(|error| format!("{}/{error}", images.path().display()))?;
        Ok(ReadImages { images, checkpoint, claims, hints, origin, note })
    }

    /// Looks for what it left, and decides.
    fn look(self, host: &Host, options: &Options) -> Result<Ready, String> {
        let ReadImages { images, checkpoint, claims, hints, origin, note } = self;
        let mut survey = survey(host, &images, &checkpoint, claims.clone(), &hints)?;
        survey.notes.extend(note);
        let advice = host.advice(&probe::trace_of(&checkpoint)).filter(|_| survey.is_open());
        survey.notes.extend(advice.map(str::to_owned));
        let context = report::Context::new(&checkpoint, &survey);
        let plan = plan::decide(&checkpoint, survey, &options.policy);
        Ok(Ready { images, checkpoint, claims, hints, plan, origin, context })
    }
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
    images: &Images,
    checkpoint: &Checkpoint,
    claims: Claims,
    hints: &Hints,
) -> Result<Survey, String> {
    probe::look(host, images, checkpoint, claims, hints).map_err(|error| with_causes(&error))
}
