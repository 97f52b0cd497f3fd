// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the examined checkpoints claim. The judge is the one of `criu-gc --show`; this remembers its answers.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::entry::Entry;
use super::unseen::{Limit, Unseen, Why};
use super::{IndexOptions, Object, is_same_connection};
use crate::carrier::{FilterQuery, Presence, Query};
use crate::causes::with_causes;
use crate::connection::Connection;
use crate::host;
use crate::plan::{Item, KeepReason, Verdict};
use crate::session::claimed::{self, Claimed};
use crate::system::dir::{Directory, FileIdentity, InodeId};

pub(super) use crate::session::claimed::Part;

/// So many are open at the same time.
const CHUNK: usize = 100;

impl Part {
    /// The part that an object is of.
    pub(super) fn of(object: &Object) -> Self {
        match object {
            Object::Name { .. } => Part::Names,
            Object::Table { .. } | Object::Chain { .. } | Object::Rule { .. } => Part::Network,
            Object::Process { .. } | Object::Directory { .. } => Part::Processes,
        }
    }
}

/// The claims of the checkpoints that were examined.
#[derive(Debug, Default)]
pub(super) struct Claims {
    examined: RefCell<BTreeMap<(Part, usize), Vec<Claim>>>,
    unseen: RefCell<Vec<Unseen>>,
}

/// An object on this host that a checkpoint claims.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    what: What,
    doubt: Doubt,
}

/// Whether a test speaks against a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    Some,
}

#[derive(Debug, Clone)]
enum What {
    Name { file: FileIdentity, directory: InodeId, path: PathBuf },
    Table { netns_inode: u64, name: String },
    Chain { netns_inode: u64 },
    Rules { netns_inode: u64, connection: Connection },
    Process(u32),
    Entry(PathBuf),
}

impl Claim {
    /// Whether all tests agree with the claim.
    pub(super) fn agrees(&self) -> bool {
        self.doubt == Doubt::None
    }

    /// The claim on what an item found; `None` where it found nothing that is this checkpoint's.
    fn of(item: &Item) -> Option<Self> {
        let what = match &item.finding.presence {
            Presence::File(found) => {
                What::Name { file: found.identity, directory: found.directory.id(), path: found.place.path() }
            }
            Presence::Table(found) => {
                What::Table { netns_inode: found.namespace.id.inode, name: found.name.as_str().to_owned() }
            }
            // A chain has no owner: without a tie it is anybody's.
            Presence::Chain(found) if found.tie.is_some() => What::Chain { netns_inode: found.namespace.id.inode },
            Presence::Rules(found) => {
                let Query::Filter(FilterQuery::Rules { connection, .. }) = item.finding.residue.query() else {
                    return None;
                };
                What::Rules { netns_inode: found.namespace.id.inode, connection }
            }
            Presence::Entry(found) => What::Entry(found.path()),
            Presence::Task(found) => What::Process(found.task.pid),
            Presence::Chain(_)
            | Presence::Gone(_)
            | Presence::Vanished(_)
            | Presence::Untied(_)
            | Presence::Unreachable(_)
            | Presence::InTable(_) => return None,
        };
        Some(Claim { what, doubt: doubt(&item.verdict) })
    }

    /// Whether it is on this object, of which a look tells what has its name.
    fn is_on(&self, object: &Object, look: impl FnOnce() -> Option<Sight>) -> bool {
        match (&self.what, object) {
            (What::Name { file, directory, path }, Object::Name { device, inode, path: theirs }) => {
                path.file_name() == theirs.file_name()
                    && match file.id() == (*device, *inode) {
                        // Two links of one inode can have the same name in two directories.
                        true => path == theirs || look().is_none_or(|sight| sight.directory == *directory),
                        false => file.device != *device && look().is_some_and(|sight| is_same_below(file, &sight.file)),
                    }
            }
            (What::Table { netns_inode: own, name }, Object::Table { netns_inode, name: theirs }) => {
                own == netns_inode && name == theirs
            }
            (What::Chain { netns_inode: own }, Object::Chain { netns_inode }) => own == netns_inode,
            (What::Rules { netns_inode: own, connection }, Object::Rule { netns_inode, connection: theirs }) => {
                own == netns_inode && is_same_connection(connection, theirs)
            }
            (What::Process(own), Object::Process { pid }) => u32::try_from(*pid) == Ok(*own),
            (What::Entry(own), Object::Directory { path }) => own == path,
            (
                What::Name { .. }
                | What::Table { .. }
                | What::Chain { .. }
                | What::Rules { .. }
                | What::Process(_)
                | What::Entry(_),
                _,
            ) => false,
        }
    }
}

/// Whether one of the reasons to keep an object says that it may be another's.
fn doubt(verdict: &Verdict) -> Doubt {
    match verdict {
        Verdict::Keep(reasons) if reasons.iter().any(|reason| is_about_identity(*reason)) => Doubt::Some,
        Verdict::Remove | Verdict::Keep(_) | Verdict::Nothing | Verdict::CannotTell | Verdict::LeftOut => Doubt::None,
    }
}

