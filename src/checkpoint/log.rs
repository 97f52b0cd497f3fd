// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What CRIU's own log adds to the images.
//!
//! A log is a hint: it may be from another run, truncated, or written by anybody. It contains what no image records:
//! the run id of a dump that never finished, the root task's real pid, the final state of the tasks, and how and why a
//! dump failed.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use super::RunId;
use crate::connection::Connection;
use crate::system::author::Author;
use crate::time::Timestamp;
use failure::Failure;
pub use files::{Detail, LoggedFiles};

mod failure;
mod files;
mod rules;

/// No line of interest is longer; the rest of a longer one is passed over.
const LINE_LIMIT: u64 = 4096;

/// No more connections are noted: as many as images may name.
const LOCKED: usize = 100_000;

/// No more processes of the tree are noted.
const SEIZED: usize = 100_000;

/// No more bind mounts are noted.
const BINDS: usize = 1_000;
/// Where a restore builds the mounts of a tree, in a directory for each mount namespace (`create_mnt_roots` in `criu/mount.c`).
const YARD: &[u8] = b"/tmp/.criu.mntns.";
/// No more control groups are noted.
const GROUPS: usize = 10_000;

/// A connection that the log says was to be locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedLock {
    /// Its two ends.
    pub connection: Connection,
    /// The line, from 0.
    pub line: u64,
    /// Its offset.
    pub offset: u64,
}

/// A control group that the log says was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedGroup {
    /// Its path below the directory with the hierarchies, with a leading slash: `/pids/GROUP`, `/unified/GROUP`.
    pub path: Vec<u8>,
    /// The line, from 0.
    pub line: u64,
    /// Where the line begins, in bytes.
    pub offset: u64,
}

/// What one log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// `CRIU run id = …`.
    pub run_id: Option<RunId>,
    /// `Dumping processes (pid: … comm: …)`: the root task in CRIU's pid namespace.
    pub root_pid: Option<u32>,
    /// The name of the same.
    pub root_name: Option<Vec<u8>>,
    /// `Seized task …`: the processes of the tree in CRIU's pid namespace.
    pub seized: Vec<u32>,
    /// Files whose names were gone.
    pub files: LoggedFiles,
    /// `Running iptables […]`: connections that were to be locked, in one direction each.
    pub locked: Vec<LoggedLock>,
    /// `Dumping finished successfully`.
    pub dump_finished: bool,
    /// `Unfreezing tasks into …`.
    pub final_state: Option<FinalState>,
    /// `Restore finished successfully`.
    pub restore_finished: bool,
    /// `Restoring FAILED`.
    pub restore_failed: bool,
    /// `Running post-setup-namespaces scripts` without `Unlock network`: with `--empty-ns network` a restore locks the network
    /// namespace before the one, and says the other when it unlocks it (`restore_root_task` in `criu/cr-restore.c`).
    pub has_locked: bool,
    /// `cg: Created cgroup dir …`: control groups that a restore made.
    pub made_groups: Vec<LoggedGroup>,
    /// `mnt: Bind …`: sources of bind mounts that a restore made with the older mount engine, as the tree sees them.
    pub bound: Vec<Vec<u8>>,
    /// How long after the start of the log its last line was written.
    pub took: Option<Duration>,
    /// `Dumping FAILED`, which CRIU writes after it has taken back what it did (`cr_dump_finish` in `criu/cr-dump.c`).
    pub failed: Option<Rollback>,
    /// The control group that the dump was freezing when its log ends. Nothing if the group was frozen before, so that
    /// somebody else had paused it.
    pub freezing: Option<Freezing>,
    /// The links that a dump could not make because their names exist.
    pub obstacles: Vec<Obstacle>,
}

/// A log of CRIU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// Who may have written it.
    pub author: Author,
    /// When it was made, where the filesystem tells.
    pub born: Option<Timestamp>,
    /// When it was last written.
    pub written: Option<Timestamp>,
}

impl LogFacts {
    /// Whether it is the log of a dump: that of a restore has a run id too.
    pub fn is_of_dump(&self) -> bool {
        self.root_pid.is_some() || self.failed.is_some() || self.final_state.is_some()
    }
}

