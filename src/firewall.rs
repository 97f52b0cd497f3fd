// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a network namespace holds of the kinds of rules and tables that CRIU writes. Read-only.
//!
//! Both backends of iptables are read, each by its own way: nf_tables through netlink, the legacy tables through
//! `iptables-legacy-save`, and those only where the kernel says that there are any, since asking would create them.
//! What cannot be read is a failure that is kept beside what could: "not seen" is never "not there".

pub mod rule_shape;
mod table;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use self::rule_shape::{LOCK_CHAIN, RuleShape};
use crate::connection::{Direction, Flow};
use crate::system::netns::NetworkName;
use crate::system::nft::{self, Nft};
use crate::system::xtables::{self, IpVersion};

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
    /// More rules of the connections than any dump makes.
    #[error("there are more than {limit} rules of these connections")]
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
}

/// Looks into the calling thread's namespace.
pub fn look(namespace: &Arc<NetworkName>, parts: &Parts) -> NetworkView {
    let mut view =
        NetworkView { namespace: Arc::clone(namespace), filters: Vec::new(), tables: Vec::new(), failures: Vec::new() };
    if let Err(error) = look_at_nft(&mut view, parts) {
        view.failures.push(failure(namespace, "nf_tables", &error));
    }
    for family in [IpVersion::V4, IpVersion::V6] {
        let place = FilterPlace { backend: Backend::Legacy, family };
        let looked = match &parts.filters {
            Filters::Nothing => Ok(None),
            Filters::LockChain => look_at_filter(place, &HashSet::new()),
            Filters::All(flows) => look_at_filter(place, flows),
        };
        match looked {
            Ok(filter) => view.filters.extend(filter),
            Err(error) => view.failures.push(failure(namespace, "the legacy iptables rules", &error)),
        }
    }
    view
}

/// Looks at one filter table of the calling thread's namespace; `None` where it does not exist.
pub fn look_at_filter(place: FilterPlace, flows: &HashSet<Flow>) -> Result<Option<FilterView>, LookError> {
    match place.backend {
        Backend::Nft => look_at_nft_filter(&Nft::open()?, place.family, flows),
        Backend::Legacy => {
            let table = xtables::read_filter(place.family, |chain, words| may_matter(chain, words, flows))?;
            table.map(|table| legacy_filter(place, &table, flows)).transpose()
        }
    }
}

/// Looks at the filter table of iptables-nft through a socket that is open already.
pub fn look_at_nft_filter(
    nft: &Nft,
    family: IpVersion,
    flows: &HashSet<Flow>,
) -> Result<Option<FilterView>, LookError> {
    let place = FilterPlace { backend: Backend::Nft, family };
    let chains = [Direction::Input.chain(), Direction::Output.chain(), LOCK_CHAIN];
    let found = nft.chains(
        nft_family(family),
        FILTER_TABLE,
        &chains,
        Builder::add_chain,
        |builder: &mut Builder, chain, rule| {
            let shape = rule_shape::of_nft(Some(family), &rule.expressions);
            builder.add(&chain.name, RuleId::Handle(rule.handle), shape, flows);
        },
    )?;
    found.map(|(table, builder)| builder.build(place, Some(table.handle))).transpose()
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
    for name in &parts.tables {
        view.tables.extend(look_at_table(&nft, name)?);
    }
    for family in [IpVersion::V4, IpVersion::V6] {
        add_filter(view, &nft, family, &parts.filters)?;
    }
    Ok(())
}

fn add_filter(view: &mut NetworkView, nft: &Nft, family: IpVersion, filters: &Filters) -> Result<(), LookError> {
    let filter = match filters {
        Filters::Nothing => None,
        Filters::LockChain => match nft.has_chain(nft_family(family), FILTER_TABLE, LOCK_CHAIN)? {
            true => look_at_nft_filter(nft, family, &HashSet::new())?,
            false => None,
        },
        Filters::All(flows) => look_at_nft_filter(nft, family, flows)?,
    };
    view.filters.extend(filter);
    Ok(())
}

fn failure(namespace: &NetworkName, part: &'static str, error: &dyn std::error::Error) -> LookFailure {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    LookFailure { namespace: namespace.to_string(), part, error: format!("{error}{cause}") }
}

fn legacy_filter(
    place: FilterPlace,
    table: &xtables::FilterTable,
    flows: &HashSet<Flow>,
) -> Result<FilterView, LookError> {
    let mut builder = Builder::default();
    for chain in &table.chains {
        if chain.name == LOCK_CHAIN {
            builder.lock_chain = Some(LockChain::default());
        }
        for words in &chain.rules {
            builder.uses += u32::from(goes_to_lock_chain(words));
            let shape = rule_shape::of_xtables(place.family, words);
            builder.add(&chain.name, RuleId::Words(words.clone()), shape, flows);
        }
    }
    if let Some(chain) = &mut builder.lock_chain {
        chain.uses = builder.uses + builder.lock_rules;
    }
    builder.build(place, None)
}

