// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report's sentences: why something cannot be reached or known, and notes that explain the list.

use crate::carrier::{Cause, Elsewhere};
use crate::causes::with_causes;
use crate::checkpoint::{
    Checkpoint, Completeness, Ending, FailedRestore, FinalState, ImageProblem, ImageProblemKind, LinkCounts, Restores,
    Rollback,
};
use crate::firewall::LookFailure;
use crate::host::{Hidden, HiddenBy};
use crate::kind::Unknown;
use crate::mounts::Unreachable;
use crate::part::Part;
use crate::probe::{Finding, Survey};
use crate::record::{Beside, Boot, FILE_NAME, Trust};
use crate::tree::{Fallback, Guard, LiveTask, TreeState, UnknownTree};

/// Why an object could not be looked for.
pub(super) fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::Open(error) => format!("cannot be reached: {}", with_causes(error)),
        Cause::Ambiguous(paths) => {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            format!("the images are ambiguous; they could mean any of these files: {}", paths.join(", "))
        }
        Cause::Silent(told) => told.clone(),
        Cause::Elsewhere(elsewhere) => elsewhere_text(elsewhere),
        Cause::Firewall => "some places where it could be could not be read".to_owned(),
        Cause::Untied { key } => {
            let options = options_for_namespace(key.as_deref());
            format!("nothing tells which network namespace it is in; name that with {options}")
        }
        Cause::RestoredElsewhere { key } => {
            let options = options_for_namespace(key.as_deref());
            format!("a failed restore may have left one in another network namespace; name that with {options}")
        }
        Cause::Mount(unreachable) => format!("cannot be reached: {}", unreachable_text(unreachable)),
    }
}

/// The options that name the network namespace; the key is that of the images.
fn options_for_namespace(key: Option<&[u8]>) -> String {
    match key {
        Some(key) => format!("--external net[{}]:PATH or --netns PATH", String::from_utf8_lossy(key)),
        None => "--netns PATH".to_owned(),
    }
}

fn elsewhere_text(elsewhere: &Elsewhere) -> String {
    match elsewhere {
        Elsewhere::OtherFilesystem => {
            "not found, but another filesystem may now have the device number of the dumped one".to_owned()
        }
        Elsewhere::NotRecorded => {
            "not found, but the dump's record names a filesystem that is not mounted there now".to_owned()
        }
        Elsewhere::NoStore(upper) => {
            format!("neither {} nor its container store exists on this host", upper.display())
        }
        Elsewhere::OtherNamespace(unseen) => format!("it is not in this mount namespace, and {}", unseen.why),
        Elsewhere::Covered(mountpoint) => {
            format!("another mount covers it; to remove it, unmount {} first", mountpoint.display())
        }
        Elsewhere::PerhapsCovered(Hidden { mountpoint, cause: HiddenBy::Mount }) => {
            format!("it may be on the mount at {}, which another mount covers", mountpoint.display())
        }
        Elsewhere::PerhapsCovered(Hidden { mountpoint, cause: HiddenBy::Refused(error) }) => {
            format!("it may be below the mount at {}, which the kernel lets nobody open: {error}", mountpoint.display())
        }
        Elsewhere::Returned => "it was missing and reappeared a moment later".to_owned(),
        Elsewhere::Untouched(directory) => format!(
            "not found, but {} has not changed since before the dump: another filesystem may have been mounted there \
             then, or the images are a copy with new times",
            directory.display()
        ),
    }
}