/// A control group that a dump freezes (`freeze_processes` in `criu/seize.c`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezing {
    /// Its directory, as `--freeze-cgroup` named it.
    pub directory: Vec<u8>,
    /// Whether its tasks ran before: the log says so.
    pub ran_before: Option<bool>,
}

/// How far a failed dump could take back what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollback {
    /// No error followed.
    Whole,
    /// It met errors.
    WithErrors,
}

/// A link that a dump could not make because its name exists. Which of the two names the log has depends on the version
/// of CRIU and on `-v`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacle {
    /// The link, absolute, as the tree saw it.
    pub link: Option<Vec<u8>>,
    /// The file that it was to stand for, absolute, as the tree saw it.
    pub original: Option<Vec<u8>>,
}

/// A dump ends with the first link that it cannot make.
const OBSTACLES: usize = 4;

/// What became of the tasks at the end of a dump (`enum` of task states, `criu/include/pstree.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalState {
    /// They run on, and CRIU took back what it had left: `--leave-running`, or a dump that failed.
    Alive,
    /// They were killed.
    Dead,
    /// They stay stopped: `--leave-stopped`.
    Stopped,
}

/// Reads CRIU's log.
pub fn read(mut log: impl BufRead) -> io::Result<LogFacts> {
    let mut facts = LogFacts::default();
    let mut failure = Failure::default();
    let mut line = Vec::new();
    let mut place = Place::default();
    loop {
        line.clear();
        if log.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
            facts.files.finish();
            return Ok(LogFacts { failed: failure.rollback, obstacles: failure.obstacles, ..facts });
        }
        note(&mut facts, &line, place);
        if let Some(message) = after(&line, b"") {
            facts.files.note(message.trim_ascii_end(), place);
        }
        failure.note(line.trim_ascii_end());
        let rest = if line.ends_with(b"\n") { 0 } else { log.skip_until(b'\n')? };
        place = Place { line: place.line + 1, offset: place.offset + (line.len() + rest) as u64 };
    }
}

/// Where in the log a line is.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    line: u64,
    offset: u64,
}

fn note(facts: &mut LogFacts, line: &[u8], place: Place) {
    if let Some(rest) = after(line, b"CRIU run id = ") {
        // A restore logs the dump's id too, in a line of its own ("Dump CRIU run id"), which does not match.
        facts.run_id = RunId::new(rest.trim_ascii_end()).or(facts.run_id.take());
    } else if let Some(rest) = after(line, b"Dumping processes (pid: ") {
        facts.root_pid = number(rest).or(facts.root_pid);
        facts.root_name = name(rest).or(facts.root_name.take());
    } else if let Some(rest) = after(line, b"Seized task ") {
        facts.seized.extend(number(rest).filter(|_| facts.seized.len() < SEIZED));
    } else if let Some(connection) = after(line, b"").and_then(rules::locked) {
        if facts.locked.len() < LOCKED {
            facts.locked.push(LoggedLock { connection, line: place.line, offset: place.offset });
        }
    } else if after(line, b"Dumping finished successfully").is_some() {
        facts.dump_finished = true;
    } else if let Some(rest) = after(line, b"Unfreezing tasks into ") {
        facts.final_state = match number(rest) {
            Some(1) => Some(FinalState::Alive),
            Some(2) => Some(FinalState::Dead),
            Some(3) => Some(FinalState::Stopped),
            _ => facts.final_state,
        };
        facts.freezing = None;
    } else if after(line, b"Restore finished successfully").is_some() {
        facts.restore_finished = true;
    } else if after(line, b"Running post-setup-namespaces scripts").is_some() {
        facts.has_locked = true;
    } else if after(line, b"net: Unlock network").or_else(|| after(line, b"Unlock network")).is_some() {
        facts.has_locked = false;
    } else if let Some(group) = after(line, b"cg: Created cgroup dir ") {
        if facts.made_groups.len() < GROUPS {
            let path = [b"/", group.strip_suffix(b"\n").unwrap_or(group)].concat();
            facts.made_groups.push(LoggedGroup { path, line: place.line, offset: place.offset });
        }
    } else if let Some(source) = after(line, b"").and_then(bound) {
        if facts.bound.len() < BINDS {
            facts.bound.push(source);
        }
    } else if is_failure(line) {
        facts.restore_failed = true;
    } else {
        note_freezing(&mut facts.freezing, line);
    }
    facts.took = time(line).or(facts.took);
}

