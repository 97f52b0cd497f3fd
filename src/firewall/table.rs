// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recognises CRIU's nftables tables (`criu/netfilter.c`, `criu/net.c`, since v3.16).
//!
//! CRIU builds such a table statement by statement, so a killed CRIU can leave any beginning of it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use super::rule_shape::{self, RuleShape};
use crate::connection::{Flow, TableForm};
use crate::system::nft::{Chain, Set, SetForm, Table};
use crate::system::xtables::IpVersion;

// From linux/netfilter.h: the hooks and verdicts of base chains.
const LOCAL_IN: u32 = 1;
const LOCAL_OUT: u32 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// A table with a name that CRIU could have given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// nf_tables' handle of it.
    pub handle: u64,
    /// What it is for.
    pub form: TableForm,
    /// The flows that its sets hold.
    pub flows: HashSet<Flow>,
    /// What about it is not CRIU's; empty for a table as CRIU leaves it.
    pub foreign: Vec<String>,
}

impl TableView {
    /// What the table is.
    pub fn of(table: &Table) -> Self {
        let mut view = TableView {
            name: table.name.clone(),
            handle: table.handle,
            form: TableForm::Either,
            flows: HashSet::new(),
            foreign: table.other_objects.clone(),
        };
        if table.flags != 0 {
            view.foreign.push(format!("table flags {:#x}", table.flags));
        }
        for set in &table.sets {
            view.add_set(set);
        }
        for chain in &table.chains {
            view.add_chain(chain);
        }
        view
    }

    fn add_set(&mut self, set: &Set) {
        let address_length = match set.name.as_str() {
            "conns4" => 4,
            "conns6" => 16,
            _ => return self.foreign.push(format!("set {}", set.name)),
        };
        // Each field of a concatenated key is padded to four bytes; so a port takes four too.
        let is_criu = set.form == SetForm::Plain && set.key_length as usize == 2 * (address_length + 4);
        let flows: Option<Vec<Flow>> = set.elements.iter().map(|key| flow(key, address_length)).collect();
        match flows {
            Some(flows) if is_criu => self.flows.extend(flows),
            _ => self.foreign.push(format!("set {} of another kind", set.name)),
        }
        self.add_form(TableForm::Connections);
    }

    fn add_chain(&mut self, chain: &Chain) {
        let number = match chain.name.as_str() {
            "input" => LOCAL_IN,
            "output" => LOCAL_OUT,
            _ => return self.foreign.push(format!("chain {}", chain.name)),
        };
        let Some(hook) = &chain.hook else {
            return self.foreign.push(format!("chain {} without a hook", chain.name));
        };
        if (hook.number, hook.priority, hook.chain_type.as_str()) != (number, 0, "filter") || !hook.devices.is_empty() {
            self.foreign.push(format!("chain {} on another hook", chain.name));
        }
        match hook.policy {
            ACCEPT => self.add_form(TableForm::Connections),
            DROP => self.add_form(TableForm::Closed),
            _ => self.foreign.push(format!("chain {} with another policy", chain.name)),
        }
        for rule in &chain.rules {
            match rule_shape::of_nft(None, &rule.expressions) {
                RuleShape::AcceptMarked => {}
                RuleShape::DropSet { set, family } if is_set_of(&set, family) => {
                    self.add_form(TableForm::Connections);
                }
                RuleShape::DropFlow { .. }
                | RuleShape::DropSet { .. }
                | RuleShape::JumpToLock
                | RuleShape::DropAll
                | RuleShape::Foreign => {
                    self.foreign.push(format!("rule with handle {} in chain {}", rule.handle, chain.name));
                }
            }
        }
    }

    fn add_form(&mut self, form: TableForm) {
        if !self.form.admits(form) {
            self.foreign.push("both a policy to drop everything and sets of connections".to_owned());
        }
        self.form = form;
    }
}

fn is_set_of(set: &str, family: IpVersion) -> bool {
    matches!((set, family), ("conns4", IpVersion::V4) | ("conns6", IpVersion::V6))
}

/// A key of address, port, address, port, in network order.
fn flow(key: &[u8], address_length: usize) -> Option<Flow> {
    let (source, rest) = end(key, address_length)?;
    let (destination, rest) = end(rest, address_length)?;
    rest.is_empty().then_some(Flow { source, destination })
}

fn end(key: &[u8], address_length: usize) -> Option<(SocketAddr, &[u8])> {
    let (address, rest) = key.split_at_checked(address_length)?;
    let ([high, low, 0, 0], rest) = rest.split_first_chunk()? else { return None };
    let address: IpAddr = match address_length {
        4 => <[u8; 4]>::try_from(address).ok()?.into(),
        _ => <[u8; 16]>::try_from(address).ok()?.into(),
    };
    Some((SocketAddr::new(address, u16::from_be_bytes([*high, *low])), rest))
}

#[cfg(test)]
mod tests;
