// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Objects as they are found, each without any objection to its removal.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::carrier::filter::{FoundRules, RuleForms, TableName, Tie};
use crate::carrier::name::FileMount;
use crate::carrier::{FoundChain, FoundFile, FoundTable, Presence};
use crate::checkpoint::example::{broken_restore, checkpoint, evidence};
use crate::checkpoint::{BrokenRestore, LoggedGroup};
use crate::connection::{Connection, Flow, TableForm};
use crate::evidence::Evidence;
use crate::firewall::{Backend, ChainView, FilterPlace, TableView};
use crate::kind::link_remap::Naming;
use crate::kind::locked_connection::ConnectionLock;
use crate::kind::{LinkRemap, LockChain, LockTable, LockedConnection, Residue, named_by_images};
use crate::mounts::{Base, Place};
use crate::probe::{Finding, Survey};
use crate::system::dir::FileIdentity;
use crate::system::filesystem::FilesystemId;
use crate::system::netns::{NetworkId, NetworkName};
use crate::system::xtables::IpVersion;
use crate::time::Timestamp;
use crate::tree::{LiveTask, TreeState, UnknownTree};

pub(crate) const FILE: u32 = 0o100_640;

/// The network namespace that all of them are in.
pub(crate) const HERE: NetworkId = NetworkId { device: 4, inode: 4_026_531_840 };

pub(crate) fn namespace() -> Arc<NetworkName> {
    Arc::new(NetworkName { id: HERE, paths: Vec::new() })
}

pub(crate) fn named_by() -> Vec<Evidence> {
    vec![evidence("files.img", 1)]
}

pub(crate) fn identity(changed: Timestamp) -> FileIdentity {
    let (device, inode, links, size, allocated) = ((8, 1), 77, 2, 41, 4096);
    let (owner, modified) = (0, changed);
    FileIdentity {
        device,
        inode,
        mode: FILE,
        owner,
        links,
        size,
        allocated,
        changed,
        modified,
        born: None,
        mount_id: 22,
    }
}

/// A link remap that is there, as it was dumped.
pub(crate) fn link() -> (LinkRemap, FoundFile) {
    let link = LinkRemap {
        id: 6,
        link: b"/srv/link_remap.6".to_vec(),
        original: Some(b"/srv/data".to_vec()),
        mode: Some(FILE),
        size: Some(41),
        mount: FileMount::Shared,
        naming: Naming::Remap,
        evidence: named_by(),
    };
    let place = Place { base: Base::Root(PathBuf::from("/")), relative: PathBuf::from("srv/link_remap.6") };
    let before = Timestamp::new(999, 0);
    let (filesystem, directory, identity) = (FilesystemId::default(), identity(before), identity(before));
    (link, FoundFile { place, filesystem, directory, identity, beside: None, is_empty_directory: false })
}

pub(crate) fn link_finding((link, file): (LinkRemap, FoundFile)) -> Finding {
    Finding { residue: link.into(), presence: Presence::File(file) }
}

/// A link remap that a newer dump made again.
pub(crate) fn newer_link() -> Finding {
    let (link, mut file) = link();
    file.identity.changed = Timestamp::new(1001, 0);
    file.directory.changed = Timestamp::new(1001, 0);
    link_finding((link, file))
}

pub(crate) fn flow() -> Flow {
    Flow { source: "10.0.0.1:80".parse().unwrap(), destination: "10.0.0.2:4000".parse().unwrap() }
}

pub(crate) fn connection(lock: ConnectionLock, presence: Presence) -> Finding {
    let connection = Connection { local: flow().source, peer: flow().destination };
    Finding { residue: LockedConnection { connection, lock, evidence: named_by() }.into(), presence }
}

pub(crate) fn rules() -> Finding {
    let found = FoundRules { namespace: namespace(), rules: Vec::new(), readings: Vec::new(), tie: Some(Tie::Own) };
    connection(ConnectionLock::Rules(RuleForms::Marked), Presence::Rules(found))
}

/// A table of connections in CRIU's own namespace.
pub(crate) fn table(name: TableName) -> (LockTable, FoundTable) {
    let view = TableView {
        name: name.as_str().to_owned(),
        handle: 3,
        form: TableForm::Connections,
        flows: HashSet::from([flow()]),
        foreign: Vec::new(),
    };
    let lock = LockTable {
        names: vec![name.clone()],
        form: TableForm::Connections,
        flows: vec![flow()],
        evidence: named_by(),
    };
    (lock, FoundTable { namespace: namespace(), name, view, tie: Some(Tie::Own) })
}

pub(crate) fn signed() -> (LockTable, FoundTable) {
    table(TableName::RunId("CRIU-id".to_owned()))
}

pub(crate) fn by_pid() -> (LockTable, FoundTable) {
    table(TableName::RootPid("CRIU-7".to_owned()))
}

pub(crate) fn table_finding((table, found): (LockTable, FoundTable)) -> Finding {
    Finding { residue: table.into(), presence: Presence::Table(found) }
}

pub(crate) fn chain(tie: Option<Tie>, foreign: &[&str]) -> Finding {
    let foreign = foreign.iter().map(|text| (*text).to_owned()).collect();
    let view = ChainView { table: Some(2), handle: Some(1), jumps: Vec::new(), foreign };
    let place = FilterPlace { backend: Backend::Nft, family: IpVersion::V4 };
    let residue = LockChain { evidence: named_by() }.into();
    Finding { residue, presence: Presence::Chain(FoundChain { namespace: namespace(), place, view, tie }) }
}

pub(crate) fn survey(findings: Vec<Finding>) -> Survey {
    Survey { findings, ..Survey::default() }
}

pub(crate) fn task() -> Vec<LiveTask> {
    vec![LiveTask { pid: 100, name: b"job".to_vec(), state: b'S' }]
}

pub(crate) fn living(alive: bool, criu: bool, unknown: bool) -> TreeState {
    let tasks = |is_there: bool| if is_there { task() } else { Vec::new() };
    TreeState {
        alive: tasks(alive),
        criu: tasks(criu),
        unknown: unknown.then_some(UnknownTree::NoTasks),
        ..TreeState::default()
    }
}

/// An empty control group that a killed restore created.
pub(crate) fn control_group() -> Finding {
    let mut checkpoint = checkpoint();
    let group = LoggedGroup { path: b"/unified/group".to_vec(), line: 7, offset: 70 };
    checkpoint.restores.broken = vec![BrokenRestore { groups: vec![group], ..broken_restore() }];
    let claims = named_by_images(&checkpoint);
    let is_group = |residue: &Residue| matches!(residue, Residue::ControlGroup(_));
    let residue = claims.residues.into_iter().find(is_group).expect("a control group");
    let (_, file) = link();
    Finding { residue, presence: Presence::File(FoundFile { is_empty_directory: true, ..file }) }
}
