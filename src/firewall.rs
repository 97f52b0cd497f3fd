// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules and tables in a network namespace that CRIU may have written. Read-only.
//!
//! Each iptables backend is read in its own way: nf_tables through netlink, legacy tables through
//! `iptables-legacy-save`, and only if the kernel says that they exist, because asking would create them. A failure is
//! stored next to what could be read: "not seen" is never "not there".

mod filter;
mod look;
pub mod rule_shape;
mod table;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::connection::{Direction, Flow};
use crate::system::netns::NetworkName;
use crate::system::nft;
use crate::system::xtables::{self, IpVersion};

pub use look::{look, look_at_filter, look_at_nft_filter, look_at_table, table_names};
pub use table::TableView;

/// The table of iptables in which CRIU writes.
pub const FILTER_TABLE: &str = "filter";

/// A part of a network namespace that could not be looked at.
#[derive(Debug, Clone)]
pub struct LookFailure {
    /// The namespace, by a name for people.
    pub namespace: String,
    /// Which part.
    pub part: &'static str,
    /// Why.
    pub error: String,
}

/// One of the four places where iptables rules can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterPlace {
    /// Who keeps the rules.
    pub backend: Backend,
    /// For which addresses.
    pub family: IpVersion,
}

/// A backend of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Backend {
    /// nf_tables: `iptables-nft`.
    Nft,
    /// The old x_tables: `iptables-legacy`.
    Legacy,
}

impl fmt::Display for FilterPlace {
    /// The command that shows such rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.backend, self.family) {
            (Backend::Nft, IpVersion::V4) => "iptables-nft",
            (Backend::Nft, IpVersion::V6) => "ip6tables-nft",
            (Backend::Legacy, IpVersion::V4) => "iptables-legacy",
            (Backend::Legacy, IpVersion::V6) => "ip6tables-legacy",
        })
    }
}

/// The family of iptables-nft's tables.
pub fn nft_family(version: IpVersion) -> nft::Family {
    match version {
        IpVersion::V4 => nft::Family::Ipv4,
        IpVersion::V6 => nft::Family::Ipv6,
    }
}

/// A rule of one place, for as long as nobody changes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RuleId {
    /// nf_tables' handle, never used twice in a table.
    Handle(u64),
    /// The words of a legacy rule, with a space between them, which no word of CRIU's rules contains: equal rules are the
    /// same to the kernel.
    Words(Arc<str>),
}

/// A rule, and where it was when the table was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedRule {
    /// Which one.
    pub id: RuleId,
    /// How many rules that drop one flow were read before it.
    pub position: usize,
}

/// What a rule about one flow says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleKey {
    /// The chain that it is in.
    pub direction: Direction,
    /// The packets that it drops.
    pub flow: Flow,
    /// Whether it excepts CRIU's mark.
    pub marked: bool,
}

/// The filter table of one place.
#[derive(Debug, Clone)]
pub struct FilterView {
    /// Which one.
    pub place: FilterPlace,
    /// nf_tables' handle of the table.
    pub table: Option<u64>,
    /// The rules that drop one flow, in `INPUT` and `OUTPUT`.
    pub drops: HashMap<RuleKey, Vec<PlacedRule>>,
    /// The chain `CRIU`, if there is one.
    pub lock_chain: Option<ChainView>,
    /// In nf_tables, for how long all this holds.
    pub reading: Option<Reading>,
}

/// A generation of nf_tables, and how many rules the chains had in it, anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// As long as this is the namespace's generation, the handles that were read are those of the same rules, and there are
    /// no others.
    pub generation: nft::Generation,
    /// The rules of `INPUT` and of `OUTPUT`.
    pub rules: [usize; 2],
}

impl Reading {
    /// How many rules the chain of this direction had.
    pub fn rules_of(&self, direction: Direction) -> usize {
        match direction {
            Direction::Input => self.rules[0],
            Direction::Output => self.rules[1],
        }
    }
}

/// A chain `CRIU`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainView {
    /// nf_tables' handle of the table that it is in.
    pub table: Option<u64>,
    /// nf_tables' handle of the chain.
    pub handle: Option<u64>,
    /// The rules that jump to it from `INPUT` and `OUTPUT`.
    pub jumps: Vec<(Direction, RuleId)>,
    /// What about it is not CRIU's; empty for a chain as CRIU leaves it.
    pub foreign: Vec<String>,
}

impl ChainView {
    /// How often the namespace was closed: a dump adds one jump from each side.
    pub fn times_closed(&self) -> usize {
        let from = |side: Direction| self.jumps.iter().filter(|(direction, _)| *direction == side).count();
        Direction::BOTH.into_iter().map(from).max().unwrap_or_default()
    }
}

/// CRIU's rules, tables and chains in one network namespace.
#[derive(Debug)]
pub struct NetworkView {
    /// The namespace.
    pub namespace: Arc<NetworkName>,
    /// The filter tables that exist.
    pub filters: Vec<FilterView>,
    /// The tables of family `inet` with the names that were asked for.
    pub tables: Vec<TableView>,
    /// What could not be looked at.
    pub failures: Vec<LookFailure>,
}

impl NetworkView {
    /// Whether there is a lock chain.
    pub fn has_lock_chain(&self) -> bool {
        self.filters.iter().any(|filter| filter.lock_chain.is_some())
    }
}

/// Why one filter table could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// By netlink.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// Through the legacy tools.
    #[error(transparent)]
    Legacy(#[from] xtables::Error),
    /// More rules of the connections than any dump makes.
    #[error("more than {limit} rules match these connections")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// What to look for in a namespace. A host may have any number of rules and tables that are nobody's business here, and
/// so may each user in a namespace of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The names of tables of family `inet`.
    pub tables: Vec<String>,
    /// What of the filter tables of both backends of iptables.
    pub filters: Filters,
}

/// What to look for in the filter tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filters {
    /// Nothing.
    Nothing,
    /// The lock chain, and what jumps to it.
    LockChain,
    /// The rules that drop one of these flows, and the lock chain.
    All(HashSet<Flow>),
    /// Every rule that drops one flow and excepts CRIU's mark, and the lock chain.
    Marked,
}

/// The flows whose rules are looked for.
#[derive(Debug, Clone, Copy)]
pub enum Flows<'a> {
    /// These.
    Of(&'a HashSet<Flow>),
    /// All, if the rule excepts CRIU's mark.
    Marked,
    /// None.
    None,
}

impl Flows<'_> {
    /// Whether a rule about this flow is looked for.
    fn have(self, flow: &Flow, marked: bool) -> bool {
        match self {
            Flows::Of(flows) => flows.contains(flow),
            Flows::Marked => marked,
            Flows::None => false,
        }
    }

    /// Whether no rule is looked for.
    fn are_none(self) -> bool {
        match self {
            Flows::Of(flows) => flows.is_empty(),
            Flows::Marked => false,
            Flows::None => true,
        }
    }
}