/// The state of the group follows its name, and `Collected` follows once all tasks are seized and the group is thawed.
fn note_freezing(freezing: &mut Option<Freezing>, line: &[u8]) {
    if let Some(rest) = after(line, b"freezing cgroup ") {
        let directory = rest.split(|byte| *byte == b':').next().unwrap_or_default().to_owned();
        *freezing = Some(Freezing { directory, ran_before: None });
    } else if after(line, b"Collected ").is_some() {
        *freezing = None;
    } else if let Some(freezing) = freezing {
        let v1 = after(line, b"freezer.state=").map(|state| state.trim_ascii_end() == b"THAWED");
        let v2 = after(line, b"cgroup.freeze=").map(|state| state.trim_ascii_end() == b"0");
        freezing.ran_before = freezing.ran_before.or(v1).or(v2);
    }
}

/// `Error (criu/cr-restore.c:NNNN): Restoring FAILED.`, the last error of every restore that did not succeed.
/// The source in `1: mnt: Bind /tmp/.criu.mntns.XXXXXX/10-0000000000/…/source to /tmp/.criu.mntns.…`, below the root of the tree.
fn bound(message: &[u8]) -> Option<Vec<u8>> {
    // A task of the tree writes its number first.
    let number = message.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = message[number..].strip_prefix(b": ").unwrap_or(message).strip_prefix(b"mnt: \tBind ")?;
    let separator = [b" to ", YARD].concat();
    let end = rest.windows(separator.len()).rposition(|window| window == separator)?;
    let mut parts = rest[..end].strip_prefix(YARD)?.split(|byte| *byte == b'/').skip(2).filter(|part| !part.is_empty());
    let first = parts.next()?;
    Some(parts.fold([b"/", first].concat(), |path, part| [&path, b"/".as_slice(), part].concat()))
}

fn is_failure(line: &[u8]) -> bool {
    let source = after(line, b"Error (criu/cr-restore.c:").or_else(|| after(line, b"Error (cr-restore.c:"));
    source.is_some_and(|rest| rest.trim_ascii_end().ends_with(b": Restoring FAILED."))
}

/// The time of a line such as `(00.001234) message`, from the start of the log.
fn time(line: &[u8]) -> Option<Duration> {
    let rest = line.strip_prefix(b"(")?;
    let time = std::str::from_utf8(&rest[..rest.iter().position(|byte| *byte == b')')?]).ok()?;
    let (seconds, micros) = time.split_once('.').filter(|(_, micros)| micros.len() == 6)?;
    Some(Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?))
}

/// What follows `marker`, where it starts the message of a line such as `(00.001234) message`.
fn after<'a>(line: &'a [u8], marker: &[u8]) -> Option<&'a [u8]> {
    let message = match line.strip_prefix(b"(") {
        Some(rest) => &rest[rest.iter().position(|byte| *byte == b')')? + 1..],
        None => line,
    };
    message.trim_ascii_start().strip_prefix(marker)
}

