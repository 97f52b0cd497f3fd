// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The IP addresses of interfaces: `ifaddr-<network namespace id>.img`.
//!
//! CRIU does not frame this image: it is what `ip addr save` writes (`dump_ifaddr` in `criu/net.c`), which is
//! iproute2's own magic number and the kernel's `RTM_NEWADDR` messages, all in the byte order of the host. Every length
//! in it is checked against the bytes that are there before it is used.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{ByteOrder, Error, ErrorKind};

/// `ipadd_dump_magic` of iproute2, `ip/ipaddress.c`.
const SAVE_MAGIC: u32 = 0x4736_1222;
const MESSAGE_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ATTRIBUTE_HEADER: usize = 4;
const RTM_NEWADDR: u16 = 20;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// The two upper bits of an attribute's type are flags.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// An IP address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// The index of the interface, as in [`NetDeviceEntry`](crate::NetDeviceEntry).
    pub ifindex: u32,
    /// The interface's own address; not, on a point-to-point link, that of its peer.
    pub address: IpAddr,
    /// How many bits of it are the network's.
    pub prefix_length: u8,
}

/// The name of the image with the addresses in a network namespace.
pub fn interface_addresses_file_name(net_ns_id: u32) -> String {
    format!("ifaddr-{net_ns_id}.img")
}

/// Whether an image of this name holds the addresses in a network namespace.
pub fn is_interface_addresses_file_name(name: impl AsRef<OsStr>) -> bool {
    let name = name.as_ref();
    let number = name.to_str().and_then(|name| name.strip_prefix("ifaddr-")?.strip_suffix(".img"));
    // The parser takes signs and leading zeros, which CRIU does not write.
    let id = number.and_then(|number| number.parse().ok());
    id.is_some_and(|id| name == interface_addresses_file_name(id).as_str())
}

/// The addresses in an `ifaddr` image, and the first error in it.
///
/// The addresses before an error are given, and also those after it, unless the error hides where the next message
/// begins.
///
/// ```
/// let (addresses, error) = criu_images::interface_addresses(b"");
/// assert!(addresses.is_empty());
/// assert_eq!(error.unwrap().to_string(), "at offset 0: the file is empty");
/// ```
pub fn interface_addresses(bytes: &[u8]) -> (Vec<InterfaceAddress>, Option<Error>) {
    let mut addresses = Vec::new();
    let mut error = None;
    let messages = match Messages::open(bytes) {
        Ok(messages) => messages,
        Err(error) => return (addresses, Some(error)),
    };
    let order = messages.order;
    for message in messages {
        match message.and_then(|message| message.address(order)) {
            Ok(address) => addresses.extend(address),
            Err(found) => error = error.or(Some(found)),
        }
    }
    (addresses, error)
}

/// The messages of the image, one after the other.
struct Messages<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
    offset: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let result = self.split(rest);
        // The next message begins at a multiple of four; after a broken length there is no telling where.
        let length = result.as_ref().map_or(rest.len(), |message| MESSAGE_HEADER + message.payload.len());
        self.offset += length.next_multiple_of(4);
        Some(result)
    }
}

struct Message<'a> {
    offset: usize,
    kind: u16,
    payload: &'a [u8],
}

impl<'a> Messages<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::new(0, ErrorKind::Empty));
        }
        let magic = bytes.first_chunk().ok_or(Error::truncated(0, 4, bytes.len() as u64))?;
        let order = ByteOrder::ALL.into_iter().find(|order| order.u32(*magic) == SAVE_MAGIC);
        let foreign = ErrorKind::ForeignMagic { found: ByteOrder::Little.u32(*magic), expected: SAVE_MAGIC };
        let order = order.ok_or(Error::new(0, foreign))?;
        Ok(Messages { bytes, order, offset: magic.len() })
    }

    fn split(&self, rest: &'a [u8]) -> Result<Message<'a>, Error> {
        let offset = self.offset as u64;
        let truncated = |expected: usize| Error::truncated(offset, expected as u64, rest.len() as u64);
        let header: &[u8; MESSAGE_HEADER] = rest.first_chunk().ok_or_else(|| truncated(MESSAGE_HEADER))?;
        let &[l0, l1, l2, l3, k0, k1, ..] = header;
        let length = self.order.u32([l0, l1, l2, l3]) as usize;
        if length < MESSAGE_HEADER {
            return Err(Error::malformed(offset, "the message says it is shorter than its own header"));
        }
        let payload = rest.get(MESSAGE_HEADER..length).ok_or_else(|| truncated(length))?;
        Ok(Message { offset: self.offset, kind: self.order.u16([k0, k1]), payload })
    }
}

impl Message<'_> {
    /// The address that the message gives, or `None` if it is about something else.
    fn address(&self, order: ByteOrder) -> Result<Option<InterfaceAddress>, Error> {
        if self.kind != RTM_NEWADDR {
            return Ok(None);
        }
        let malformed = |reason: &str| Error::malformed(self.offset as u64, reason);
        let (header, attributes) = self
            .payload
            .split_first_chunk::<ADDRESS_HEADER>()
            .ok_or_else(|| malformed("the message about an address is too short for one"))?;
        let &[family, prefix_length, _, _, i0, i1, i2, i3] = header;
        if !matches!(family, AF_INET | AF_INET6) {
            return Ok(None);
        }
        let value = own_address(attributes, order).ok_or_else(|| malformed("the message has no address in it"))?;
        let address = ip_address(family, value).ok_or_else(|| malformed("the address has the wrong length"))?;
        Ok(Some(InterfaceAddress { ifindex: order.u32([i0, i1, i2, i3]), address, prefix_length }))
    }
}

/// `IFA_LOCAL` where there is one: beside it, `IFA_ADDRESS` may be the peer's.
fn own_address(attributes: &[u8], order: ByteOrder) -> Option<&[u8]> {
    let find = |wanted| Attributes { rest: attributes, order }.find(|(kind, _)| *kind == wanted);
    find(IFA_LOCAL).or_else(|| find(IFA_ADDRESS)).map(|(_, value)| value)
}

fn ip_address(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into()),
        _ => <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into()),
    }
}

/// The attributes of a message, up to the first that does not fit.
struct Attributes<'a> {
    rest: &'a [u8],
    order: ByteOrder,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let &[l0, l1, k0, k1] = self.rest.first_chunk::<ATTRIBUTE_HEADER>()?;
        let length = usize::from(self.order.u16([l0, l1]));
        let value = self.rest.get(ATTRIBUTE_HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((self.order.u16([k0, k1]) & ATTRIBUTE_TYPE_MASK, value))
    }
}

#[cfg(test)]
mod tests;
