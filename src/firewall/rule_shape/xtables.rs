// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules as `iptables-save` prints them.

use std::net::{IpAddr, SocketAddr};

use super::{CRIU_MARK, LOCK_CHAIN, RuleShape, once};
use crate::connection::Flow;
use crate::system::xtables::IpVersion;

#[derive(Default)]
struct Words<'a> {
    is_tcp: Option<()>,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    excepts_mark: Option<()>,
    accepts_mark: Option<()>,
    target: Option<&'a str>,
}

pub(super) fn shape(family: IpVersion, words: &[&str]) -> Option<RuleShape> {
    let words = parse(family, words)?;
    let target = words.target?;
    if words.source.is_some() {
        return flow(&words, target);
    }
    let asks_for_more = words.is_tcp.is_some()
        || words.destination.is_some()
        || words.source_port.is_some()
        || words.destination_port.is_some()
        || words.excepts_mark.is_some();
    match (words.accepts_mark, target) {
        _ if asks_for_more => None,
        (Some(()), "ACCEPT") => Some(RuleShape::AcceptMarked),
        (None, "DROP") => Some(RuleShape::DropAll),
        (None, LOCK_CHAIN) => Some(RuleShape::JumpToLock),
        _ => None,
    }
}

fn flow(words: &Words<'_>, target: &str) -> Option<RuleShape> {
    words.is_tcp?;
    if target != "DROP" || words.accepts_mark.is_some() {
        return None;
    }
    let flow = Flow {
        source: SocketAddr::new(words.source?, words.source_port?),
        destination: SocketAddr::new(words.destination?, words.destination_port?),
    };
    Some(RuleShape::DropFlow { flow, marked: words.excepts_mark.is_some() })
}

fn parse<'a>(family: IpVersion, mut rest: &[&'a str]) -> Option<Words<'a>> {
    let mut words = Words::default();
    while !rest.is_empty() {
        rest = match rest {
            ["-p", "tcp", rest @ ..] => once(&mut words.is_tcp, ()).map(|()| rest)?,
            // The module of a port match; iptables names it once, and the ports follow.
            ["-m", "tcp", rest @ ..] => rest,
            ["-s", value, rest @ ..] => once(&mut words.source, host(family, value)?).map(|()| rest)?,
            ["-d", value, rest @ ..] => once(&mut words.destination, host(family, value)?).map(|()| rest)?,
            ["--sport", value, rest @ ..] => once(&mut words.source_port, value.parse().ok()?).map(|()| rest)?,
            ["--dport", value, rest @ ..] => once(&mut words.destination_port, value.parse().ok()?).map(|()| rest)?,
            ["-m", "mark", "!", "--mark", value, rest @ ..] if is_criu_mark(value) => {
                once(&mut words.excepts_mark, ()).map(|()| rest)?
            }
            ["-m", "mark", "--mark", value, rest @ ..] if is_criu_mark(value) => {
                once(&mut words.accepts_mark, ()).map(|()| rest)?
            }
            ["-j", target] => once(&mut words.target, *target).map(|()| &[][..])?,
            _ => return None,
        };
    }
    Some(words)
}

/// An address that is one host's: with the longest prefix, or with none written.
fn host(family: IpVersion, text: &str) -> Option<IpAddr> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    match (family, address.parse().ok()?, prefix) {
        (IpVersion::V4, address @ IpAddr::V4(_), None | Some("32")) => Some(address),
        (IpVersion::V6, address @ IpAddr::V6(_), None | Some("128")) => Some(address),
        _ => None,
    }
}

fn is_criu_mark(value: &str) -> bool {
    value.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()) == Some(CRIU_MARK)
}
