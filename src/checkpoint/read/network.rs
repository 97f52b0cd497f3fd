// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network namespace of a checkpoint's root task.

use std::collections::HashSet;
use std::io::Read;

use criu_images::{NetDeviceEntry, NetDeviceType, NetNsEntry};

use super::super::problem::ReadError;
use super::Reader;
use crate::checkpoint::budget::Fact;
use crate::checkpoint::{Device, DeviceAddress, Network, Task};

/// An `ip addr save` of more than this describes no network namespace of a container.
const ADDRESSES_LIMIT: u64 = 16 * 1024 * 1024;

impl Reader<'_> {
    pub(super) fn network(&mut self, root: Option<&Task>) -> Result<Network, ReadError> {
        let mut network = Network::default();
        let Some(id) = root.and_then(|root| root.ids.as_ref()?.net_ns_id) else { return Ok(network) };
        if let Some(namespace) = self.first::<NetNsEntry>(id)? {
            network.external_key = namespace.entry.ext_key;
        }
        self.records(id, |device: NetDeviceEntry, _, _, budget| {
            budget.charge(Fact::Interface, device.name.len() + device.address.len())?;
            if device.device_type() != NetDeviceType::Loopback {
                let hardware_address = device.address;
                network.devices.push(Device { index: device.ifindex, name: device.name, hardware_address });
            }
            Ok(())
        })?;
        let devices: HashSet<u32> = network.devices.iter().map(|device| device.index).collect();
        let addresses = self.interface_addresses(id)?;
        network.addresses = addresses.into_iter().filter(|address| devices.contains(&address.index)).collect();
        Ok(network)
    }

    fn interface_addresses(&mut self, id: u32) -> Result<Vec<DeviceAddress>, ReadError> {
        let name = criu_images::interface_addresses_file_name(id);
        let Some(file) = self.images.image(&name)? else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        if file.take(ADDRESSES_LIMIT).read_to_end(&mut bytes).is_err() {
            return Ok(Vec::new());
        }
        // These addresses only ever add a tie to a namespace; an image that cannot be read adds none.
        let (addresses, error) = criu_images::interface_addresses(&bytes);
        if error.is_some() {
            return Ok(Vec::new());
        }
        Ok(addresses.into_iter().map(|found| DeviceAddress { index: found.ifindex, address: found.address }).collect())
    }
}
