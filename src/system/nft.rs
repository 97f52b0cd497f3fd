// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules of nf_tables: reads what a network namespace contains, and removes parts of it.
//!
//! A table is read completely or not at all, in one generation: nf_tables counts its changes, and a table that changed
//! meanwhile is read again. Whatever cannot be decoded to the last attribute becomes [`Expression::Other`] or
//! [`SetForm::Other`], never something simpler.
//!
//! Nothing is ever added. Removals use the kernel's handles, which are never reused in a table, in a transaction that
//! carries the [`Generation`] of the read: if anybody changed anything in between, the kernel refuses all of it.

use rustix::io::Errno;

use super::modules;
use super::netlink::{self, Fields, Malformed, Message, Replies, Request, Socket};
use super::privilege::{Capability, advice};

mod decode;
mod expression;
#[cfg(feature = "internals")]
pub mod fuzzing;
mod read;
mod transaction;

pub use expression::{Expression, Verdict};
pub use transaction::{BATCH_RULES, CommitError, Transaction};

/// `NFNL_SUBSYS_NFTABLES`, the upper byte of every message type of nf_tables.
const SUBSYSTEM: u16 = 10 << 8;
/// `struct nfgenmsg`.
const FIXED_PART: usize = 4;

const NFT_MSG_NEWGEN: u16 = SUBSYSTEM | 15;
const NFT_MSG_GETGEN: u16 = SUBSYSTEM | 16;
const NFTA_GEN_ID: u16 = 1;

/// The nf_tables of one network namespace: that of the thread that opened it, wherever the value goes.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
}

/// Why nf_tables could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel was built without nf_tables, or its module is not there: nothing can be in it.
    #[error("this kernel has no nf_tables")]
    Unavailable(#[source] netlink::Error),
    /// Its module is not loaded, so that it holds nothing; to ask it would load the module.
    #[error("nf_tables is not loaded")]
    NotLoaded,
    /// Not root in the user namespace that owns the network namespace.
    #[error("not permitted to use nf_tables in this network namespace{}", advice(Capability::NetAdmin))]
    NotPermitted(#[source] netlink::Error),
    /// Netlink failed otherwise.
    #[error(transparent)]
    Netlink(netlink::Error),
    /// The kernel's answer lacks what it must have.
    #[error("cannot parse the kernel's answer about {what}; nf_tables before Linux 4.17 is not supported")]
    Malformed {
        /// What was read.
        what: &'static str,
    },
    /// Somebody changes rules all the time.
    #[error("cannot read table {table}: rules changed {attempts} times while criu-gc read it; try again later")]
    Restless {
        /// The table, with its family.
        table: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// Somebody has filled the table beyond any use.
    #[error("table {table} is larger than {limit} bytes, so criu-gc did not read it")]
    TooLarge {
        /// The table, with its family.
        table: String,
        /// How many are too many.
        limit: usize,
    },
    /// A family that names no table.
    #[error("cannot change tables of all families at once")]
    NoFamily,
}

impl From<netlink::Error> for Error {
    fn from(error: netlink::Error) -> Self {
        match error.refusal() {
            Some(Errno::PERM) => Error::NotPermitted(error),
            _ => Error::Netlink(error),
        }
    }
}

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `inet`: IPv4 and IPv6.
    Inet,
    /// `ip`.
    Ipv4,
    /// `ip6`.
    Ipv6,
    /// `arp`.
    Arp,
    /// `bridge`.
    Bridge,
    /// `netdev`.
    Netdev,
    /// A family that this program does not know.
    Other(u8),
}

/// The state of nf_tables in a network namespace: every transaction, anybody's, makes a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(u32);

/// A table, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The table's family.
    pub family: Family,
    /// The table's name; what is not UTF-8 in it is replaced.
    pub name: String,
    /// The kernel's number of the table, never used again in this network namespace.
    pub handle: u64,
    /// `NFT_TABLE_F_*`: 1 dormant, 2 owned by a running program, 4 stays when that program ends.
    pub flags: u32,
    /// How many chains, sets and other objects it has.
    pub use_count: u32,
}

