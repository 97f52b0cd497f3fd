// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules as nf_tables stores them: small programs that load fields of a packet into registers and compare them.

use std::net::{IpAddr, SocketAddr};

use super::{CRIU_MARK, LOCK_CHAIN, RuleShape, TCP, address, once};
use crate::connection::Flow;
use crate::system::nft::{Expression, Verdict};
use crate::system::xtables::IpVersion;

// From linux/netfilter/nf_tables.h.
const META_MARK: u32 = 3;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// What a rule loads from a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Mark,
    NetworkProtocol,
    TransportProtocol,
    Source,
    Destination,
    SourcePort,
    DestinationPort,
    BothPorts,
}

/// Everything a rule asks for and does.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    network_protocol: Option<u8>,
    transport_protocol: Option<u8>,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    mark: Option<Mark>,
    set: Option<(String, Vec<Field>)>,
    verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Is,
    IsNot,
}

impl Conditions {
    pub(super) fn of(family: Option<IpVersion>, expressions: &[Expression]) -> Option<Self> {
        let mut conditions = Conditions::default();
        let mut loaded: Vec<(u32, Field)> = Vec::new();
        for expression in expressions {
            // Nothing comes after a verdict.
            if conditions.verdict.is_some() {
                return None;
            }
            conditions.add(family, expression, &mut loaded)?;
        }
        Some(conditions)
    }

    fn add(
        &mut self,
        family: Option<IpVersion>,
        expression: &Expression,
        loaded: &mut Vec<(u32, Field)>,
    ) -> Option<()> {
        match expression {
            Expression::Meta { key, register } => loaded.push((*register, meta(*key)?)),
            Expression::Payload { base, offset, length, register } => {
                let network = match self.network_protocol {
                    Some(IPV4) => Some(IpVersion::V4),
                    Some(IPV6) => Some(IpVersion::V6),
                    _ => family,
                };
                loaded.push((*register, payload(network?, *base, *offset, *length)?));
            }
            Expression::Compare { register, op, value } => {
                let at = loaded.iter().position(|(each, _)| each == register)?;
                let (_, field) = loaded.remove(at);
                self.compare(field, *op, value)?;
            }
            Expression::Lookup { set, inverted: false, .. } => {
                let fields = loaded.drain(..).map(|(_, field)| field).collect();
                once(&mut self.set, (set.clone(), fields))?;
            }
            Expression::Match { name, info, .. } => self.xt_match(name, info)?,
            Expression::Counter => {}
            Expression::Verdict(verdict) if loaded.is_empty() => self.verdict = Some(verdict.clone()),
            Expression::Lookup { .. }
            | Expression::Verdict(_)
            | Expression::Bitwise { .. }
            | Expression::Target { .. }
            | Expression::Other { .. } => return None,
        }
        Some(())
    }

    fn compare(&mut self, field: Field, op: u32, value: &[u8]) -> Option<()> {
        if field == Field::Mark {
            let mark = u32::from_ne_bytes(value.try_into().ok()?);
            return match (mark, op) {
                (CRIU_MARK, EQUAL) => once(&mut self.mark, Mark::Is),
                (CRIU_MARK, NOT_EQUAL) => once(&mut self.mark, Mark::IsNot),
                _ => None,
            };
        }
        if op != EQUAL {
            return None;
        }
        match (field, value) {
            (Field::NetworkProtocol, [protocol]) => once(&mut self.network_protocol, *protocol),
            (Field::TransportProtocol, [protocol]) => once(&mut self.transport_protocol, *protocol),
            (Field::Source, _) => once(&mut self.source, address(value)?),
            (Field::Destination, _) => once(&mut self.destination, address(value)?),
            (Field::SourcePort, [a, b]) => once(&mut self.source_port, u16::from_be_bytes([*a, *b])),
            (Field::DestinationPort, [a, b]) => once(&mut self.destination_port, u16::from_be_bytes([*a, *b])),
            (Field::BothPorts, [a, b, c, d]) => {
                once(&mut self.source_port, u16::from_be_bytes([*a, *b]))?;
                once(&mut self.destination_port, u16::from_be_bytes([*c, *d]))
            }
            _ => None,
        }
    }

