// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a network namespace holds of the kinds of rules and tables that CRIU writes. Read-only.
//!
//! Both backends of iptables are read, each by its own way: nf_tables through netlink, the legacy tables through
//! `iptables-legacy-save`, and those only where the kernel says that there are any, since asking would create them.
//! What cannot be read is a failure that is kept beside what could: "not seen" is never "not there".

pub mod rule_shape;
mod table;

use self::rule_shape::{LOCK_CHAIN, RuleShape};
use crate::connection::{Direction, Flow};
use crate::system::netns::NetworkName;
use crate::system::nft::{self, Nft};
use crate::system::xtables::{self, IpVersion};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

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

impl FilterPlace {
    /// All four.
    pub const ALL: [FilterPlace; 4] = [
        FilterPlace { backend: Backend::Nft, family: IpVersion::V4 },
        FilterPlace { backend: Backend::Nft, family: IpVersion::V6 },
        FilterPlace { backend: Backend::Legacy, family: IpVersion::V4 },
        FilterPlace { backend: Backend::Legacy, family: IpVersion::V6 },
    ];
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
    /// The words of a legacy rule: equal rules are the same to the kernel.
    Words(Vec<String>),
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
    pub drops: HashMap<RuleKey, Vec<RuleId>>,
    /// The chain `CRIU`, if there is one.
    pub lock_chain: Option<ChainView>,
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
    /// Its rules of CRIU's shape.
    pub rules: Vec<RuleId>,
    /// What about it is not CRIU's; empty for a chain as CRIU leaves it.
    pub foreign: Vec<String>,
}

impl ChainView {
    /// Whether one dump alone can have closed the namespace: it adds one jump from each side.
    pub fn is_closed_once(&self) -> bool {
        let from = |side: Direction| self.jumps.iter().filter(|(direction, _)| *direction == side).count();
        Direction::BOTH.into_iter().all(|side| from(side) <= 1)
    }
}

/// Everything of CRIU's kinds in one network namespace.
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

/// Why one filter table could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// By netlink.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// Through the legacy tools.
    #[error(transparent)]
    Legacy(#[from] xtables::Error),
}

/// What to look for in a namespace. Anybody may have thousands of tables and rules that are nobody's business here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The names of tables of family `inet`.
    pub tables: Vec<String>,
    /// What of the filter tables of both backends of iptables.
    pub filters: Filters,
}

/// What to look for in the filter tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    /// Nothing.
    Nothing,
    /// The lock chain, and what jumps to it.
    LockChain,
    /// The rules that drop single connections, and the lock chain.
    All,
}

/// Looks into the calling thread's namespace.
pub fn look(namespace: &Arc<NetworkName>, parts: &Parts) -> NetworkView {
    let mut view =
        NetworkView { namespace: Arc::clone(namespace), filters: Vec::new(), tables: Vec::new(), failures: Vec::new() };
    if let Err(error) = look_at_nft(&mut view, parts) {
        view.failures.push(failure(namespace, "nf_tables", &error));
    }
    for family in [IpVersion::V4, IpVersion::V6].into_iter().filter(|_| parts.filters != Filters::Nothing) {
        match look_at_filter(FilterPlace { backend: Backend::Legacy, family }) {
            Ok(filter) => view.filters.extend(filter),
            Err(error) => view.failures.push(failure(namespace, "the legacy iptables rules", &error)),
        }
    }
    view
}

/// Looks at one filter table of the calling thread's namespace; `None` where it does not exist.
pub fn look_at_filter(place: FilterPlace) -> Result<Option<FilterView>, LookError> {
    match place.backend {
        Backend::Nft => look_at_nft_filter(&Nft::open()?, place.family),
        Backend::Legacy => Ok(xtables::read_filter(place.family)?.map(|table| legacy_filter(place, &table))),
    }
}

/// Looks at the filter table of iptables-nft through a socket that is open already.
pub fn look_at_nft_filter(nft: &Nft, family: IpVersion) -> Result<Option<FilterView>, LookError> {
    let place = FilterPlace { backend: Backend::Nft, family };
    Ok(nft.table(nft_family(family), FILTER_TABLE)?.map(|table| nft_filter(place, &table)))
}

/// Looks at one table of family `inet` by its name.
pub fn look_at_table(nft: &Nft, name: &str) -> Result<Option<TableView>, LookError> {
    Ok(nft.table(nft::Family::Inet, name)?.map(|table| TableView::of(&table)))
}