fn is_about_identity(reason: KeepReason) -> bool {
    match reason {
        KeepReason::NameTaken
        | KeepReason::Directory
        | KeepReason::OtherType
        | KeepReason::OtherMode
        | KeepReason::OtherSize
        | KeepReason::ForeignImages
        | KeepReason::NotRecorded
        | KeepReason::OlderThanDump
        | KeepReason::ChangedSince
        | KeepReason::Unmarked
        | KeepReason::LikeAnyOther
        | KeepReason::RestoredSince
        | KeepReason::NewerDump
        | KeepReason::ForeignContent
        | KeepReason::SharedLock
        | KeepReason::UntiedNamespace => true,
        KeepReason::CriuAtWork
        | KeepReason::TreeTraced
        | KeepReason::TreeAlive
        | KeepReason::TreeUnknown
        | KeepReason::UnknownVersion
        | KeepReason::HalfRestored
        | KeepReason::CriuElsewhere
        | KeepReason::InUse
        | KeepReason::LogOnly => false,
    }
}

impl Claims {
    /// What could not be examined.
    pub(super) fn unseen(&self) -> Vec<Unseen> {
        self.unseen.borrow().clone()
    }

    /// The checkpoints that claim an object, by their positions, of those that were examined.
    pub(super) fn claimants(&self, object: &Object) -> Vec<(usize, Claim)> {
        let sight = OnceCell::new();
        let look = || *sight.get_or_init(|| Sight::of(object));
        let part = Part::of(object);
        let examined = self.examined.borrow();
        let claim = |((of, at), claims): (&(Part, usize), &Vec<Claim>)| {
            if *of != part {
                return None;
            }
            let own = claims.iter().filter(|claim| claim.is_on(object, look));
            // One that no test contradicts counts more.
            let claim = own.min_by_key(|claim| !claim.agrees())?;
            Some((*at, claim.clone()))
        };
        examined.iter().filter_map(claim).collect()
    }

    /// Examines those that were not yet examined, the newest first, as long as time and limits allow.
    pub(super) fn examine(&self, entries: &[Entry], options: &IndexOptions, part: Part, wanted: BTreeSet<usize>) {
        let is_new = |at: &usize| !self.examined.borrow().contains_key(&(part, *at));
        let mut new: Vec<usize> = wanted.into_iter().filter(is_new).collect();
        new.sort_by_key(|at| std::cmp::Reverse(entries[*at].outline().written));
        let left = options.limits.candidates.saturating_sub(self.examined.borrow().len());
        let beyond = new.split_off(left.min(new.len()));
        self.note_left_out(entries, &beyond, Limit::Candidates(options.limits.candidates));
        for (done, chunk) in new.chunks(CHUNK).enumerate() {
            if options.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return self.note_left_out(entries, &new[done * CHUNK..], Limit::Time);
            }
            self.examine_now(entries, options, part, chunk);
        }
    }

    /// Examines these with one picture of the host.
    fn examine_now(&self, entries: &[Entry], options: &IndexOptions, part: Part, new: &[usize]) {
        let (mut found, mut positions) = (Vec::new(), Vec::new());
        for at in new {
            let origin = entries[*at].origin.clone();
            match host::answer(&[&origin.path()], move || origin.open()) {
                Some(Some(described)) => {
                    found.push(described);
                    positions.push(*at);
                }
                Some(None) => self.note(entries[*at].origin.path(), Why::Unreadable("it has changed".to_owned())),
                None => self.note(entries[*at].origin.path(), Why::Silent),
            }
        }
        if positions.is_empty() {
            return;
        }
        for (at, claimed) in positions.into_iter().zip(claimed::claimed(found, part, &options.record_store)) {
            let claims = match claimed {
                Ok(claimed) => claims_of(&claimed),
                Err(error) => {
                    self.note(entries[at].origin.path(), Why::Unreadable(with_causes(&error)));
                    Vec::new()
                }
            };
            self.examined.borrow_mut().insert((part, at), claims);
        }
    }

    fn note_left_out(&self, entries: &[Entry], left_out: &[usize], limit: Limit) {
        for at in left_out {
            self.note(entries[*at].origin.path(), Why::Limit(limit));
        }
    }

    fn note(&self, place: PathBuf, why: Why) {
        let unseen = Unseen { place, why };
        let mut all = self.unseen.borrow_mut();
        if !all.contains(&unseen) {
            all.push(unseen);
        }
    }
}

fn claims_of(claimed: &Claimed) -> Vec<Claim> {
    let process = |pid: &u32| Claim { what: What::Process(*pid), doubt: Doubt::None };
    claimed.items.iter().filter_map(Claim::of).chain(claimed.processes.iter().map(process)).collect()
}

/// What has the name of an object now.
#[derive(Debug, Clone, Copy)]
struct Sight {
    directory: InodeId,
    file: FileIdentity,
}

impl Sight {
    fn of(object: &Object) -> Option<Self> {
        let Object::Name { path, .. } = object else { return None };
        let parent = path.parent().filter(|parent| *parent != Path::new(""))?.to_owned();
        let (theirs, name) = (parent.clone(), path.file_name()?.to_owned());
        let look = move || {
            let directory = Directory::open(&theirs).ok()?;
            let (identity, file) = (directory.identity().ok()?, directory.entry(&name).ok()??);
            Some(Sight { directory: identity.id(), file })
        };
        host::answer(&[&parent], look)?
    }
}

/// Whether two files are one that an overlay shows: with another device number than in its upper directory, and perhaps
/// another inode number, but with the same times.
fn is_same_below(one: &FileIdentity, other: &FileIdentity) -> bool {
    let shown = |file: &FileIdentity| (file.changed, file.modified, file.size, file.mode, file.owner);
    shown(one) == shown(other)
}