/// A table and everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The table's family.
    pub family: Family,
    /// The table's name.
    pub name: String,
    /// The kernel's number of the table, never used again in this network namespace.
    pub handle: u64,
    /// As in [`TableName`].
    pub flags: u32,
    /// The chains, each with its rules.
    pub chains: Vec<Chain>,
    /// The sets and maps, each with its elements.
    pub sets: Vec<Set>,
    /// What else is in it, for people: flow tables, counters, quotas and so on.
    pub other_objects: Vec<String>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The chain's name.
    pub name: String,
    /// The kernel's number of the chain.
    pub handle: u64,
    /// `NFT_CHAIN_*`: 1 has a hook, 2 is offloaded to hardware, 4 belongs to a rule.
    pub flags: u32,
    /// How many rules it has, plus how many rules and elements send packets to it.
    pub use_count: u32,
    /// Where packets enter it; `None` for a chain that is only jumped to.
    pub hook: Option<Hook>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain, and what becomes of those that reach its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// `NF_INET_*`: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub number: u32,
    /// Chains of one hook see packets in ascending order of it.
    pub priority: i32,
    /// 0 drop, 1 accept.
    pub policy: u32,
    /// `filter`, `nat` or `route`.
    pub chain_type: String,
    /// The interfaces, where the chain is for certain ones only.
    pub devices: Vec<String>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's number of the rule, never used again in its table.
    pub handle: u64,
    /// What the rule asks and does, in order.
    pub expressions: Vec<Expression>,
}

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The set's name.
    pub name: String,
    /// The kernel's number of the set.
    pub handle: u64,
    /// `NFT_SET_*`: 1 anonymous, 2 constant, 4 intervals, 8 map, 16 timeouts, …
    pub flags: u32,
    /// Bytes in a key.
    pub key_length: u32,
    /// Whether it is more than a list of keys.
    pub form: SetForm,
    /// The keys, in the kernel's order, which is no order.
    pub elements: Vec<Vec<u8>>,
}

/// Whether a set is more than a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetForm {
    /// Keys that packets are compared with, and nothing else.
    Plain,
    /// Something more, named here for people.
    Other(&'static str),
}

impl Nft {
    /// Opens nf_tables of the network namespace that the calling thread is in.
    pub fn open() -> Result<Self, Error> {
        if !modules::has_nf_tables() {
            return Err(Error::NotLoaded);
        }
        let socket = Socket::open(netlink::Protocol::Netfilter).map_err(|error| {
            let is_missing = matches!(error, netlink::Error::Open { source: Errno::PROTONOSUPPORT, .. });
            if is_missing { Error::Unavailable(error) } else { Error::Netlink(error) }
        })?;
        let nft = Nft { socket };
        match nft.generation() {
            Ok(_) => Ok(nft),
            // What nfnetlink answers for a subsystem that is not there.
            Err(Error::Netlink(error)) if matches!(error.refusal(), Some(Errno::INVAL | Errno::OPNOTSUPP)) => {
                Err(Error::Unavailable(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The present state. Read it first, then look, then commit with it: so no change goes unnoticed.
    pub fn generation(&self) -> Result<Generation, Error> {
        const WHAT: &str = "the generation of the rules";
        let replies = self.socket.request("get the generation of nf_tables", message(NFT_MSG_GETGEN, 0))?;
        let reply = one(&replies, NFT_MSG_NEWGEN).ok_or(Error::Malformed { what: WHAT })?;
        let fields: Fields<'_, 4> = fields(&reply, WHAT)?;
        match fields.be32(NFTA_GEN_ID) {
            // To the kernel 0 means "any": a transaction that carries it would not be guarded at all.
            None | Some(0) => Err(Error::Malformed { what: WHAT }),
            Some(number) => Ok(Generation(number)),
        }
    }
}

impl Generation {
    #[cfg(test)]
    pub(crate) fn numbered(number: u32) -> Self {
        Generation(number)
    }

    /// The one that a transaction makes.
    fn next(self) -> Self {
        Generation(self.0.checked_add(1).unwrap_or(1))
    }
}

impl Family {
    /// `NFPROTO_*`.
    pub fn number(self) -> u8 {
        match self {
            Family::Inet => 1,
            Family::Ipv4 => 2,
            Family::Arp => 3,
            Family::Netdev => 5,
            Family::Bridge => 7,
            Family::Ipv6 => 10,
            Family::Other(number) => number,
        }
    }

    fn of(number: u8) -> Self {
        let known = [Family::Inet, Family::Ipv4, Family::Ipv6, Family::Arp, Family::Bridge, Family::Netdev];
        known.into_iter().find(|family| family.number() == number).unwrap_or(Family::Other(number))
    }
}

impl std::fmt::Display for Family {
    /// As `nft` writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Family::Inet => f.write_str("inet"),
            Family::Ipv4 => f.write_str("ip"),
            Family::Ipv6 => f.write_str("ip6"),
            Family::Arp => f.write_str("arp"),
            Family::Bridge => f.write_str("bridge"),
            Family::Netdev => f.write_str("netdev"),
            Family::Other(number) => write!(f, "family {number}"),
        }
    }
}

/// A question or an order of nf_tables: `struct nfgenmsg` has the family, version 0 and no resource id.
fn message(kind: u16, family: u8) -> Request {
    Request::new(kind, &[family, 0, 0, 0])
}

/// The first message of one type.
fn one(replies: &Replies, kind: u16) -> Option<Message<'_>> {
    replies.messages().find(|message| message.kind == kind)
}

fn fields<'a, const N: usize>(message: &Message<'a>, what: &'static str) -> Result<Fields<'a, N>, Error> {
    Fields::of(message.attributes(FIXED_PART)).map_err(|Malformed| Error::Malformed { what })
}
