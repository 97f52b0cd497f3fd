// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sorts the rules of a filter table: which are CRIU's, and what in its chain is not.

use std::collections::HashMap;

use super::rule_shape::{LOCK_CHAIN, RuleShape};
use super::{ChainView, FilterPlace, FilterView, Flows, LookError, PlacedRule, Reading, RuleId, RuleKey};
use crate::connection::Direction;
use crate::system::nft;

/// The most foreign rules that are listed one by one, and the most jumps that are kept: CRIU makes two.
const MOST: usize = 64;

/// No more rules of connections are kept of one filter table: whoever knows a connection can make any number of them in a
/// namespace of their own.
const MOST_DROPS: usize = 1_000_000;

/// Sorts the rules of a filter table, one by one. Whatever there is of others, little is kept.
#[derive(Default)]
pub(super) struct Builder {
    drops: HashMap<RuleKey, Vec<PlacedRule>>,
    drop_count: usize,
    /// All rules that were read of `INPUT` and of `OUTPUT`.
    rules: [usize; 2],
    jumps: Vec<(Direction, RuleId)>,
    /// Rules of CRIU in the lock chain.
    crius_rules: usize,
    foreign: Vec<String>,
    lock_chain: Option<LockChainFacts>,
    /// Jumps to the lock chain, from wherever, as far as they were counted.
    uses: u32,
    /// Rules in it.
    lock_rules: u32,
}

/// What is known of the lock chain itself.
#[derive(Default)]
struct LockChainFacts {
    handle: Option<u64>,
    has_hook: bool,
    /// The kernel of nf_tables counts the rules in a chain and the jumps to it together.
    uses: Option<u32>,
}

impl Builder {
    pub(super) fn add_chain(&mut self, chain: &nft::Chain) {
        if chain.name == LOCK_CHAIN {
            let (handle, has_hook, uses) = (Some(chain.handle), chain.hook.is_some(), Some(chain.use_count));
            self.lock_chain = Some(LockChainFacts { handle, has_hook, uses });
        }
    }

    /// `id` makes the id of the rule, which most do not need.
    pub(super) fn add(&mut self, chain: &str, id: impl FnOnce() -> RuleId, shape: RuleShape, flows: Flows<'_>) {
        if chain == LOCK_CHAIN {
            return self.add_to_lock_chain(shape);
        }
        let Some(direction) = Direction::BOTH.into_iter().find(|direction| direction.chain() == chain) else { return };
        self.rules[usize::from(direction == Direction::Output)] += 1;
        match shape {
            RuleShape::DropFlow { flow, marked } if flows.have(&flow, marked) => {
                let position = self.drop_count;
                self.drop_count += 1;
                if position < MOST_DROPS {
                    self.drops
                        .entry(RuleKey { direction, flow, marked })
                        .or_default()
                        .push(PlacedRule { id: id(), position });
                }
            }
            RuleShape::JumpToLock if self.jumps.len() < MOST => self.jumps.push((direction, id())),
            RuleShape::DropFlow { .. }
            | RuleShape::DropSet { .. }
            | RuleShape::JumpToLock
            | RuleShape::AcceptMarked
            | RuleShape::DropAll
            | RuleShape::Foreign => {}
        }
    }

    /// A legacy chain, which has nothing but a name.
    pub(super) fn add_legacy_chain(&mut self, name: &str) {
        if name == LOCK_CHAIN {
            self.lock_chain = Some(LockChainFacts::default());
        }
    }

    /// A jump to the lock chain. In nf_tables the kernel counts them.
    pub(super) fn add_use(&mut self) {
        self.uses += 1;
    }

    fn add_to_lock_chain(&mut self, shape: RuleShape) {
        self.lock_rules += 1;
        let is_crius = matches!(shape, RuleShape::AcceptMarked | RuleShape::DropAll);
        if is_crius && self.crius_rules < MOST {
            self.crius_rules += 1;
        } else if self.foreign.len() < MOST {
            self.foreign.push(format!("rule {} of chain {LOCK_CHAIN}", self.lock_rules));
        }
    }

    /// `nft` is the handle of the table and the generation in which it was read.
    pub(super) fn build(
        self,
        place: FilterPlace,
        nft: Option<(u64, nft::Generation)>,
    ) -> Result<FilterView, LookError> {
        if self.drop_count > MOST_DROPS {
            return Err(LookError::TooMany { limit: MOST_DROPS });
        }
        let table = nft.map(|(table, _)| table);
        let Builder { drops, rules, jumps, mut foreign, lock_chain, uses: counted, lock_rules, .. } = self;
        let lock_chain = lock_chain.map(|LockChainFacts { handle, has_hook, uses }| {
            if has_hook {
                foreign.push("a hook of its own".to_owned());
            }
            let known = u64::from(lock_rules) + jumps.len() as u64;
            let uses = uses.map_or(u64::from(counted) + u64::from(lock_rules), u64::from);
            if let Some(others @ 1..) = uses.checked_sub(known) {
                foreign.push(format!("{others} jumps from elsewhere"));
            }
            ChainView { table, handle, jumps, foreign }
        });
        let reading = nft.map(|(_, generation)| Reading { generation, rules });
        Ok(FilterView { place, table, drops, lock_chain, reading })
    }
}