fn unreachable_text(unreachable: &Unreachable) -> String {
    match unreachable {
        Unreachable::NotMounted { device: (major, minor), mountpoint } => format!(
            "the filesystem {major}:{minor} that the tree had mounted at {} is not mounted on this host",
            mountpoint.display()
        ),
        Unreachable::Hidden { device: (major, minor), mountpoint, unseen } => {
            let why: Vec<&str> = unseen.iter().map(|unseen| unseen.why.as_str()).collect();
            format!(
                "the tmpfs {major}:{minor} that the tree had mounted at {} may still exist where criu-gc cannot look: \
                 {}",
                mountpoint.display(),
                why.join("; ")
            )
        }
        Unreachable::NotShown { device: (major, minor) } => {
            format!("the filesystem {major}:{minor} is mounted, but no mount exposes the file's directory")
        }
        Unreachable::Plugin => "a CRIU plugin dumped its mount".to_owned(),
        Unreachable::DeviceReused { device: (major, minor) } => {
            format!("another filesystem now has the device number {major}:{minor}")
        }
        Unreachable::RootDeleted => "the directory mounted there had been deleted".to_owned(),
        Unreachable::ExternalKeyOnly { key } => format!(
            "the images give only the key of its mount; name the mount with --external mnt[{}]:PATH",
            key.to_string_lossy()
        ),
        Unreachable::UnknownMount => "the images do not say which mount it is on".to_owned(),
        Unreachable::NoHierarchy => "its control group hierarchy is not mounted here".to_owned(),
    }
}

/// What cannot be known about a checkpoint, or about the chosen part of what it left.
pub(super) fn cannot_be_known(checkpoint: &Checkpoint, survey: &Survey, only: Option<Part>) -> Vec<String> {
    let is_chosen = |part: Part| only.is_none_or(|only| only == part);
    let matters =
        |problem: &&ImageProblem| problem.part().is_none_or(is_chosen) && !is_made_up_for(problem, checkpoint);
    let mut sentences: Vec<String> = checkpoint.problems.iter().filter(matters).map(image_problem).collect();
    let unknown = survey.unknown.iter().filter(|unknown| is_chosen(unknown.part));
    sentences.extend(unknown.map(|Unknown { sentence, .. }| sentence.clone()));
    if is_chosen(Part::Network) {
        sentences.extend(survey.failures.iter().map(look_failure));
    }
    // Nothing is left that a living tree would have to be protected from.
    let is_settled = checkpoint.rolled_back.is_some() && !survey.findings.iter().any(Finding::is_present);
    // The tree of an interrupted dump need not be dead.
    let has_to_be_dead = survey.tree.guard == Guard::Dead;
    match survey.tree.unknown.as_ref().filter(|_| !is_settled) {
        Some(UnknownTree::NoTasks | UnknownTree::Nameless | UnknownTree::Undecided(_)) if !has_to_be_dead => {}
        Some(UnknownTree::NoTasks) => sentences.push("no image says which processes were dumped".to_owned()),
        Some(UnknownTree::Nameless) => {
            sentences
                .push("a process has the pid of a dumped one, and no image gives the dumped one's name".to_owned());
        }
        Some(UnknownTree::Hidden(why)) => sentences.push(format!("a process of the dumped tree may be alive: {why}")),
        Some(UnknownTree::Undecided(task)) => {
            let name = String::from_utf8_lossy(&task.name).into_owned();
            sentences.push(format!("process {} ({name}) may be a dumped or a restored one", task.pid));
        }
        None => {}
    }
    sentences
}

/// The log of an interrupted dump tells what the end of an image would have, if it is so detailed that it names every deleted
/// file and every rule.
fn is_made_up_for(problem: &ImageProblem, checkpoint: &Checkpoint) -> bool {
    let is_settled = checkpoint.link_counts.as_ref().is_some_and(LinkCounts::is_settled);
    match problem.kind {
        ImageProblemKind::Cut(_)
        | ImageProblemKind::Missing
        | ImageProblemKind::LacksLinkRemaps { .. }
        | ImageProblemKind::LacksSockets { .. } => is_settled,
        ImageProblemKind::UnknownVersion(_)
        | ImageProblemKind::Unreadable(_)
        | ImageProblemKind::OddRecords { .. }
        | ImageProblemKind::OddEntries { .. }
        | ImageProblemKind::OtherRun
        | ImageProblemKind::NotPermitted
        | ImageProblemKind::NotRecorded(_) => false,
    }
}

