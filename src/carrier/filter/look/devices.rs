// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a network namespace is the one whose devices and addresses the images record.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::checkpoint::{Device, Network};
use crate::system::interfaces;

/// Whether what is recorded could not be of just any namespace: devices like `sit0` are in all of them.
pub(super) fn is_distinctive(recorded: &Network) -> bool {
    let has_address = |device: &Device| device.hardware_address.iter().any(|byte| *byte != 0);
    !recorded.addresses.is_empty() || recorded.devices.iter().any(has_address)
}

/// Whether the calling thread's namespace has the recorded devices and no others, so that it can be the one that was
/// dumped, although many namespaces have the same. What cannot be read may be the same.
pub(super) fn may_be_the_same(recorded: &Network) -> bool {
    let Ok(links) = interfaces::links() else { return true };
    let others = links.iter().filter(|link| link.name != b"lo").map(|link| (&link.name, &link.hardware_address));
    let recorded = recorded.devices.iter().map(|device| (&device.name, &device.hardware_address));
    others.collect::<HashSet<_>>() == recorded.collect()
}

/// Whether the calling thread's namespace has all that is recorded.
pub(super) fn are_here(recorded: &Network) -> bool {
    let (Ok(links), Ok(addresses)) = (interfaces::links(), interfaces::addresses()) else { return false };
    let addresses: HashSet<(u32, IpAddr)> = addresses.iter().map(|each| (each.index, each.address)).collect();
    let has_all_devices = recorded.devices.iter().all(|device| {
        links.iter().any(|link| {
            (link.index, &link.name, &link.hardware_address) == (device.index, &device.name, &device.hardware_address)
        })
    });
    has_all_devices && recorded.addresses.iter().all(|each| addresses.contains(&(each.index, each.address)))
}
