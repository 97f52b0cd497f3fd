// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which lock chains are the checkpoint's. A chain has no owner, so something has to point to its namespace.

use std::sync::Arc;

use super::{Scene, View, absent};
use crate::carrier::filter::metadata::Lost;
use crate::carrier::filter::{FoundChain, Tie, recorded_namespace};
use crate::carrier::{Cause, Presence};
use crate::firewall::Backend;

impl View {
    /// The lock chains in it.
    fn chains(&self) -> impl Iterator<Item = Presence> {
        self.network.filters.iter().filter_map(|filter| {
            Some(Presence::Chain(FoundChain {
                namespace: Arc::clone(&self.network.namespace),
                place: filter.place,
                view: filter.lock_chain.clone()?,
                tie: self.tie.filter(|tie| *tie != Tie::Recorded || filter.place.backend == Backend::Nft),
            }))
        })
    }
}

impl Scene<'_> {
    /// A tree is in one network namespace: where that is known, the chains of all others are other dumps'. Metadata is
    /// known to be right only where there is such a chain.
    pub(in crate::carrier::filter::look) fn is_tied(&self) -> bool {
        self.views().any(|view| match view.tie {
            Some(Tie::Metadata) => view.network.has_lock_chain(),
            Some(Tie::Named | Tie::Own | Tie::Devices | Tie::Recorded | Tie::Tree) => true,
            None => false,
        })
    }

    /// The lock chains that are this checkpoint's, or may be: a chain has no owner, so it is only where something points.
    pub(in crate::carrier::filter::look) fn chains(&self) -> Vec<Presence> {
        let mut found: Vec<Presence> =
            self.views().filter(|view| self.is_pointed_to(view)).flat_map(View::chains).collect();
        match self.of_restore() {
            Some(unknown) => found.push(unknown),
            None if found.is_empty() => found.push(self.absent_chain()),
            None => {}
        }
        found
    }

    /// Of a restore into another network namespace, which failed, is perhaps a chain to which nothing points, until the user
    /// says where the container's is.
    fn of_restore(&self) -> Option<Presence> {
        let is_named = self.views().any(|view| view.tie == Some(Tie::Named));
        if is_named || !self.checkpoint.may_have_locked_elsewhere() {
            return None;
        }
        let key = || self.checkpoint.network.external_key.clone();
        match (self.strange().next(), self.looked_everywhere()) {
            (Some(_), _) => Some(Presence::Unreachable(Cause::RestoredElsewhere { key: key() })),
            (None, None) => Some(absent(None)),
            (None, Some(_)) => None,
        }
    }

    /// Whether a chain in a namespace can be this checkpoint's. Where one is tied, none is in any other. Else it may be
    /// where metadata of strangers point, or where there are the devices of the images.
    fn is_pointed_to(&self, view: &View) -> bool {
        view.tie.is_some() || !self.is_tied() && view.is_old_enough && (view.is_mentioned || view.has_devices)
    }

    /// Why there is no chain where something points.
    fn absent_chain(&self) -> Presence {
        // The namespace of the container is there, and open.
        let is_known = |view: &View| view.tie.is_some() || view.is_mentioned && view.is_old_enough;
        if self.views().any(is_known) {
            return absent(self.looked_at(is_known));
        }
        if recorded_namespace::has_ended(self.checkpoint.record.record(), self.recorded) {
            return absent(self.looked_everywhere());
        }
        // One that was dumped is no engine's, and ended with the tree unless something else keeps it: a process of the
        // same service, or something hidden. An engine takes away the name of one that it gave to the tree, with the
        // namespace.
        let has_ended = match self.lost {
            Lost::None => self.checkpoint.has_own_network(),
            Lost::Name => true,
            Lost::Namespace => false,
        };
        let may_be = |view: &View| view.is_hidden || view.may_be_trees || !has_ended;
        match self.looked_everywhere() {
            Some(_) if self.strange().any(may_be) => {
                Presence::Unreachable(Cause::Untied { key: self.checkpoint.network.external_key.clone() })
            }
            Some(looked) if self.strange().next().is_some() => Presence::Untied(looked),
            looked => absent(looked),
        }
    }

    /// The namespaces that have a chain to which nothing points. One that seems younger than the images may only have
    /// been given a new name.
    fn strange(&self) -> impl Iterator<Item = &View> {
        self.views().filter(|view| view.network.has_lock_chain() && !self.is_pointed_to(view))
    }

    /// Whoever is in a closed namespace should hear of it, although it is not this checkpoint's.
    pub(in crate::carrier::filter::look) fn strange_chains(&self) -> Option<String> {
        let strange: Vec<String> = self.strange().map(|view| view.network.namespace.to_string()).collect();
        let (first, more) = strange.split_first()?;
        let (others, them) = match more.len() {
            0 => (" has".to_owned(), "it"),
            more => (format!(" and {more} more have"), "them"),
        };
        Some(format!("{first}{others} a chain CRIU, and nothing ties {them} to this checkpoint; --netns PATH would"))
    }
}
