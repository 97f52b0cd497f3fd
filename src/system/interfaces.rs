// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network interfaces of the calling thread's network namespace, and their addresses. Read-only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::{Error as NetlinkError, Fields, Malformed, Message, Protocol, Request, Socket, array};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// `struct ifinfomsg`.
const LINK_FIXED_PART: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_FIXED_PART: usize = 8;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name; the kernel allows any bytes but `/`, `:` and white space.
    pub name: Vec<u8>,
    /// Its hardware address; empty where it has none.
    pub hardware_address: Vec<u8>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkAddress {
    /// The interface's number.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
}

/// Why the interfaces could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Netlink failed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel's answer lacks what it must have.
    #[error("cannot parse the kernel's answer about {what}")]
    Malformed {
        /// What was read.
        what: &'static str,
    },
}

/// The interfaces.
pub fn links() -> Result<Vec<Link>, Error> {
    let socket = Socket::open(Protocol::Route)?;
    let replies = socket.dump("list the network interfaces", Request::new(RTM_GETLINK, &[0; LINK_FIXED_PART]))?;
    let messages = replies.messages().filter(|message| message.kind == RTM_NEWLINK);
    messages.map(|message| link(&message).ok_or(Error::Malformed { what: "a network interface" })).collect()
}

/// The addresses, of IPv4 and IPv6.
pub fn addresses() -> Result<Vec<LinkAddress>, Error> {
    let socket = Socket::open(Protocol::Route)?;
    let replies = socket.dump("list the network addresses", Request::new(RTM_GETADDR, &[0; ADDRESS_FIXED_PART]))?;
    let messages = replies.messages().filter(|message| message.kind == RTM_NEWADDR);
    let mut addresses = Vec::new();
    for message in messages {
        addresses.extend(address(&message).map_err(|Malformed| Error::Malformed { what: "a network address" })?);
    }
    Ok(addresses)
}

fn link(message: &Message<'_>) -> Option<Link> {
    const IFLA_ADDRESS: u16 = 1;
    const IFLA_IFNAME: u16 = 3;
    let index = u32::from_ne_bytes(array(message.payload, 4)?);
    let fields: Fields<'_, 4> = Fields::of(message.attributes(LINK_FIXED_PART)).ok()?;
    let name = fields.bytes(IFLA_IFNAME)?;
    Some(Link {
        index,
        name: name.strip_suffix(&[0]).unwrap_or(name).to_vec(),
        hardware_address: fields.bytes(IFLA_ADDRESS).unwrap_or_default().to_vec(),
    })
}

/// `None` for an address of another protocol.
fn address(message: &Message<'_>) -> Result<Option<LinkAddress>, Malformed> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    let [family]: [u8; 1] = array(message.payload, 0).ok_or(Malformed)?;
    let index = u32::from_ne_bytes(array(message.payload, 4).ok_or(Malformed)?);
    let fields: Fields<'_, 4> = Fields::of(message.attributes(ADDRESS_FIXED_PART))?;
    // On a link with two ends IFA_ADDRESS is the other one.
    let Some(bytes) = fields.bytes(IFA_LOCAL).or_else(|| fields.bytes(IFA_ADDRESS)) else { return Ok(None) };
    let address = match family {
        AF_INET => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).map_err(|_| Malformed)?)),
        AF_INET6 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).map_err(|_| Malformed)?)),
        _ => return Ok(None),
    };
    Ok(Some(LinkAddress { index, address }))
}

/// For the fuzz targets: what the kernel sends is read here without a kernel.
#[cfg(feature = "internals")]
pub mod fuzzing {
    use crate::system::netlink::Messages;

    /// Reads every message as an interface and as an address.
    pub fn decode(bytes: &[u8]) {
        for message in Messages::new(bytes).flatten() {
            let _ = super::link(&message);
            let _ = super::address(&message);
        }
    }
}

#[cfg(test)]
mod tests;