/// How many link remaps are where the log of an interrupted dump leads, and what leads to each.
fn counts_note(checkpoint: &Checkpoint) -> Option<String> {
    let counts = checkpoint.link_counts.as_ref().filter(|counts| counts.on_disk > 0)?;
    let LinkCounts { on_disk, by_images, by_log, others, .. } = counts;
    let log = checkpoint.log_file.as_ref().map_or("the log", |file| file.name.as_str());
    let examples: Vec<_> = others.iter().map(|path| String::from_utf8_lossy(path)).collect();
    let examples = if examples.is_empty() { String::new() } else { format!(" (such as {})", examples.join(", ")) };
    let neither = counts.by_neither();
    Some(format!(
        "{} in the directories of {log}: the images name {by_images}, the log leads to {by_log}, nothing to {neither}{examples}",
        count(*on_disk as u64, "link remap")
    ))
}

fn look_failure(failure: &LookFailure) -> String {
    format!("cannot look at {} in {}: {}", failure.part, failure.namespace, failure.error)
}

/// What the reader should know to understand the list.
pub(super) fn notes(checkpoint: &Checkpoint, tree: &TreeState) -> Vec<String> {
    let mut notes = Vec::new();
    if checkpoint.is_pre_dump() {
        notes.push("these images are from a pre-dump, which leaves nothing behind".to_owned());
    }
    notes.extend(log_note(checkpoint));
    notes.extend(ending_note(checkpoint, tree));
    notes.extend(counts_note(checkpoint));
    if checkpoint.times.has_future {
        notes.push("an image's time lies in the future, so criu-gc ignores the times of the images".to_owned());
    }
    if let Some(restored) = &checkpoint.restores.succeeded {
        notes.push(format!("{} shows that a restore from these images completed", restored.file));
    }
    notes.extend(checkpoint.restores.failed.iter().map(|restore| failed_restore(restore, &checkpoint.restores)));
    notes.extend(tree.fallback.iter().map(fallback));
    if tree.started_again.is_some() && tree.fallback.is_empty() && checkpoint.restores.are_excluded() {
        notes.push("the engine started the container again after the dump, and not from these images".to_owned());
    }
    notes.extend(record_note(&checkpoint.record));
    notes
}

fn failed_restore(restore: &FailedRestore, restores: &Restores) -> String {
    let log = &restore.log;
    match restores.are_excluded() {
        true => format!("{log} shows that a restore failed, so what it changed does not count as a newer dump's"),
        false => format!(
            "{log} shows that a restore failed, but an earlier restore may have succeeded: the images were read before, \
             or do not show when"
        ),
    }
}

fn fallback(fallback: &Fallback) -> String {
    let LiveTask { pid, name, .. } = &fallback.task;
    let name = String::from_utf8_lossy(name);
    format!("process {pid} ({name}) runs in place of the dumped tree: it was started afresh, not restored")
}

/// What the log says about the end of the dump.
fn log_note(checkpoint: &Checkpoint) -> Option<String> {
    let name = checkpoint.log_file.as_ref().map(|file| &file.name)?;
    if checkpoint.rolled_back.is_some() {
        return Some(format!("{name} says that the dump failed and that CRIU removed what it had created"));
    }
    match (checkpoint.log.failed, checkpoint.log.final_state) {
        (Some(Rollback::WithErrors), _) => {
            Some(format!("{name} says that the dump failed, with errors when CRIU removed what it had created"))
        }
        (_, Some(FinalState::Alive)) => {
            Some(format!("{name} says that the tasks were left running, so CRIU removed what it had created"))
        }
        (_, Some(FinalState::Stopped)) => Some(format!(
            "{name} says that the tasks were left stopped: their sockets stay in TCP_REPAIR, which removal does not fix"
        )),
        (_, Some(FinalState::Dead) | None) => None,
    }
}

/// How the dump ended, if that is not how a dump ends.
/// Whether CRIU itself removed what the dump had left, by the log.
fn was_undone(checkpoint: &Checkpoint) -> bool {
    checkpoint.rolled_back.is_some() || checkpoint.log.final_state == Some(FinalState::Alive)
}

