// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A table from the bytes of an answer, for the fuzz targets: what the kernel sends is read here without a kernel.

use super::decode;
use super::{Error, Family, Message, SetForm, Table};
use crate::system::netlink::Messages;

// linux/netfilter/nf_tables.h, below the number of the subsystem.
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
const NEW_OBJECT: u16 = 18;
const NEW_FLOWTABLE: u16 = 22;

/// The table that the messages describe, whatever table each of them says that it is of.
pub fn table(bytes: &[u8]) -> Result<Table, Error> {
    let mut table = Table {
        family: Family::Inet,
        name: String::new(),
        handle: 0,
        flags: 0,
        chains: Vec::new(),
        sets: Vec::new(),
        other_objects: Vec::new(),
    };
    for message in Messages::new(bytes) {
        let Ok(message) = message else { break };
        add(&mut table, &message)?;
    }
    Ok(table)
}

fn add(table: &mut Table, message: &Message<'_>) -> Result<(), Error> {
    match message.kind & 0xff {
        NEW_TABLE => table.name = decode::table(message)?.name,
        NEW_CHAIN => table.chains.push(decode::chain(message)?.item),
        NEW_RULE => {
            let (_, rule) = decode::rule(message)?.item;
            if let Some(chain) = table.chains.last_mut() {
                chain.rules.push(rule);
            }
        }
        NEW_SET => table.sets.push(decode::set(message)?.item),
        NEW_ELEMENTS => {
            let (keys, form) = decode::elements(message)?;
            if let Some(set) = table.sets.last_mut() {
                set.elements.extend(keys);
                if set.form == SetForm::Plain {
                    set.form = form;
                }
            }
        }
        NEW_OBJECT => table.other_objects.push(decode::object(message)?.item),
        NEW_FLOWTABLE => table.other_objects.push(decode::flowtable(message)?.item),
        _ => {}
    }
    Ok(())
}
