// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the network namespace of the calling thread.

use std::sync::Arc;

use super::filter::Builder;
use super::rule_shape::{self, LOCK_CHAIN};
use super::{
    Backend, FILTER_TABLE, FilterPlace, FilterView, Filters, Flows, LookError, LookFailure, NetworkView, Parts, RuleId,
    TableView, nft_family,
};
use crate::connection::Direction;
use crate::system::netns::NetworkName;
use crate::system::nft::{self, Nft};
use crate::system::xtables::{self, IpVersion};

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
            Filters::LockChain => look_at_filter(place, Flows::None),
            Filters::All(flows) => look_at_filter(place, Flows::Of(flows)),
            Filters::Marked => look_at_filter(place, Flows::Marked),
        };
        match looked {
            Ok(filter) => view.filters.extend(filter),
            Err(error) => view.failures.push(failure(namespace, "the legacy iptables rules", &error)),
        }
    }
    view
}

/// Looks at one filter table of the calling thread's namespace; `None` where it does not exist.
pub fn look_at_filter(place: FilterPlace, flows: Flows<'_>) -> Result<Option<FilterView>, LookError> {
    match place.backend {
        Backend::Nft => look_at_nft_filter(&Nft::open()?, place.family, flows),
        Backend::Legacy => {
            let add_rule = |builder: &mut Builder, chain: &str, words: &[&str]| {
                add_legacy_rule(builder, (place.family, chain), words, flows);
            };
            let found = xtables::read_filter(place.family, Builder::add_legacy_chain, add_rule)?;
            found.map(|builder| builder.build(place, None)).transpose()
        }
    }
}

/// Looks at the filter table of iptables-nft through a socket that is open already.
pub fn look_at_nft_filter(nft: &Nft, family: IpVersion, flows: Flows<'_>) -> Result<Option<FilterView>, LookError> {
    let place = FilterPlace { backend: Backend::Nft, family };
    let chains = [Direction::Input.chain(), Direction::Output.chain(), LOCK_CHAIN];
    let found = nft.chains(
        nft_family(family),
        FILTER_TABLE,
        &chains,
        Builder::add_chain,
        |builder: &mut Builder, chain, rule| {
            let shape = rule_shape::of_nft(Some(family), &rule.expressions);
            builder.add(&chain.name, || RuleId::Handle(rule.handle), shape, flows);
        },
    )?;
    found.map(|(table, generation, builder)| builder.build(place, Some((table.handle, generation)))).transpose()
}

/// Looks at one table of family `inet` by its name.
pub fn look_at_table(nft: &Nft, name: &str) -> Result<Option<TableView>, LookError> {
    Ok(nft.table(nft::Family::Inet, name)?.map(|table| TableView::of(&table)))
}

/// The names of the tables of family `inet` in the calling thread's namespace that a CRIU may have made.
pub fn table_names() -> Result<Vec<String>, LookError> {
    let nft = match Nft::open() {
        Ok(nft) => nft,
        Err(nft::Error::Unavailable(_) | nft::Error::NotLoaded) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let names = nft.table_names(nft::Family::Inet)?;
    Ok(names.into_iter().filter(|name| name.starts_with("CRIU-")).collect())
}

fn look_at_nft(view: &mut NetworkView, parts: &Parts) -> Result<(), LookError> {
    if parts.tables.is_empty() && parts.filters == Filters::Nothing {
        return Ok(());
    }
    let nft = match Nft::open() {
        Ok(nft) => nft,
        // Nothing can be where there is no nf_tables.
        Err(nft::Error::Unavailable(_) | nft::Error::NotLoaded) => return Ok(()),
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
            true => look_at_nft_filter(nft, family, Flows::None)?,
            false => None,
        },
        Filters::All(flows) => look_at_nft_filter(nft, family, Flows::Of(flows))?,
        Filters::Marked => look_at_nft_filter(nft, family, Flows::Marked)?,
    };
    view.filters.extend(filter);
    Ok(())
}

fn failure(namespace: &NetworkName, part: &'static str, error: &dyn std::error::Error) -> LookFailure {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    LookFailure { namespace: namespace.to_string(), part, error: format!("{error}{cause}") }
}

fn add_legacy_rule(builder: &mut Builder, (family, chain): (IpVersion, &str), words: &[&str], flows: Flows<'_>) {
    let leads_to_lock = goes_to_lock_chain(words);
    if leads_to_lock {
        builder.add_use();
    }
    // Of other rules, however many, nothing is asked.
    let is_where_criu_locks = Direction::BOTH.into_iter().any(|direction| direction.chain() == chain);
    if chain == LOCK_CHAIN || leads_to_lock || is_where_criu_locks && !flows.are_none() {
        let shape = rule_shape::of_xtables(family, words);
        builder.add(chain, || RuleId::Words(words.join(" ").into()), shape, flows);
    }
}

fn goes_to_lock_chain(words: &[&str]) -> bool {
    words.windows(2).any(|pair| matches!(pair[0], "-j" | "-g") && pair[1] == LOCK_CHAIN)
}
