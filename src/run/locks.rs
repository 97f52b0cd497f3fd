// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One run at a time removes what a checkpoint left: each images directory or archive is locked while it is worked on.
//!
//! A plan is made under the lock, since what another run removes in the meantime would look like a newer dump's doing.
//! Locks are taken in the order of their inodes, and each once however often it is named, so that no two
//! runs wait for each other; and none waits for ever, since anybody who can open it can lock it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::host;
use crate::locate::{Images, Lockable};
use crate::system::dir::InodeId;
use crate::system::lock::{self, Kind, Lock, Refusal};
use crate::terminal::Terminal;

/// How long a removal waits for another run to end.
const REMOVAL_WAIT: Duration = Duration::from_secs(20);
/// How long `--show` waits; then it shows what there is.
const SHOW_WAIT: Duration = Duration::from_secs(5);
/// A wait as long as that is told.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nobody else works on it.
    Yes,
    /// There is none, and it is gone on without: what the user should know about it.
    Without(String),
    /// It must not be worked on, and why.
    No(String),
}

/// The locks of a run, until they are dropped.
#[derive(Debug, Default)]
pub(super) struct Locks {
    _held: Vec<Lock>,
}

/// Locks what the images are in, and tells of each what became of it.
pub(super) fn take(images: &[&Images], purpose: Purpose, terminal: &mut Terminal) -> (Locks, Vec<Taken>) {
    let mut locks = Locks::default();
    let mut taken = vec![Taken::Yes; images.len()];
    let mut by_inode: BTreeMap<InodeId, Vec<usize>> = BTreeMap::new();
    for (at, images) in images.iter().enumerate() {
        // What came through a pipe is nobody else's.
        let Some(lockable) = images.lockable() else { continue };
        by_inode.entry(lockable.inode()).or_default().push(at);
    }
    for same in by_inode.into_values() {
        let Some(lockable) = images[same[0]].lockable() else { continue };
        let (lock, result) = wait_for(lockable, purpose, terminal);
        locks._held.extend(lock);
        for at in same {
            taken[at] = result.clone();
        }
    }
    (locks, taken)
}

fn wait_for(lockable: Lockable<'_>, purpose: Purpose, terminal: &mut Terminal) -> (Option<Lock>, Taken) {
    let (kind, limit) = match purpose {
        Purpose::Show => (Kind::Shared, SHOW_WAIT),
        Purpose::Remove => (Kind::Exclusive, REMOVAL_WAIT),
    };
    let path = lockable.path().display();
    let started = Instant::now();
    let mut is_told = false;
    loop {
        let Some(tried) = try_lock(lockable, kind) else {
            return (None, Taken::No(host::does_not_answer(lockable.path())));
        };
        match tried {
            Ok(lock) => return (Some(lock), Taken::Yes),
            Err(Refusal::Impossible(error)) => {
                let note = format!("{path} cannot be locked ({error}), so another run on it would not be noticed");
                return (None, Taken::Without(note));
            }
            Err(Refusal::Taken) if started.elapsed() >= limit => break,
            Err(Refusal::Taken) => {}
        }
        if !is_told && started.elapsed() >= SILENT_WAIT {
            terminal.message(&format!("waits for {path}, which {} has locked", holder(lockable)));
            is_told = true;
        }
        thread::sleep(INTERVAL);
    }
    let holder = holder(lockable);
    let result = match purpose {
        Purpose::Show => Taken::Without(format!("{holder} has locked {path}: what is listed may be going just now")),
        Purpose::Remove => {
            let waited = limit.as_secs();
            Taken::No(format!("{path} has been locked by {holder} for {waited} seconds; try again when that has ended"))
        }
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
