// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the identity of a step's object rests on. A text that a tree wrote and a number that can be given anew say only
//! where to look; something of this host has to confirm what is found there.
//!
//! [`NOT_YET`] names the grounds that the plan still takes for proof. It can only become shorter.

use std::collections::BTreeSet;

use criu_gc::mounts::{Base, HostMount, HostMounts};
use criu_gc::plan::{Answer, Item};
use criu_gc::probe::Presence;

/// Grounds that are none, and that the plan acts on all the same: the host does not confirm them yet.
const NOT_YET: [Ground; 2] = [Ground::Text, Ground::ReusableNumber];

/// What speaks for an object being the one that the images name, beside the test of the object itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ground {
    /// The record of the dump has the identity of this very object.
    Record,
    /// The user named the place.
    User,
    /// The path is one of the mount namespace in which both CRIU and the tool run.
    OwnPath,
    /// The number of a device that has it for as long as it is there.
    LastingNumber,
    /// The number of a device that anybody may get next.
    ReusableNumber,
    /// An option that the tree wrote.
    Text,
}

impl Ground {
    fn is_proof(self) -> bool {
        match self {
            Ground::Record | Ground::User | Ground::OwnPath | Ground::LastingNumber => true,
            Ground::ReusableNumber | Ground::Text => false,
        }
    }
}

/// A step that is carried out has a ground that is one.
pub(super) fn check(item: &Item, host: &HostMounts) {
    let grounds = grounds(item, host);
    let counts = |ground: &Ground| ground.is_proof() || NOT_YET.contains(ground);
    assert!(grounds.iter().any(counts), "nothing confirms what it is: {grounds:?} {item:?}");
}

fn grounds(item: &Item, host: &HostMounts) -> BTreeSet<Ground> {
    let recorded = (item.record == Some(Answer::Same)).then_some(Ground::Record);
    let of_place = match &item.finding.presence {
        Presence::File(file) => Some(of_base(&file.place.base, host)),
        Presence::Gone(_)
        | Presence::Vanished(_)
        | Presence::Unreachable(_)
        | Presence::Rules(_)
        | Presence::InTable(_)
        | Presence::Table(_)
        | Presence::Chain(_) => None,
    };
    recorded.into_iter().chain(of_place).collect()
}

fn of_base(base: &Base, host: &HostMounts) -> Ground {
    match base {
        Base::Root(_) => Ground::OwnPath,
        Base::Named(_) => Ground::User,
        Base::Upper(_) | Base::Recorded(_) | Base::PerhapsRoot(_) => Ground::Text,
        Base::Device { device } => of_device(*device),
        Base::Mount { id, .. } => {
            let others = host.others.iter().flat_map(|(_, mounts)| mounts);
            let mount: Option<&HostMount> = host.own.iter().chain(others).find(|mount| mount.id == *id);
            // Of an overlay not even the number has to agree.
            mount.map_or(Ground::Text, |mount| match mount.fstype.as_slice() {
                b"overlay" => Ground::Text,
                _ => of_device(mount.device),
            })
        }
    }
}

/// Of loop, md, nbd and device-mapper devices, and of filesystems without a device, the next one gets the number; so do
/// disks of other kinds, but not while they are there.
fn of_device((major, _): (u32, u32)) -> Ground {
    const ANONYMOUS: u32 = 0;
    const REUSED: [u32; 6] = [ANONYMOUS, 7, 9, 43, 252, 253];
    if REUSED.contains(&major) { Ground::ReusableNumber } else { Ground::LastingNumber }
}
