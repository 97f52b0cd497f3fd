// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The expressions of a rule. Pure.
//!
//! An expression is decoded only if criu-gc represents every one of its attributes. A `payload` that writes, a `lookup`
//! in a map, or an addition of a later kernel is [`Expression::Other`].

use crate::system::netlink::{Attributes, Fields};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
/// `NFT_REG_VERDICT`, the register that decides.
const VERDICT_REGISTER: u32 = 0;

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads something about the packet that is not in it.
    Meta {
        /// `NFT_META_*`.
        key: u32,
        /// Where to.
        register: u32,
    },
    /// Loads bytes of the packet.
    Payload {
        /// `NFT_PAYLOAD_*`: 0 link layer, 1 network, 2 transport header.
        base: u32,
        /// From which byte of the header.
        offset: u32,
        /// How many bytes.
        length: u32,
        /// Where to.
        register: u32,
    },
    /// Goes on only if the comparison holds.
    Compare {
        /// What is compared.
        register: u32,
        /// `NFT_CMP_*`: 0 equal, 1 not equal, 2 less, …
        op: u32,
        /// With what.
        value: Vec<u8>,
    },
    /// Computes `(source & mask) ^ xor`.
    Bitwise {
        /// What is computed on.
        source: u32,
        /// Where to.
        register: u32,
        /// How many bytes.
        length: u32,
        /// The bits that stay.
        mask: Vec<u8>,
        /// The bits that are turned.
        xor: Vec<u8>,
    },
    /// Counts; changes nothing.
    Counter,
    /// Decides.
    Verdict(Verdict),
    /// Goes on only if the set has what the register holds; with `inverted`, only if it has not.
    Lookup {
        /// The set's name.
        set: String,
        /// What is looked for.
        register: u32,
        /// Whether the set must not have it.
        inverted: bool,
    },
    /// A match of x_tables.
    Match {
        /// The match's name.
        name: String,
        /// Its revision.
        revision: u32,
        /// Its structure, in this machine's byte order, with padding.
        info: Vec<u8>,
    },
    /// A target of x_tables.
    Target {
        /// The target's name.
        name: String,
        /// Its revision.
        revision: u32,
        /// Its structure, in this machine's byte order, with padding.
        info: Vec<u8>,
    },
    /// Anything else, and anything of the above in a form that is not known.
    Other {
        /// The expression's name as the kernel gives it, for people.
        name: String,
    },
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this hook.
    Accept,
    /// It is gone.
    Drop,
    /// It goes through another chain and comes back.
    Jump(String),
    /// It goes through another chain and does not come back.
    Goto(String),
    /// It goes back to where it came from.
    Return,
    /// Something else (`NF_*`, `NFT_*`).
    Other(i32),
}

/// The expressions in `NFTA_RULE_EXPRESSIONS`.
pub(super) fn decode_list(list: Attributes<'_>) -> Vec<Expression> {
    list.map(|each| match each {
        Ok((NFTA_LIST_ELEM, expression)) => decode(expression),
        Ok(_) | Err(_) => other("malformed"),
    })
    .collect()
}

pub(super) fn other(name: &str) -> Expression {
    Expression::Other { name: name.to_owned() }
}

fn decode(expression: &[u8]) -> Expression {
    let Ok(fields) = Fields::<4>::of(Attributes::nested(expression)) else { return other("malformed") };
    let Some(name) = fields.text(NFTA_EXPR_NAME) else { return other("malformed") };
    let data = fields.nested(NFTA_EXPR_DATA).unwrap_or(Attributes::nested(&[]));
    let known = match Fields::of(data) {
        Ok(data) if fields.are_among(&[NFTA_EXPR_NAME, NFTA_EXPR_DATA]) => decode_known(name, &data),
        _ => None,
    };
    known.unwrap_or_else(|| other(name))
}

fn decode_known(name: &str, data: &Fields<'_, 10>) -> Option<Expression> {
    match name {
        "meta" => meta(data),
        "payload" => payload(data),
        "cmp" => compare(data),
        "bitwise" => bitwise(data),
        // Bytes, packets and padding: their numbers do not matter.
        "counter" => data.are_among(&[1, 2, 3]).then_some(Expression::Counter),
        "immediate" => immediate(data),
        "lookup" => lookup(data),
        "match" => extension(data).map(|(name, revision, info)| Expression::Match { name, revision, info }),
        "target" => extension(data).map(|(name, revision, info)| Expression::Target { name, revision, info }),
        _ => None,
    }
}

// The numbers of the attributes below are those of linux/netfilter/nf_tables.h, enum nft_meta_attributes and so on.