fn look_at_nft(view: &mut NetworkView, parts: &Parts) -> Result<(), LookError> {
    if parts.tables.is_empty() && parts.filters == Filters::Nothing {
        return Ok(());
    }
    let nft = match Nft::open() {
        Ok(nft) => nft,
        // Nothing can be where there is no nf_tables.
        Err(nft::Error::Unavailable(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for table in nft.tables()? {
        let is_wanted = parts.tables.contains(&table.name);
        match table.family {
            nft::Family::Inet if is_wanted => view.tables.extend(look_at_table(&nft, &table.name)?),
            nft::Family::Ipv4 if table.name == FILTER_TABLE => add_filter(view, &nft, IpVersion::V4, parts.filters)?,
            nft::Family::Ipv6 if table.name == FILTER_TABLE => add_filter(view, &nft, IpVersion::V6, parts.filters)?,
            _ => {}
        }
    }
    Ok(())
}

fn add_filter(view: &mut NetworkView, nft: &Nft, family: IpVersion, filters: Filters) -> Result<(), LookError> {
    let is_worth_reading = match filters {
        Filters::Nothing => false,
        Filters::LockChain => nft.has_chain(nft_family(family), FILTER_TABLE, LOCK_CHAIN)?,
        Filters::All => true,
    };
    if is_worth_reading {
        view.filters.extend(look_at_nft_filter(nft, family)?);
    }
    Ok(())
}

fn failure(namespace: &NetworkName, part: &'static str, error: &dyn std::error::Error) -> LookFailure {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    LookFailure { namespace: namespace.to_string(), part, error: format!("{error}{cause}") }
}

fn nft_filter(place: FilterPlace, table: &nft::Table) -> FilterView {
    let mut builder = Builder::new(place, Some(table.handle));
    for chain in &table.chains {
        let rules = chain.rules.iter().map(|rule| {
            let shape = rule_shape::of_nft(Some(place.family), &rule.expressions);
            (RuleId::Handle(rule.handle), shape)
        });
        builder.add(&chain.name, rules);
    }
    let lock_chain = table.chains.iter().find(|chain| chain.name == LOCK_CHAIN);
    let mut view = builder.build(lock_chain.map(|chain| Some(chain.handle)));
    if let (Some(chain), Some(view)) = (lock_chain, &mut view.lock_chain) {
        if chain.hook.is_some() {
            view.foreign.push("a hook of its own".to_owned());
        }
        // The kernel counts the rules in a chain and the jumps to it together.
        let known = chain.rules.len() + view.jumps.len();
        if let Some(others @ 1..) = (chain.use_count as usize).checked_sub(known) {
            view.foreign.push(format!("{others} jumps from elsewhere"));
        }
    }
    view
}

fn legacy_filter(place: FilterPlace, table: &xtables::FilterTable) -> FilterView {
    let mut builder = Builder::new(place, None);
    let mut jumps_from_elsewhere = 0;
    for chain in &table.chains {
        let rules = chain.rules.iter().map(|words| {
            let shape = rule_shape::of_xtables(place.family, words);
            (RuleId::Words(words.clone()), shape)
        });
        builder.add(&chain.name, rules);
        jumps_from_elsewhere += chain.rules.iter().filter(|words| goes_to_lock_chain(words)).count();
    }
    let has_lock_chain = table.chains.iter().any(|chain| chain.name == LOCK_CHAIN);
    let mut view = builder.build(has_lock_chain.then_some(None));
    if let Some(view) = &mut view.lock_chain {
        jumps_from_elsewhere -= view.jumps.len();
        if jumps_from_elsewhere > 0 {
            view.foreign.push(format!("{jumps_from_elsewhere} jumps from elsewhere"));
        }
    }
    view
}

fn goes_to_lock_chain(words: &[String]) -> bool {
    words.windows(2).any(|pair| matches!(pair[0].as_str(), "-j" | "-g") && pair[1] == LOCK_CHAIN)
}

/// Sorts the rules of a filter table.
struct Builder {
    place: FilterPlace,
    table: Option<u64>,
    drops: HashMap<RuleKey, Vec<RuleId>>,
    jumps: Vec<(Direction, RuleId)>,
    rules: Vec<RuleId>,
    foreign: Vec<String>,
}

impl Builder {
    fn new(place: FilterPlace, table: Option<u64>) -> Self {
        Builder { place, table, drops: HashMap::new(), jumps: Vec::new(), rules: Vec::new(), foreign: Vec::new() }
    }

    fn add(&mut self, chain: &str, rules: impl Iterator<Item = (RuleId, RuleShape)>) {
        if chain == LOCK_CHAIN {
            return self.add_to_lock_chain(rules);
        }
        let Some(direction) = Direction::BOTH.into_iter().find(|direction| direction.chain() == chain) else { return };
        for (id, shape) in rules {
            match shape {
                RuleShape::DropFlow { flow, marked } => {
                    self.drops.entry(RuleKey { direction, flow, marked }).or_default().push(id);
                }
                RuleShape::JumpToLock => self.jumps.push((direction, id)),
                _ => {}
            }
        }
    }

    fn add_to_lock_chain(&mut self, rules: impl Iterator<Item = (RuleId, RuleShape)>) {
        for (at, (id, shape)) in rules.enumerate() {
            match shape {
                RuleShape::AcceptMarked | RuleShape::DropAll => self.rules.push(id),
                _ => self.foreign.push(format!("rule {} of chain {LOCK_CHAIN}", at + 1)),
            }
        }
    }

    /// `lock_chain` is the handle of the chain, where there is one, and where the backend has handles.
    fn build(self, lock_chain: Option<Option<u64>>) -> FilterView {
        let Builder { place, table, drops, jumps, rules, foreign } = self;
        let lock_chain = lock_chain.map(|handle| ChainView { table, handle, jumps, rules, foreign });
        FilterView { place, table, drops, lock_chain }
    }
}
