// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the kernel's messages to tables, chains, rules and sets. Pure.
//!
//! If a message lacks what every kernel sends, the whole table cannot be read: without one rule or element, a table
//! could look like somebody else's.

use super::expression;
use super::{Chain, Error, FIXED_PART, Family, Hook, Rule, Set, SetForm, TableName, fields};
use crate::system::netlink::{Attributes, Fields, Message};

/// A chain that is about to get its rules.
pub(super) struct InTable<T> {
    /// The family of its table.
    pub(super) family: Family,
    /// The name of its table.
    pub(super) table: String,
    /// The thing itself.
    pub(super) item: T,
}

impl<T> InTable<T> {
    /// The thing, if it is in this table.
    pub(super) fn within(self, family: Family, table: &str) -> Option<T> {
        (self.family == family && self.table == table).then_some(self.item)
    }
}

pub(super) fn table(message: &Message<'_>) -> Result<TableName, Error> {
    const WHAT: &str = "a table";
    const NAME: u16 = 1;
    const FLAGS: u16 = 2;
    const USE: u16 = 3;
    const HANDLE: u16 = 4;
    let fields: Fields<'_, 8> = fields(message, WHAT)?;
    let read = || {
        Some(TableName {
            family: family(message)?,
            name: fields.lossy_text(NAME)?,
            handle: fields.be64(HANDLE)?,
            flags: fields.be32(FLAGS)?,
            use_count: fields.be32(USE)?,
        })
    };
    read().ok_or(Error::Malformed { what: WHAT })
}

pub(super) fn chain(message: &Message<'_>) -> Result<InTable<Chain>, Error> {
    const WHAT: &str = "a chain";
    const TABLE: u16 = 1;
    const HANDLE: u16 = 2;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const POLICY: u16 = 5;
    const USE: u16 = 6;
    const TYPE: u16 = 7;
    const FLAGS: u16 = 10;
    let fields: Fields<'_, 14> = fields(message, WHAT)?;
    let read = || {
        let hook = match fields.nested(HOOK) {
            Some(nested) => Some(hook(nested, fields.be32(POLICY)?, fields.lossy_text(TYPE)?)?),
            None => None,
        };
        let chain = Chain {
            name: fields.lossy_text(NAME)?,
            handle: fields.be64(HANDLE)?,
            // Since Linux 5.8; what it says of older chains the hook says too.
            flags: if fields.has(FLAGS) { fields.be32(FLAGS)? } else { u32::from(hook.is_some()) },
            use_count: fields.be32(USE)?,
            hook,
            rules: Vec::new(),
        };
        Some(InTable { family: family(message)?, table: fields.lossy_text(TABLE)?, item: chain })
    };
    read().ok_or(Error::Malformed { what: WHAT })
}

fn hook(attributes: Attributes<'_>, policy: u32, chain_type: String) -> Option<Hook> {
    const NUMBER: u16 = 1;
    const PRIORITY: u16 = 2;
    const DEVICE: u16 = 3;
    const DEVICES: u16 = 4;
    let fields: Fields<'_, 8> = Fields::of(attributes).ok()?;
    let mut devices = Vec::new();
    if let Some(nested) = fields.nested(DEVICES) {
        for device in nested {
            let (_, name) = device.ok()?;
            devices.push(String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned());
        }
    } else if fields.has(DEVICE) {
        devices.push(fields.lossy_text(DEVICE)?);
    }
    let priority = fields.be32(PRIORITY)? as i32;
    Some(Hook { number: fields.be32(NUMBER)?, priority, policy, chain_type, devices })
}

/// A rule, and the name of its chain.
pub(super) fn rule(message: &Message<'_>) -> Result<InTable<(String, Rule)>, Error> {
    const WHAT: &str = "a rule";
    const TABLE: u16 = 1;
    const CHAIN: u16 = 2;
    const HANDLE: u16 = 3;
    const EXPRESSIONS: u16 = 4;
    const POSITION: u16 = 6;
    const USERDATA: u16 = 7;
    let fields: Fields<'_, 12> = fields(message, WHAT)?;
    let mut expressions = fields.nested(EXPRESSIONS).map(expression::decode_list).unwrap_or_default();
    // User data is a comment, or what a version of iptables notes for itself (1.8.12): packets do not see it.
    if !fields.are_among(&[TABLE, CHAIN, HANDLE, EXPRESSIONS, POSITION, USERDATA]) {
        expressions.push(expression::other("unknown attribute of the rule"));
    }
    let read = || {
        let rule = Rule { handle: fields.be64(HANDLE)?, expressions };
        let item = (fields.lossy_text(CHAIN)?, rule);
        Some(InTable { family: family(message)?, table: fields.lossy_text(TABLE)?, item })
    };
    read().ok_or(Error::Malformed { what: WHAT })
}