fn ending_note(checkpoint: &Checkpoint, tree: &TreeState) -> Option<String> {
    let task = tree.alive.first().map(|task| format!("process {} ({})", task.pid, String::from_utf8_lossy(&task.name)));
    match (checkpoint.ending, task) {
        (Ending::PowerLost, _) => Some(
            "every image and log is empty, as after a power loss right after the dump: nothing says what it left".to_owned(),
        ),
        (Ending::Interrupted, Some(_)) if was_undone(checkpoint) => None,
        (Ending::Interrupted, Some(_)) => Some(
            "the dump was interrupted: no restore from these images is possible, so what it left is removed although the \
             tree runs"
                .to_owned(),
        ),
        (Ending::Interrupted, None) | (Ending::Unknown, None) => None,
        (Ending::Unknown, Some(task)) => is_whole_without_end(checkpoint).then(|| {
            format!(
                "the images are complete, but {task} runs: the dump was rolled back or left the tree running, or a page \
                 server ended; a restore would start the tree a second time"
            )
        }),
    }
}

/// The images are whole, and nothing says that the tree was left as it is.
fn is_whole_without_end(checkpoint: &Checkpoint) -> bool {
    let is_stopped = checkpoint.log.final_state == Some(FinalState::Stopped);
    checkpoint.completeness == Completeness::Complete && !checkpoint.log.dump_finished && !is_stopped
}

fn record_note(record: &Beside) -> Option<String> {
    match record {
        Beside::Nothing => None,
        Beside::Ignored(why) => Some(format!("{FILE_NAME} is not used: {why}")),
        Beside::Found(record) => match (record.trust, record.boot) {
            (Trust::KeepOnly, _) => Some(format!(
                "users other than root can write {} or its directory, so it can only be a reason to keep something",
                record.name
            )),
            (Trust::Full, Boot::Earlier) => {
                Some(format!("{} was written before the last boot, so it identifies only files", record.name))
            }
            (Trust::Full, Boot::This) => None,
        },
    }
}

fn image_problem(problem: &ImageProblem) -> String {
    match &problem.kind {
        ImageProblemKind::Cut(cut) => {
            format!("{} is truncated ({cut}), so what the rest names is not known", problem.image)
        }
        ImageProblemKind::Missing => {
            format!(
                "{} is missing: the dump failed or was killed, and may have left more than the images name",
                problem.image
            )
        }
        ImageProblemKind::UnknownVersion(version) => format!(
            "{} gives version {version} of the image format, which this criu-gc does not support: the images may name \
             more than it understands",
            problem.image
        ),
        ImageProblemKind::Unreadable(error) => {
            format!(
                "{} cannot be read ({error}): it may be of a format that this criu-gc does not support",
                problem.image
            )
        }
        ImageProblemKind::OddRecords { first, count: odd } => format!(
            "{} has {} that CRIU does not write ({first}), so what they name is not known",
            problem.image,
            count(*odd as u64, "record")
        ),
        ImageProblemKind::OddEntries { first, count: 1, oddity } => format!("{first} {}", oddity.words()),
        ImageProblemKind::OddEntries { first, count, oddity } => {
            format!("{first} {} (the first of {count} such entries)", oddity.words())
        }
        ImageProblemKind::LacksLinkRemaps { count: missing } => {
            let missing = count(*missing as u64, "link remap");
            format!("{} is truncated: it lacks {missing} that other images have", problem.image)
        }
        ImageProblemKind::LacksSockets { count: missing } => {
            let missing = count(*missing as u64, "socket");
            format!("{} is truncated: it lacks {missing} of connections that have images", problem.image)
        }
        ImageProblemKind::NotPermitted => {
            format!("this user may not read {}, so what it says about the dump is not known", problem.image)
        }
        ImageProblemKind::NotRecorded(what) => format!("{} is incomplete: {what}", problem.image),
        ImageProblemKind::OtherRun => {
            format!("{} is from another run than the images: the directory was used more than once", problem.image)
        }
    }
}

/// A number of things.
pub(super) fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
