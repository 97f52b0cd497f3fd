// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Only one run at a time removes what a checkpoint left: each images directory or archive is locked while criu-gc
//! works on it.
//!
//! A plan is made under the lock, because another run's removals would look like the work of a newer dump. Locks are
//! taken in the order of their inodes, each of them once, so two runs never deadlock. Waits are limited, because
//! anybody who can open the file can lock it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::candidate::Candidate;
use super::find::Described;
use crate::error::{Cause, Error, Silent};
use crate::host;
use crate::locate::Lockable;
use crate::options::{Event, Observer};
use crate::system::dir::InodeId;
use crate::system::lock::{self, Kind, Lock, Refusal};

/// How long a removal waits for another run to end.
const REMOVAL_WAIT: Duration = Duration::from_secs(20);
/// How long a look waits before it continues without the lock.
const SHOW_WAIT: Duration = Duration::from_secs(5);
/// A wait of this length causes an event.
const SILENT_WAIT: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(10);

/// What the lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To look, beside others who look.
    Show,
    /// To remove.
    Remove,
}

/// What became of the lock of one checkpoint.
#[derive(Debug, Clone)]
enum Taken {
    /// Nobody else works on it.
    Yes,
    /// There is none, and it is gone on without: what the user should know about it.
    Without(String),
    /// Another run has it.
    Busy { path: PathBuf, holder: String },
    /// Its filesystem does not answer.
    Silent(Silent),
}

/// A checkpoint that may be worked on.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) described: Described,
    /// What is to be said of its lock.
    pub(super) note: Option<String>,
}

/// The locks of a run, until they are dropped.
#[derive(Debug, Default)]
pub(super) struct Locks {
    _held: Vec<Lock>,
}

/// Locks what the images of all that was found are in.
pub(super) fn take(
    found: Vec<Candidate<Described>>,
    purpose: Purpose,
    observer: &Observer,
) -> (Locks, Vec<Candidate<Locked>>) {
    let mut locks = Locks::default();
    // What came through a pipe is nobody else's.
    let mut by_inode: BTreeMap<InodeId, Lockable<'_>> = BTreeMap::new();
    for lockable in found.iter().filter_map(|candidate| candidate.usable()?.given.lockable()) {
        by_inode.entry(lockable.inode()).or_insert(lockable);
    }
    let mut taken: BTreeMap<InodeId, Taken> = BTreeMap::new();
    for (inode, lockable) in by_inode {
        let (lock, result) = wait_for(lockable, purpose, observer);
        locks._held.extend(lock);
        taken.insert(inode, result);
    }
    let with_lock = |described: Described| {
        let inode = described.given.lockable().map(|lockable| lockable.inode());
        let note = inode.map_or(Ok(None), |inode| taken[&inode].clone().into_note())?;
        Ok(Locked { described, note })
    };
    (locks, found.into_iter().map(|candidate| candidate.and_then(with_lock)).collect())
}

impl Taken {
    fn into_note(self) -> Result<Option<String>, Error> {
        match self {
            Taken::Yes => Ok(None),
            Taken::Without(note) => Ok(Some(note)),
            Taken::Busy { path, holder } => {
                Err(Error::new(Cause::Locked { path, holder, seconds: REMOVAL_WAIT.as_secs() }))
            }
            Taken::Silent(silent) => Err(Error::new(silent)),
        }
    }
}

fn wait_for(lockable: Lockable<'_>, purpose: Purpose, observer: &Observer) -> (Option<Lock>, Taken) {
    let (kind, limit) = match purpose {
        Purpose::Show => (Kind::Shared, SHOW_WAIT),
        Purpose::Remove => (Kind::Exclusive, REMOVAL_WAIT),
    };
    let path = lockable.path();
    let started = Instant::now();
    let mut is_told = false;
    loop {
        let Some(tried) = try_lock(lockable, kind) else {
            return (None, Taken::Silent(Silent::at(path)));
        };
        match tried {
            Ok(lock) => return (Some(lock), Taken::Yes),
            Err(Refusal::Impossible(error)) => {
                let path = path.display();
                let note = format!("cannot lock {path} ({error}), so criu-gc would not notice another run on it");
                return (None, Taken::Without(note));
            }
            Err(Refusal::Taken) if started.elapsed() >= limit => break,
            Err(Refusal::Taken) => {}
        }
        if !is_told && started.elapsed() >= SILENT_WAIT {
            observer.tell(Event::Waiting { path, holder: &holder(lockable) });
            is_told = true;
        }
        thread::sleep(INTERVAL);
    }
    let holder = holder(lockable);
    let result = match purpose {
        Purpose::Show => {
            let path = path.display();
            Taken::Without(format!("{holder} has locked {path}: it may be removing the listed objects right now"))
        }
        Purpose::Remove => Taken::Busy { path: path.to_owned(), holder },
    };
    (None, result)
}

/// A filesystem of the network asks its server; `None` if that does not answer.
fn try_lock(lockable: Lockable<'_>, kind: Kind) -> Option<Result<Lock, Refusal>> {
    // The lock is the open file's, whichever descriptor asks for it.
    match rustix::io::fcntl_dupfd_cloexec(lockable, 0) {
        Ok(file) => host::answer(&[lockable.path()], move || lock::try_lock(&file, kind)),
        Err(error) => Some(Err(Refusal::Impossible(error))),
    }
}

/// Who has the lock, for people.
fn holder(lockable: Lockable<'_>) -> String {
    let (device, inode) = lockable.inode();
    let holder = host::holder_of_lock(device, inode);
    match holder {
        Some(holder) => format!("process {} ({})", holder.pid, String::from_utf8_lossy(&holder.name)),
        None => "another process".to_owned(),
    }
}