pub(super) fn set(message: &Message<'_>) -> Result<InTable<Set>, Error> {
    const WHAT: &str = "a set";
    const TABLE: u16 = 1;
    const NAME: u16 = 2;
    const FLAGS: u16 = 3;
    const KEY_LEN: u16 = 5;
    const HANDLE: u16 = 16;
    let fields: Fields<'_, 22> = fields(message, WHAT)?;
    let read = || {
        // Absent where there are none.
        let flags = if fields.has(FLAGS) { fields.be32(FLAGS)? } else { 0 };
        let set = Set {
            name: fields.lossy_text(NAME)?,
            handle: fields.be64(HANDLE)?,
            flags,
            key_length: fields.be32(KEY_LEN)?,
            form: set_form(&fields, flags),
            elements: Vec::new(),
        };
        Some(InTable { family: family(message)?, table: fields.lossy_text(TABLE)?, item: set })
    };
    read().ok_or(Error::Malformed { what: WHAT })
}

/// What a plain set may have beside the basics: a policy that trades memory for speed, a description (see below), user
/// data, padding, and since Linux 6.16 the kind of data structure and the number of elements.
fn set_form(fields: &Fields<'_, 22>, flags: u32) -> SetForm {
    const DESCRIPTION: u16 = 9;
    const DESCRIPTION_CONCAT: u16 = 2;
    const PLAIN: [u16; 12] = [1, 2, 3, 4, 5, 8, DESCRIPTION, 13, 14, 16, 19, 20];
    if flags != 0 {
        return SetForm::Other(flag_name(flags));
    }
    if !fields.are_among(&PLAIN) {
        return SetForm::Other("with an attribute that a plain set has not");
    }
    // A description may name the parts of the key, but not limit the size.
    let description = fields.nested(DESCRIPTION).map(Fields::<'_, 4>::of);
    match description {
        Some(Err(_)) => SetForm::Other("malformed"),
        Some(Ok(parts)) if !parts.are_among(&[DESCRIPTION_CONCAT]) => SetForm::Other("with a size limit"),
        Some(Ok(_)) | None => SetForm::Plain,
    }
}

fn flag_name(flags: u32) -> &'static str {
    const NAMES: [(u32, &str); 6] = [
        (0x08, "a map"),
        (0x40, "a map of objects"),
        (0x10, "with timeouts"),
        (0x20, "filled by packets"),
        (0x04, "with intervals"),
        (0x01, "anonymous"),
    ];
    NAMES
        .into_iter()
        .find(|(flag, _)| flags & flag != 0)
        .map_or("with a flag that a plain set has not", |(_, name)| name)
}

/// The elements in one message: their keys, and whether they are anything more than keys.
pub(super) fn elements(message: &Message<'_>) -> Result<(Vec<Vec<u8>>, SetForm), Error> {
    const WHAT: &str = "a set's elements";
    const ELEMENTS: u16 = 3;
    const LIST_ELEMENT: u16 = 1;
    const KEY: u16 = 1;
    const MALFORMED: Error = Error::Malformed { what: WHAT };
    let list: Fields<'_, 8> = fields(message, WHAT)?;
    let mut keys = Vec::new();
    let mut form = SetForm::Plain;
    for element in list.nested(ELEMENTS).unwrap_or(Attributes::nested(&[])) {
        let (LIST_ELEMENT, element) = element.map_err(|_| MALFORMED)? else { return Err(MALFORMED) };
        let fields: Fields<'_, 12> = Fields::of(Attributes::nested(element)).map_err(|_| MALFORMED)?;
        if !fields.are_among(&[KEY]) {
            form = SetForm::Other("with elements that are more than keys");
        }
        match fields.nested(KEY) {
            Some(key) => keys.push(expression::value(key).ok_or(MALFORMED)?),
            None => form = SetForm::Other("with an element for everything"),
        }
    }
    Ok((keys, form))
}

/// A stateful object, in words.
pub(super) fn object(message: &Message<'_>) -> Result<InTable<String>, Error> {
    const WHAT: &str = "an object";
    const TABLE: u16 = 1;
    const NAME: u16 = 2;
    const TYPE: u16 = 3;
    let fields: Fields<'_, 10> = fields(message, WHAT)?;
    let read = || {
        let kind = fields.be32(TYPE)?;
        let name = fields.lossy_text(NAME)?;
        // NFT_OBJECT_*.
        let item = match kind {
            1 => format!("counter {name}"),
            2 => format!("quota {name}"),
            3 => format!("ct helper {name}"),
            4 => format!("limit {name}"),
            _ => format!("object {name} of type {kind}"),
        };
        Some(InTable { family: family(message)?, table: fields.lossy_text(TABLE)?, item })
    };
    read().ok_or(Error::Malformed { what: WHAT })
}

/// A flow table, in words.
pub(super) fn flowtable(message: &Message<'_>) -> Result<InTable<String>, Error> {
    const WHAT: &str = "a flow table";
    const TABLE: u16 = 1;
    const NAME: u16 = 2;
    let fields: Fields<'_, 10> = fields(message, WHAT)?;
    let read = || {
        let item = format!("flowtable {}", fields.lossy_text(NAME)?);
        Some(InTable { family: family(message)?, table: fields.lossy_text(TABLE)?, item })
    };
    read().ok_or(Error::Malformed { what: WHAT })
}

fn family(message: &Message<'_>) -> Option<Family> {
    message.payload.get(..FIXED_PART)?.first().copied().map(Family::of)
}

#[cfg(test)]
mod tests;
