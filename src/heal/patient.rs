// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Damage as a scan of the whole host shows it: what `heal` would say of a process or of the tree of images, and which locks
//! it would remove.

use std::path::Path;

use super::damage::{Damage, Found, Lock};
use super::find;
use super::report::SubjectReport;
use super::{Options, Requests, Target, report};
use crate::connection::Connection;
use crate::firewall::FilterPlace;
use crate::host::Host;
use crate::session::living::{self, Clues};

/// Processes that a killed dump left damaged.
#[derive(Debug)]
pub(crate) struct Patient {
    pub(crate) report: SubjectReport,
    /// The locks among the damage.
    pub(crate) locks: Vec<LockId>,
    /// The processes that were examined.
    pub(crate) pids: Vec<u32>,
}

/// A lock, as a look at all network namespaces finds it too. The first number is that of the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockId {
    Rules(u64, Connection),
    Table(u64, u64),
    Chain(u64, FilterPlace),
}

/// What is found of a process and its descendants; `None` if it has ended.
pub(crate) fn of_process(host: &Host, pid: u32) -> Option<Patient> {
    let found = find::find_on(host, &Clues::Process(pid), Requests::default()).ok()?;
    Some(patient(&format!("process {pid}"), &found))
}

/// What is found of the tree of these images; `None` if they cannot be used or name no process that runs.
pub(crate) fn of_images(host: &Host, directory: &Path, options: &Options) -> Option<Patient> {
    let opened = living::open_to_look(&[Target::Checkpoint(directory.to_owned())], &options.general);
    let [subject] = &opened.subjects[..] else { return None };
    let found = find::find_on(host, subject.state.as_ref().ok()?, Requests::default()).ok()?;
    (!found.members.is_empty()).then(|| patient(&subject.name, &found))
}

fn patient(name: &str, found: &Found) -> Patient {
    let lock = |damage: &Damage| match damage {
        Damage::Lock(Lock::Rules { connection, found }) => Some(LockId::Rules(found.namespace.id.inode, *connection)),
        Damage::Lock(Lock::Table(found)) => Some(LockId::Table(found.namespace.id.inode, found.view.handle)),
        Damage::Lock(Lock::Chain(found)) => Some(LockId::Chain(found.namespace.id.inode, found.place)),
        Damage::Frozen(_)
        | Damage::Code { .. }
        | Damage::Signals { .. }
        | Damage::Repair { .. }
        | Damage::PeekOffset { .. }
        | Damage::Parasite { .. } => None,
    };
    Patient {
        report: report::planned(name, found),
        locks: found.findings.iter().filter_map(|finding| lock(&finding.damage)).collect(),
        pids: found.members.iter().map(|member| member.pid).collect(),
    }
}
