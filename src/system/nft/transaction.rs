// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Removes rules, chains and tables in one step, or not at all.
//!
//! The kernel finds a rule by walking its chain, so `n` deletions in one chain cost n²: 10,000 take about 0.35 s in one
//! transaction, and a sixth of that in portions of [`BATCH_RULES`] from the head of the chain. The caller chooses: what
//! belongs together goes into one transaction.

use rustix::io::Errno;

use super::{Error, Family, Generation, Nft, SUBSYSTEM, message};
use crate::system::netlink::{self, Messages, NLM_F_ACK, Request, outcome};

/// How many rules one transaction best removes, where they may go in portions.
pub const BATCH_RULES: usize = 500;

const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_BATCH_GENID: u16 = 1;
const NFT_MSG_DELTABLE: u16 = SUBSYSTEM | 2;
const NFT_MSG_DELCHAIN: u16 = SUBSYSTEM | 5;
const NFT_MSG_DELRULE: u16 = SUBSYSTEM | 8;
/// Refuses to remove what still has something in it (`NLM_F_NONREC`).
const NOT_RECURSIVE: u16 = 0x100;

const COMMIT: &str = "change nf_tables";

/// Changes that are made together, in the order in which they are given.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
struct Change {
    family: Family,
    table: String,
    object: NftObject,
}

#[derive(Debug, Clone)]
enum NftObject {
    Rule { chain: String, handle: u64 },
    RulesOf { chain: String },
    Chain { name: String, handle: u64 },
    Table { handle: u64 },
}

/// Why a transaction was not made. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody changed something since the generation was read: look again.
    #[error("another program changed the rules in the meantime; this step was not done")]
    Changed,
    /// The kernel refused one of the changes, and with it all.
    #[error("cannot {change}; this step was not done")]
    Rejected {
        /// Which one: its place in the transaction, from 0.
        index: usize,
        /// The change in words.
        change: String,
        /// What the kernel answered.
        source: Errno,
    },
    /// It did not get that far.
    #[error(transparent)]
    Other(#[from] Error),
    /// The kernel said neither yes nor no: look again to see what is there.
    #[error("the kernel did not say whether it changed the rules")]
    Unknown,
}

impl Transaction {
    /// One without changes.
    pub fn new() -> Self {
        Transaction::default()
    }

    /// Removes one rule.
    pub fn delete_rule(&mut self, family: Family, table: &str, chain: &str, handle: u64) {
        self.add(family, table, NftObject::Rule { chain: chain.to_owned(), handle });
    }

    /// Removes every rule of a chain: those that were seen, since another one would make another generation.
    pub fn flush_chain(&mut self, family: Family, table: &str, chain: &str) {
        self.add(family, table, NftObject::RulesOf { chain: chain.to_owned() });
    }

    /// Removes a chain, which must have no rules left and must not be jumped to any more.
    pub fn delete_chain(&mut self, family: Family, table: &str, chain: &str, handle: u64) {
        self.add(family, table, NftObject::Chain { name: chain.to_owned(), handle });
    }

    /// Removes a table with everything in it.
    pub fn delete_table(&mut self, family: Family, table: &str, handle: u64) {
        self.add(family, table, NftObject::Table { handle });
    }

    fn add(&mut self, family: Family, table: &str, object: NftObject) {
        self.changes.push(Change { family, table: table.to_owned(), object });
    }
}

impl Nft {
    /// Makes all the changes at once, if nothing in this network namespace's nf_tables has changed since `generation`.
    /// Gives the generation that this makes, with which the next transaction can follow without another look.
    pub fn commit(&self, transaction: Transaction, generation: Generation) -> Result<Generation, CommitError> {
        let Some(last) = transaction.changes.len().checked_sub(1) else { return Ok(generation) };
        // To the kernel family 0 means every family: a deletion would reach tables that nobody named.
        if transaction.changes.iter().any(|change| change.family.number() == 0) {
            return Err(Error::NoFamily.into());
        }
        let count = u32::try_from(transaction.changes.len()).map_err(|_| too_long())?;
        let begin = self.socket.take_sequence(count.checked_add(2).ok_or_else(too_long)?);
        self.socket.send(COMMIT, &encode(&transaction, generation, begin)).map_err(Error::from)?;
        let answers = self.answers(begin, last)?;
        answers.judge(&transaction, generation)
    }