/// Whether a legacy rule can be one that is looked for, or lead to the lock chain.
fn may_matter(chain: &str, words: &[String], flows: &HashSet<Flow>) -> bool {
    let is_where_criu_locks = Direction::BOTH.into_iter().any(|direction| direction.chain() == chain);
    chain == LOCK_CHAIN || goes_to_lock_chain(words) || is_where_criu_locks && !flows.is_empty()
}

fn goes_to_lock_chain(words: &[String]) -> bool {
    words.windows(2).any(|pair| matches!(pair[0].as_str(), "-j" | "-g") && pair[1] == LOCK_CHAIN)
}

/// No more of what is not CRIU's is told one by one, and no more jumps are kept: CRIU makes two.
const MOST: usize = 64;

/// No more rules of connections are kept of one filter table: whoever knows a connection can make any number of them in a
/// namespace of their own.
const MOST_DROPS: usize = 1_000_000;

/// Sorts the rules of a filter table, one by one. Whatever there is of others, little is kept.
#[derive(Default)]
struct Builder {
    drops: HashMap<RuleKey, Vec<RuleId>>,
    drop_count: usize,
    jumps: Vec<(Direction, RuleId)>,
    rules: Vec<RuleId>,
    foreign: Vec<String>,
    lock_chain: Option<LockChain>,
    /// Jumps to the lock chain, from wherever, and rules in it.
    uses: u32,
    lock_rules: u32,
}

/// What is known of the lock chain itself.
#[derive(Default)]
struct LockChain {
    handle: Option<u64>,
    has_hook: bool,
    /// The kernel counts the rules in a chain and the jumps to it together.
    uses: u32,
}

impl Builder {
    fn add_chain(&mut self, chain: &nft::Chain) {
        if chain.name == LOCK_CHAIN {
            let (handle, has_hook, uses) = (Some(chain.handle), chain.hook.is_some(), chain.use_count);
            self.lock_chain = Some(LockChain { handle, has_hook, uses });
        }
    }

    fn add(&mut self, chain: &str, id: RuleId, shape: RuleShape, flows: &HashSet<Flow>) {
        if chain == LOCK_CHAIN {
            return self.add_to_lock_chain(id, shape);
        }
        let Some(direction) = Direction::BOTH.into_iter().find(|direction| direction.chain() == chain) else { return };
        match shape {
            RuleShape::DropFlow { flow, marked } if flows.contains(&flow) => {
                self.drop_count += 1;
                if self.drop_count <= MOST_DROPS {
                    self.drops.entry(RuleKey { direction, flow, marked }).or_default().push(id);
                }
            }
            RuleShape::JumpToLock if self.jumps.len() < MOST => self.jumps.push((direction, id)),
            RuleShape::DropFlow { .. }
            | RuleShape::DropSet { .. }
            | RuleShape::JumpToLock
            | RuleShape::AcceptMarked
            | RuleShape::DropAll
            | RuleShape::Foreign => {}
        }
    }

    fn add_to_lock_chain(&mut self, id: RuleId, shape: RuleShape) {
        self.lock_rules += 1;
        let is_crius = matches!(shape, RuleShape::AcceptMarked | RuleShape::DropAll);
        if is_crius && self.rules.len() < MOST {
            self.rules.push(id);
        } else if self.foreign.len() < MOST {
            self.foreign.push(format!("rule {} of chain {LOCK_CHAIN}", self.lock_rules));
        }
    }

    fn build(self, place: FilterPlace, table: Option<u64>) -> Result<FilterView, LookError> {
        if self.drop_count > MOST_DROPS {
            return Err(LookError::TooMany { limit: MOST_DROPS });
        }
        let Builder { drops, jumps, rules, mut foreign, lock_chain, lock_rules, .. } = self;
        let lock_chain = lock_chain.map(|LockChain { handle, has_hook, uses }| {
            if has_hook {
                foreign.push("a hook of its own".to_owned());
            }
            let known = u64::from(lock_rules) + jumps.len() as u64;
            if let Some(others @ 1..) = u64::from(uses).checked_sub(known) {
                foreign.push(format!("{others} jumps from elsewhere"));
            }
            ChainView { table, handle, jumps, rules, foreign }
        });
        Ok(FilterView { place, table, drops, lock_chain })
    }
}
