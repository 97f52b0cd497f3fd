// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading tables. Looking at nf_tables creates nothing and changes nothing.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::decode::{self, InTable};
use super::{Chain, Error, Family, Generation, Nft, Rule, SUBSYSTEM, Set, SetForm, Table, TableName, message, one};
use crate::system::netlink::{self, Message, Request};

const NFT_MSG_NEWTABLE: u16 = SUBSYSTEM;
const NFT_MSG_GETTABLE: u16 = SUBSYSTEM | 1;
const NFT_MSG_NEWCHAIN: u16 = SUBSYSTEM | 3;
const NFT_MSG_GETCHAIN: u16 = SUBSYSTEM | 4;
const NFT_MSG_NEWRULE: u16 = SUBSYSTEM | 6;
const NFT_MSG_GETRULE: u16 = SUBSYSTEM | 7;
const NFT_MSG_NEWSET: u16 = SUBSYSTEM | 9;
const NFT_MSG_GETSET: u16 = SUBSYSTEM | 10;
const NFT_MSG_NEWSETELEM: u16 = SUBSYSTEM | 12;
const NFT_MSG_GETSETELEM: u16 = SUBSYSTEM | 13;
const NFT_MSG_NEWOBJ: u16 = SUBSYSTEM | 18;
const NFT_MSG_GETOBJ: u16 = SUBSYSTEM | 19;
const NFT_MSG_NEWFLOWTABLE: u16 = SUBSYSTEM | 22;
const NFT_MSG_GETFLOWTABLE: u16 = SUBSYSTEM | 23;
/// The name of the table is the first attribute of every type of message.
const TABLE_NAME: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;

/// More than this no table has that is worth keeping whole: a dump of 200,000 connections makes one of half of it.
const LIMIT: usize = 32 * 1024 * 1024;
/// How often a table is read again that changes while it is read.
const ATTEMPTS: u32 = 8;
/// How long to wait before that for the first time; twice as long each time after, a second and a quarter in all.
const PAUSE: Duration = Duration::from_millis(5);

impl Nft {
    /// Whether the table has a chain of this name.
    pub fn has_chain(&self, family: Family, table: &str, chain: &str) -> Result<bool, Error> {
        let request = message(NFT_MSG_GETCHAIN, family.number()).text(TABLE_NAME, table).text(NFTA_CHAIN_NAME, chain);
        match self.socket.request("look up a chain of nf_tables", request) {
            Err(error) if error.refusal() == Some(Errno::NOENT) => Ok(false),
            replies => Ok(one(&replies?, NFT_MSG_NEWCHAIN).is_some()),
        }
    }

    /// The names of all tables of a family.
    pub fn table_names(&self, family: Family) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        self.socket.each("list the tables of nf_tables", message(NFT_MSG_GETTABLE, family.number()), |message| {
            if message.kind == NFT_MSG_NEWTABLE {
                let table = decode::table(message)?;
                names.extend((table.family == family).then_some(table.name));
            }
            Ok::<(), Error>(())
        })?;
        Ok(names)
    }

    /// A table with everything in it, as of one moment; `None` where there is no such table.
    pub fn table(&self, family: Family, name: &str) -> Result<Option<Table>, Error> {
        let mut pause = PAUSE;
        for _ in 0..ATTEMPTS {
            let before = self.generation()?;
            // A set that goes away while its elements are asked for makes the read fail: then, too, it is a change.
            let table = self.read(family, name);
            if self.generation()? == before && !is_interrupted(&table) {
                return table;
            }
            thread::sleep(pause);
            pause *= 2;
        }
        Err(Error::Restless { table: format!("{family} {name}"), attempts: ATTEMPTS })
    }

    /// What `add_chain` and `add_rule` make of some chains of a table, with the generation in which they were read; `None`
    /// where there is no such table.
    /// The rules are not kept, nor is anything else of the table: a user may have any number of them.
    pub fn chains<T: Default>(
        &self,
        family: Family,
        name: &str,
        wanted: &[&str],
        add_chain: impl Fn(&mut T, &Chain),
        add_rule: impl Fn(&mut T, &Chain, &Rule),
    ) -> Result<Option<(TableName, Generation, T)>, Error> {
        let mut pause = PAUSE;
        for _ in 0..ATTEMPTS {
            let before = self.generation()?;
            let read = self.read_chains(family, name, wanted, (&add_chain, &add_rule));
            if self.generation()? == before && !is_interrupted(&read) {
                return Ok(read?.map(|(table, made)| (table, before, made)));
            }
            thread::sleep(pause);
            pause *= 2;
        }
        Err(Error::Restless { table: format!("{family} {name}"), attempts: ATTEMPTS })
    }

    fn read_chains<T: Default>(
        &self,
        family: Family,
        name: &str,
        wanted: &[&str],
        (add_chain, add_rule): (impl Fn(&mut T, &Chain), impl Fn(&mut T, &Chain, &Rule)),
    ) -> Result<Option<(TableName, T)>, Error> {
        let Some(found) = self.find(family, name)? else { return Ok(None) };
        let place = OpenTable { nft: self, family, table: name, limit: None, size: Cell::new(0) };
        let mut chains: Vec<Chain> = Vec::new();
        let is_wanted = |chain: &Chain| wanted.contains(&chain.name.as_str());
        place.each(
            "list the chains of a table",
            place.ask(NFT_MSG_GETCHAIN),
            NFT_MSG_NEWCHAIN,
            decode::chain,
            |chain| {
                chains.extend(Some(chain).filter(is_wanted));
            },
        )?;
        let mut made = T::default();
        for chain in &chains {
            add_chain(&mut made, chain);
            let request = place.ask(NFT_MSG_GETRULE).text(NFTA_RULE_CHAIN, &chain.name);
            place.each("list the rules of a chain", request, NFT_MSG_NEWRULE, decode::rule, |(name, rule)| {
                if name == chain.name {
                    add_rule(&mut made, chain, &rule);
                }
            })?;
        }
        Ok(Some((found, made)))
    }

    fn read(&self, family: Family, name: &str) -> Result<Option<Table>, Error> {
        let Some(found) = self.find(family, name)? else { return Ok(None) };
        let place = OpenTable { nft: self, family, table: name, limit: Some(LIMIT), size: Cell::new(0) };
        let mut chains = place.list("list the chains of a table", NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN, decode::chain)?;
        for chain in &mut chains {
            place.add_rules(chain)?;
        }
        let mut sets = place.list("list the sets of a table", NFT_MSG_GETSET, NFT_MSG_NEWSET, decode::set)?;
        for set in &mut sets {
            place.add_elements(set)?;
        }
        let mut other_objects =
            or_none(place.list("list the objects of a table", NFT_MSG_GETOBJ, NFT_MSG_NEWOBJ, decode::object))?;
        other_objects.extend(or_none(place.list(
            "list the flow tables of a table",
            NFT_MSG_GETFLOWTABLE,
            NFT_MSG_NEWFLOWTABLE,
            decode::flowtable,
        ))?);
        let TableName { name, handle, flags, .. } = found;
        Ok(Some(Table { family, name, handle, flags, chains, sets, other_objects }))
    }

    fn find(&self, family: Family, name: &str) -> Result<Option<TableName>, Error> {
        let request = message(NFT_MSG_GETTABLE, family.number()).text(TABLE_NAME, name);
        let replies = match self.socket.request("look up a table of nf_tables", request) {
            Err(error) if error.refusal() == Some(Errno::NOENT) => return Ok(None),
            // A name longer than the kernel's names are (NFT_NAME_MAXLEN).
            Err(error) if matches!(error.refusal(), Some(Errno::RANGE | Errno::INVAL)) => return Ok(None),
            replies => replies?,
        };
        let reply = one(&replies, NFT_MSG_NEWTABLE).ok_or(Error::Malformed { what: "a table" })?;
        let found = decode::table(&reply)?;
        // A name with a NUL in it reaches the kernel as a shorter one.
        Ok((found.family == family && found.name == name).then_some(found))
    }
}