fn meta(data: &Fields<'_, 10>) -> Option<Expression> {
    const DREG: u16 = 1;
    const KEY: u16 = 2;
    only(data, &[DREG, KEY])?;
    Some(Expression::Meta { key: data.be32(KEY)?, register: data.be32(DREG)? })
}

fn payload(data: &Fields<'_, 10>) -> Option<Expression> {
    const DREG: u16 = 1;
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const LEN: u16 = 4;
    only(data, &[DREG, BASE, OFFSET, LEN])?;
    Some(Expression::Payload {
        base: data.be32(BASE)?,
        offset: data.be32(OFFSET)?,
        length: data.be32(LEN)?,
        register: data.be32(DREG)?,
    })
}

fn compare(data: &Fields<'_, 10>) -> Option<Expression> {
    const SREG: u16 = 1;
    const OP: u16 = 2;
    const DATA: u16 = 3;
    only(data, &[SREG, OP, DATA])?;
    Some(Expression::Compare { register: data.be32(SREG)?, op: data.be32(OP)?, value: value(data.nested(DATA)?)? })
}

fn bitwise(data: &Fields<'_, 10>) -> Option<Expression> {
    const SREG: u16 = 1;
    const DREG: u16 = 2;
    const LEN: u16 = 3;
    const MASK: u16 = 4;
    const XOR: u16 = 5;
    const OP: u16 = 6;
    const OP_MASK_XOR: u32 = 0;
    only(data, &[SREG, DREG, LEN, MASK, XOR, OP])?;
    // Before Linux 5.6 there was no other operation, and no attribute for it.
    if data.has(OP) && data.be32(OP)? != OP_MASK_XOR {
        return None;
    }
    Some(Expression::Bitwise {
        source: data.be32(SREG)?,
        register: data.be32(DREG)?,
        length: data.be32(LEN)?,
        mask: value(data.nested(MASK)?)?,
        xor: value(data.nested(XOR)?)?,
    })
}

fn lookup(data: &Fields<'_, 10>) -> Option<Expression> {
    const SET: u16 = 1;
    const SREG: u16 = 2;
    const FLAGS: u16 = 5;
    only(data, &[SET, SREG, FLAGS])?;
    let inverted = match data.be32(FLAGS) {
        Some(0) => false,
        Some(1) => true,
        None if !data.has(FLAGS) => false,
        _ => return None,
    };
    Some(Expression::Lookup { set: data.text(SET)?.to_owned(), register: data.be32(SREG)?, inverted })
}

fn extension(data: &Fields<'_, 10>) -> Option<(String, u32, Vec<u8>)> {
    const NAME: u16 = 1;
    const REV: u16 = 2;
    const INFO: u16 = 3;
    only(data, &[NAME, REV, INFO])?;
    Some((data.text(NAME)?.to_owned(), data.be32(REV)?, data.bytes(INFO)?.to_vec()))
}

fn immediate(data: &Fields<'_, 10>) -> Option<Expression> {
    const DREG: u16 = 1;
    const DATA: u16 = 2;
    only(data, &[DREG, DATA])?;
    if data.be32(DREG)? != VERDICT_REGISTER {
        return None;
    }
    let nested: Fields<'_, 4> = Fields::of(data.nested(DATA)?).ok()?;
    nested.are_among(&[NFTA_DATA_VERDICT]).then_some(())?;
    verdict(nested.nested(NFTA_DATA_VERDICT)?).map(Expression::Verdict)
}

fn verdict(attributes: Attributes<'_>) -> Option<Verdict> {
    const CODE: u16 = 1;
    const CHAIN: u16 = 2;
    let fields: Fields<'_, 4> = Fields::of(attributes).ok()?;
    fields.are_among(&[CODE, CHAIN]).then_some(())?;
    let code = fields.be32(CODE)? as i32;
    let chain = || fields.text(CHAIN).map(str::to_owned);
    match code {
        -3 => chain().map(Verdict::Jump),
        -4 => chain().map(Verdict::Goto),
        _ if fields.has(CHAIN) => None,
        0 => Some(Verdict::Drop),
        1 => Some(Verdict::Accept),
        -5 => Some(Verdict::Return),
        _ => Some(Verdict::Other(code)),
    }
}

/// The bytes of `NFTA_DATA_VALUE`, which must be all that there is.
pub(super) fn value(data: Attributes<'_>) -> Option<Vec<u8>> {
    let fields: Fields<'_, 4> = Fields::of(data).ok()?;
    only(&fields, &[NFTA_DATA_VALUE])?;
    fields.bytes(NFTA_DATA_VALUE).map(<[u8]>::to_vec)
}

fn only<const N: usize>(fields: &Fields<'_, N>, kinds: &[u16]) -> Option<()> {
    fields.are_among(kinds).then_some(())
}

#[cfg(test)]
mod tests;