    /// What the kernel has said about the transaction. All of it waits already: the kernel works a batch off before
    /// `send` returns.
    fn answers(&self, begin: u32, last: usize) -> Result<Answers, CommitError> {
        let mut answers = Answers::default();
        loop {
            let datagram = match self.socket.receive_now() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Ok(answers),
                // More refusals than the receive buffer holds; the first ones are in it.
                Err(Errno::NOBUFS) => continue,
                Err(source) => return Err(Error::from(netlink::Error::Receive { operation: COMMIT, source }).into()),
            };
            for message in Messages::new(&datagram).flatten() {
                let Some(result) = outcome(&message) else { continue };
                match (usize::try_from(message.sequence.wrapping_sub(begin)), result) {
                    (Ok(0), Err(errno)) => answers.whole = answers.whole.or(Some(errno)),
                    (Ok(at @ 1..), Err(errno)) if at - 1 <= last => answers.add(at - 1, errno),
                    (Ok(at @ 1..), Ok(())) if at - 1 == last => answers.is_acknowledged = true,
                    _ => {}
                }
            }
        }
    }
}

/// What the kernel says about a transaction.
#[derive(Debug, Default, Clone, Copy)]
struct Answers {
    /// Why the whole is refused.
    whole: Option<Errno>,
    /// The first change that is refused.
    first: Option<(usize, Errno)>,
    /// Whether the last change was made, if all were.
    is_acknowledged: bool,
}

impl Answers {
    fn add(&mut self, index: usize, errno: Errno) {
        if self.first.is_none_or(|(first, _)| index < first) {
            self.first = Some((index, errno));
        }
    }

    fn judge(self, transaction: &Transaction, generation: Generation) -> Result<Generation, CommitError> {
        match self {
            // The generation is compared before anything else is looked at.
            Answers { whole: Some(Errno::RESTART), .. } => Err(CommitError::Changed),
            Answers { whole: Some(source), .. } => {
                Err(Error::from(netlink::Error::Refused { operation: COMMIT, source }).into())
            }
            Answers { first: Some((index, source)), .. } => {
                Err(CommitError::Rejected { index, change: transaction.changes[index].describe(), source })
            }
            Answers { is_acknowledged: true, .. } => Ok(generation.next()),
            Answers { .. } => Err(CommitError::Unknown),
        }
    }
}

fn too_long() -> CommitError {
    Error::from(netlink::Error::Send { operation: COMMIT, source: Errno::MSGSIZE }).into()
}

/// The batch, which has to reach the kernel as one datagram.
fn encode(transaction: &Transaction, generation: Generation, begin: u32) -> Vec<u8> {
    // In the two that enclose a batch the resource id says whose it is.
    let [high, low] = (SUBSYSTEM >> 8).to_be_bytes();
    let fixed = [0, 0, high, low];
    let mut bytes = Vec::new();
    let mut sequence = begin;
    let mut append = |request: Request| {
        request.append_to(&mut bytes, sequence);
        sequence = sequence.wrapping_add(1);
    };
    append(Request::new(NFNL_MSG_BATCH_BEGIN, &fixed).be32(NFNL_BATCH_GENID, generation.0));
    for (at, change) in transaction.changes.iter().enumerate() {
        let request = change.request();
        // One yes is enough to know that all went well; without it silence could mean anything.
        append(if at + 1 == transaction.changes.len() { request.flags(NLM_F_ACK) } else { request });
    }
    append(Request::new(NFNL_MSG_BATCH_END, &fixed));
    bytes
}

impl Change {
    /// Tables and chains go by name *and* handle. The kernel takes the handle where it has both; one that does not know
    /// handles of tables (before 4.17) would take a deletion without a name as one of every table.
    fn request(&self) -> Request {
        const TABLE: u16 = 1;
        let request = |kind| message(kind, self.family.number()).text(TABLE, &self.table);
        match &self.object {
            NftObject::Rule { chain, handle } => request(NFT_MSG_DELRULE).text(2, chain).be64(3, *handle),
            NftObject::RulesOf { chain } => request(NFT_MSG_DELRULE).text(2, chain),
            NftObject::Chain { name, handle } => {
                request(NFT_MSG_DELCHAIN).flags(NOT_RECURSIVE).be64(2, *handle).text(3, name)
            }
            NftObject::Table { handle } => request(NFT_MSG_DELTABLE).be64(4, *handle),
        }
    }

    fn describe(&self) -> String {
        let Change { family, table, object } = self;
        match object {
            NftObject::Rule { chain, handle } => {
                format!("remove the rule with handle {handle} from chain {chain} of table {family} {table}")
            }
            NftObject::RulesOf { chain } => format!("empty chain {chain} of table {family} {table}"),
            NftObject::Chain { name, .. } => format!("remove chain {name} of table {family} {table}"),
            NftObject::Table { .. } => format!("remove table {family} {table}"),
        }
    }
}

#[cfg(test)]
mod tests;