    /// The matches of xtables that iptables-nft before 1.8.8 keeps as blobs: `struct xt_mark_mtinfo1` and
    /// `struct xt_tcp`, both in host byte order and followed by padding.
    fn xt_match(&mut self, name: &str, info: &[u8]) -> Option<()> {
        match name {
            "mark" => {
                let (mark, mask) = (word(info, 0)?, word(info, 4)?);
                let invert = *info.get(8)?;
                let is_criu = mark == CRIU_MARK && mask == u32::MAX && invert == 1 && is_zero(info.get(9..)?);
                if is_criu { once(&mut self.mark, Mark::IsNot) } else { None }
            }
            "tcp" => {
                let [source, source_end, destination, destination_end] =
                    [port(info, 0)?, port(info, 2)?, port(info, 4)?, port(info, 6)?];
                // Option, flag mask, flags to compare and inversions: CRIU asks for none.
                if source != source_end || destination != destination_end || !is_zero(info.get(8..)?) {
                    return None;
                }
                once(&mut self.source_port, source)?;
                once(&mut self.destination_port, destination)
            }
            _ => None,
        }
    }

    pub(super) fn shape(self) -> Option<RuleShape> {
        if self.set.is_some() {
            return self.set_shape();
        }
        if self.source.is_some() {
            return self.flow_shape();
        }
        let asks_for_more = self.network_protocol.is_some()
            || self.transport_protocol.is_some()
            || self.destination.is_some()
            || self.source_port.is_some()
            || self.destination_port.is_some();
        match (self.mark, self.verdict?) {
            _ if asks_for_more => None,
            (Some(Mark::Is), Verdict::Accept) => Some(RuleShape::AcceptMarked),
            (None, Verdict::Drop) => Some(RuleShape::DropAll),
            (None, Verdict::Jump(chain)) if chain == LOCK_CHAIN => Some(RuleShape::JumpToLock),
            _ => None,
        }
    }

    fn flow_shape(self) -> Option<RuleShape> {
        let marked = match self.mark {
            None => false,
            Some(Mark::IsNot) => true,
            Some(Mark::Is) => return None,
        };
        let (source, destination) = (self.source?, self.destination?);
        let is_tcp_drop = self.transport_protocol == Some(TCP) && self.verdict == Some(Verdict::Drop);
        if !is_tcp_drop || self.network_protocol.is_some() || source.is_ipv4() != destination.is_ipv4() {
            return None;
        }
        let flow = Flow {
            source: SocketAddr::new(source, self.source_port?),
            destination: SocketAddr::new(destination, self.destination_port?),
        };
        Some(RuleShape::DropFlow { flow, marked })
    }

    fn set_shape(self) -> Option<RuleShape> {
        let (set, fields) = self.set?;
        let family = match self.network_protocol? {
            IPV4 => IpVersion::V4,
            IPV6 => IpVersion::V6,
            _ => return None,
        };
        let wanted = [Field::Source, Field::SourcePort, Field::Destination, Field::DestinationPort];
        let asks_for_more = self.mark.is_some()
            || self.source.is_some()
            || self.destination.is_some()
            || self.source_port.is_some()
            || self.destination_port.is_some();
        let is_tcp_drop = self.transport_protocol == Some(TCP) && self.verdict == Some(Verdict::Drop);
        (fields == wanted && is_tcp_drop && !asks_for_more).then_some(RuleShape::DropSet { set, family })
    }
}

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

fn meta(key: u32) -> Option<Field> {
    match key {
        META_MARK => Some(Field::Mark),
        META_NFPROTO => Some(Field::NetworkProtocol),
        META_L4PROTO => Some(Field::TransportProtocol),
        _ => None,
    }
}

/// Offsets in the headers of IPv4 (RFC 791), IPv6 (RFC 8200) and TCP (RFC 9293).
fn payload(family: IpVersion, base: u32, offset: u32, length: u32) -> Option<Field> {
    match (base, family, offset, length) {
        (NETWORK_HEADER, IpVersion::V4, 9, 1) => Some(Field::TransportProtocol),
        (NETWORK_HEADER, IpVersion::V4, 12, 4) | (NETWORK_HEADER, IpVersion::V6, 8, 16) => Some(Field::Source),
        (NETWORK_HEADER, IpVersion::V4, 16, 4) | (NETWORK_HEADER, IpVersion::V6, 24, 16) => Some(Field::Destination),
        (TRANSPORT_HEADER, _, 0, 2) => Some(Field::SourcePort),
        (TRANSPORT_HEADER, _, 2, 2) => Some(Field::DestinationPort),
        (TRANSPORT_HEADER, _, 0, 4) => Some(Field::BothPorts),
        _ => None,
    }
}

fn word(info: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?))
}

fn port(info: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