/// A table that is being read.
struct OpenTable<'a> {
    nft: &'a Nft,
    family: Family,
    table: &'a str,
    /// What may be kept of it, in bytes of the kernel's messages.
    limit: Option<usize>,
    size: Cell<usize>,
}

impl OpenTable<'_> {
    fn ask(&self, kind: u16) -> Request {
        message(kind, self.family.number()).text(TABLE_NAME, self.table)
    }

    /// Everything of one type that is in the table.
    fn list<T>(
        &self,
        operation: &'static str,
        ask: u16,
        answer: u16,
        decode: impl Fn(&Message<'_>) -> Result<InTable<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut list = Vec::new();
        self.each(operation, self.ask(ask), answer, decode, |item| list.push(item))?;
        Ok(list)
    }

    /// Hands over everything of one type that is in the table. Not every kernel leaves out other tables' things when asked
    /// to, so that is done here.
    fn each<T>(
        &self,
        operation: &'static str,
        request: Request,
        answer: u16,
        decode: impl Fn(&Message<'_>) -> Result<InTable<T>, Error>,
        mut each: impl FnMut(T),
    ) -> Result<(), Error> {
        self.nft.socket.each(operation, request, |message| {
            if message.kind != answer {
                return Ok(());
            }
            let Some(item) = decode(message)?.within(self.family, self.table) else { return Ok(()) };
            self.count(message)?;
            each(item);
            Ok(())
        })
    }

    /// The kernel walks from the start of what it lists for every 32 KiB of answer: chain by chain that is the least.
    fn add_rules(&self, chain: &mut Chain) -> Result<(), Error> {
        let request = self.ask(NFT_MSG_GETRULE).text(NFTA_RULE_CHAIN, &chain.name);
        self.each("list the rules of a chain", request, NFT_MSG_NEWRULE, decode::rule, |(name, rule)| {
            if name == chain.name {
                chain.rules.push(rule);
            }
        })
    }

    fn add_elements(&self, set: &mut Set) -> Result<(), Error> {
        let request = self.ask(NFT_MSG_GETSETELEM).text(NFTA_SET_ELEM_LIST_SET, &set.name);
        self.nft.socket.each("list the elements of a set", request, |message| {
            if message.kind == NFT_MSG_NEWSETELEM {
                self.count(message)?;
                let (keys, form) = decode::elements(message)?;
                set.elements.extend(keys);
                if set.form == SetForm::Plain {
                    set.form = form;
                }
            }
            Ok(())
        })
    }

    /// Counts what was read of the table.
    fn count(&self, message: &Message<'_>) -> Result<(), Error> {
        self.size.set(self.size.get() + message.bytes.len());
        match self.limit {
            Some(limit) if self.size.get() > limit => {
                Err(Error::TooLarge { table: format!("{} {}", self.family, self.table), limit })
            }
            _ => Ok(()),
        }
    }
}

fn is_interrupted<T>(read: &Result<T, Error>) -> bool {
    matches!(read, Err(Error::Netlink(netlink::Error::Interrupted { .. })))
}

/// Nothing, where the kernel has no such kind of thing (objects since Linux 4.10, flow tables since 4.16).
fn or_none<T>(list: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match list {
        Err(Error::Netlink(error)) if matches!(error.refusal(), Some(Errno::INVAL | Errno::OPNOTSUPP)) => {
            Ok(Vec::new())
        }
        list => list,
    }
}
