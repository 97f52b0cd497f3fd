// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a killed dump can leave in a running process, and whether it is cured. Pure.

use crate::carrier::filter::{FoundChain, FoundRules, FoundTable};
use crate::connection::Connection;
use crate::host::frozen::FrozenGroup;
use crate::system::living::{Area, Patch};
use crate::time::Timestamp;

/// The set of blocked signals of a thread in which CRIU runs its code: all but SIGTRAP, SIGKILL and SIGSTOP (`compel`).
pub(crate) const MASK_OF_CRIU: u64 = 0xffff_ffff_fffb_feef;
/// Those of a process that `criu restore` has not let run yet: in its last stage, and before that.
pub(super) const MASKS_OF_RESTORE: [u64; 2] = [0xffff_ffff_fffb_feff, 0xffff_fffe_7ffa_feff];

/// A process of the tree, by what distinguishes it from a later one with its pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: u32,
    pub(super) name: Vec<u8>,
    pub(super) state: u8,
    pub(super) started: Timestamp,
    pub(super) after_boot: std::time::Duration,
}

/// Damage. The order is that of the cure.
#[derive(Debug)]
pub(super) enum Damage {
    /// A control group stands still.
    Frozen(FrozenGroup),
    /// Bytes of the code are CRIU's.
    Code { pid: u32, file: Vec<u8>, patches: Vec<Patch> },
    /// A thread blocks what CRIU makes it block. `before`: what it blocked before the dump, where the images tell.
    Signals { pid: u32, thread: u32, before: Option<u64> },
    /// A lock drops the packets of the tree.
    Lock(Lock),
    /// A socket is in repair mode. `reuses_address`: what `SO_REUSEADDR` was, where the images tell.
    Repair { socket: Socket, reuses_address: Option<bool> },
    /// `MSG_PEEK` reads on, instead of from the start.
    PeekOffset { socket: Socket },
    /// Memory that CRIU mapped is still there, which harms nothing. `areas`: what can be unmapped; nothing if it is not as CRIU
    /// leaves it.
    Parasite { pid: u32, mappings: usize, bytes: u64, areas: Option<Vec<Area>> },
}

/// A lock in a network namespace.
#[derive(Debug)]
pub(super) enum Lock {
    Rules { connection: Connection, found: FoundRules },
    Table(FoundTable),
    Chain(FoundChain),
}

/// A socket of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) pid: u32,
    pub(super) descriptor: i32,
    pub(super) inode: u64,
    pub(super) connection: Option<Connection>,
    /// The number of its network namespace.
    pub(super) network: Option<u64>,
}

/// What will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Heal,
    Keep(Why),
}

/// Why damage stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody traces one of the processes, or a criu may work on them.
    AtWork,
    /// The tree was never restored to its end.
    HalfRestored,
    /// Nothing says that a dump froze it.
    PerhapsPaused,
    /// The lock may be that of another dump.
    PerhapsOthers,
    /// The lock has something that CRIU did not write.
    Foreign,
    /// Only on request.
    OnRequest,
    /// It harms nothing, and stays without a request.
    Harmless,
    /// The memory is not as CRIU leaves it.
    OddMemory,
    /// How a process of this architecture unmaps memory is not known.
    OtherArchitecture,
}

/// Damage, with what will be done.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) damage: Damage,
    pub(super) verdict: Verdict,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) members: Vec<Member>,
    /// In the order of the cure.
    pub(super) findings: Vec<Finding>,
    /// Why nothing is touched.
    pub(super) hands_off: Option<(Why, String)>,
    pub(super) notes: Vec<String>,
    pub(super) unknown: Vec<String>,
}

impl Finding {
    pub(super) fn new(damage: Damage, verdict: Verdict) -> Self {
        Finding { damage, verdict }
    }

    pub(super) fn is_to_be_healed(&self) -> bool {
        self.verdict == Verdict::Heal
    }
}

impl Damage {
    /// The place in the cure: traffic flows only once the rules are gone, and signals arrive only where the code is whole.
    pub(super) fn step(&self) -> u8 {
        match self {
            Damage::Frozen(_) => 0,
            Damage::Code { .. } => 1,
            Damage::Signals { .. } => 2,
            Damage::Lock(_) => 3,
            Damage::Repair { .. } => 4,
            Damage::PeekOffset { .. } => 5,
            Damage::Parasite { .. } => 6,
        }
    }

    /// Whether two findings are about the same thing.
    pub(super) fn is_same(&self, other: &Damage) -> bool {
        match (self, other) {
            (Damage::Frozen(one), Damage::Frozen(two)) => one == two,
            (Damage::Code { pid, file, .. }, Damage::Code { pid: of, file: other, .. }) => (pid, file) == (of, other),
            (Damage::Signals { thread, .. }, Damage::Signals { thread: other, .. }) => thread == other,
            (Damage::Lock(one), Damage::Lock(two)) => one.is_same(two),
            (Damage::Repair { socket, .. }, Damage::Repair { socket: other, .. })
            | (Damage::PeekOffset { socket }, Damage::PeekOffset { socket: other }) => socket.inode == other.inode,
            (Damage::Parasite { pid, .. }, Damage::Parasite { pid: other, .. }) => pid == other,
            (
                Damage::Frozen(_)
                | Damage::Code { .. }
                | Damage::Signals { .. }
                | Damage::Lock(_)
                | Damage::Repair { .. }
                | Damage::PeekOffset { .. }
                | Damage::Parasite { .. },
                _,
            ) => false,
        }
    }
}

impl Lock {
    fn is_same(&self, other: &Lock) -> bool {
        match (self, other) {
            (Lock::Rules { connection, found }, Lock::Rules { connection: of, found: other }) => {
                (connection, found.namespace.id) == (of, other.namespace.id)
            }
            (Lock::Table(one), Lock::Table(two)) => {
                (one.namespace.id, one.view.handle) == (two.namespace.id, two.view.handle)
            }
            (Lock::Chain(one), Lock::Chain(two)) => (one.namespace.id, one.place) == (two.namespace.id, two.place),
            (Lock::Rules { .. } | Lock::Table(_) | Lock::Chain(_), _) => false,
        }
    }

    /// The number of its network namespace.
    pub(super) fn network(&self) -> u64 {
        match self {
            Lock::Rules { found, .. } => found.namespace.id.inode,
            Lock::Table(found) => found.namespace.id.inode,
            Lock::Chain(found) => found.namespace.id.inode,
        }
    }

    /// Whether it drops the packets of this connection.
    pub(super) fn drops(&self, socket: &Socket) -> bool {
        if socket.network != Some(self.network()) {
            return false;
        }
        match self {
            Lock::Rules { connection, .. } => socket.connection == Some(*connection),
            Lock::Table(_) | Lock::Chain(_) => true,
        }
    }
}