/// The name in `4711 comm: sh)`. It may hold anything.
fn name(text: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = text.split_at(text.windows(7).position(|window| window == b" comm: ")?);
    Some(rest[7..].trim_ascii_end().strip_suffix(b")")?.to_vec())
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &str, expected: LogFacts) {
        assert_eq!(read(log.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_killed_tree_is_told_from_a_running_one() {
        let id = "6da21101-6678-467f-828c-1e1c8cce2d5f";
        check(
            &format!(
                "(00.000001) CRIU run id = {id}\n(00.01) Dumping processes (pid: 4711 comm: sh)\n\
                 (00.5) Unfreezing tasks into 2\n"
            ),
            LogFacts {
                run_id: RunId::new(id.as_bytes()),
                root_pid: Some(4711),
                root_name: Some(b"sh".to_vec()),
                final_state: Some(FinalState::Dead),
                took: Some(Duration::from_micros(1)),
                ..LogFacts::default()
            },
        );
        check(
            "(00.5) Unfreezing tasks into 1\n",
            LogFacts { final_state: Some(FinalState::Alive), ..LogFacts::default() },
        );
    }

    #[test]
    fn a_log_that_ends_while_the_dump_freezes_names_the_group() {
        let freezing = |ran_before| Some(Freezing { directory: b"/cg/c1".to_vec(), ran_before });
        let start = "(00.1) freezing cgroup /cg/c1: 100 x 100ms attempts, timeout: 10s\n";
        for (rest, expected) in [
            ("", freezing(None)),
            ("(00.1) freezer.state=THAWED\n(00.1) freezer.state=FREEZING\n", freezing(Some(true))),
            ("(00.1) cgroup.freeze=0\n(00.1) cgroup.freeze=1\n(00.2) Seized task 7, state 1\n", freezing(Some(true))),
            ("(00.1) freezer.state=FROZEN\n", freezing(Some(false))),
            ("(00.1) freezer.state=THAWED\n(00.2) Collected (1 attempts, 0 in_progress)\n", None),
            ("(00.1) freezer.state=THAWED\n(00.2) Unfreezing tasks into 1\n", None),
        ] {
            assert_eq!(read(format!("{start}{rest}").as_bytes()).unwrap().freezing, expected, "{rest}");
        }
    }

    #[test]
    fn a_restore_that_failed_says_so_and_how_long_it_took() {
        for source in ["criu/cr-restore.c:2536", "cr-restore.c:1999"] {
            check(
                &format!(
                    "(00.000100) Error (criu/files-reg.c:1): Can't link\n\
                     (12.345678) Error ({source}): Restoring FAILED.\nno time\n"
                ),
                LogFacts { restore_failed: true, took: Some(Duration::from_micros(12_345_678)), ..LogFacts::default() },
            );
        }
    }

    #[test]
    fn a_restore_that_has_set_up_its_namespaces_has_locked_until_it_unlocks() {
        let set_up = "(00.1) Running post-setup-namespaces scripts\n";
        let took = Some(Duration::from_millis(100));
        check(&set_up.replace("00.1", "00.100000"), LogFacts { has_locked: true, took, ..LogFacts::default() });
        check(&format!("{set_up}(00.100000) net: Unlock network\n"), LogFacts { took, ..LogFacts::default() });
    }

    #[test]
    fn the_older_mount_engine_says_what_it_binds() {
        let bound = |log: &str| read(log.as_bytes()).unwrap().bound;
        let yard = "/tmp/.criu.mntns.Dk0ySF/10-0000000000";
        let line = |source: &str| format!("(00.009108)      1: mnt: \tBind {yard}{source} to {yard}/target\n");
        assert_eq!(bound(&line("//source")), [b"/source"]);
        assert_eq!(bound(&line("/a/b//c to d")), [b"/a/b/c to d"]);
        for nothing in [
            line("/"),
            line("").replace(yard, "/srv"),
            line("/x").replace(" to ", " "),
            line("/x").replace("mnt:", "v2:"),
        ] {
            assert!(bound(&nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn a_program_that_only_mentions_a_failure_does_not_fail() {
        check("Restoring FAILED.\n(a) pie: 1: Error (criu/cr-restore.c:1): Restoring FAILED.\n", LogFacts::default());
    }

    #[test]
    fn a_restores_mention_of_the_dumps_run_id_is_not_the_run_id() {
        check("(0.1) Dump CRIU run id = 6da21101-6678-467f-828c-1e1c8cce2d5f\n", LogFacts::default());
    }

    #[test]
    fn nonsense_and_long_lines_say_nothing() {
        let long = "x".repeat(10_000);
        check(&format!("{long} Unfreezing tasks into 2\n(\n\nUnfreezing tasks into 9\n"), LogFacts::default());
    }
}
