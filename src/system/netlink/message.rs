// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The framing of netlink: messages made of a header, a fixed part and attributes. Pure.
//!
//! Every length in the bytes is checked against what is there before it is used, so bytes that are invalid end in
//! [`Malformed`], never in a panic and never in a message or attribute that is left out unnoticed.

/// `struct nlmsghdr`.
const MESSAGE_HEADER: usize = 16;
/// `struct nlattr`.
const ATTRIBUTE_HEADER: usize = 4;
/// Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`, which say nothing that the attribute's number does not.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

/// Bytes that are not what netlink's framing allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a length in the message does not fit")]
pub struct Malformed;

/// A message to send.
#[derive(Debug, Clone)]
pub struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Request {
    /// A message of the protocol's type `kind` that begins with the protocol's fixed part.
    pub fn new(kind: u16, fixed: &[u8]) -> Self {
        let mut body = fixed.to_vec();
        pad(&mut body);
        Request { kind, flags: NLM_F_REQUEST, body }
    }

    /// Adds flags.
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }

    /// Adds an attribute. A value longer than an attribute can be is cut: what is left is longer than any name the
    /// kernel knows, which therefore refuses it.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let value = &value[..value.len().min(usize::from(u16::MAX) - ATTRIBUTE_HEADER)];
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        pad(&mut self.body);
        self
    }

    /// Adds a number in network byte order.
    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds a number in network byte order.
    pub fn be64(self, kind: u16, value: u64) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds a text with the NUL that ends it.
    pub fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Appends the message as it is sent.
    pub fn append_to(&self, bytes: &mut Vec<u8>, sequence: u32) {
        let length = u32::try_from(MESSAGE_HEADER + self.body.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        // The port is the kernel's business: 0 lets it fill in this socket's.
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(&self.body);
    }
}

/// `NLM_F_REQUEST`: every message to the kernel has it.
const NLM_F_REQUEST: u16 = 1;

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
    /// The whole message.
    pub bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes, which follow a fixed part of `fixed` bytes.
    pub fn attributes(&self, fixed: usize) -> Attributes<'a> {
        // A payload shorter than its fixed part gives one attribute that cannot be read.
        Attributes { rest: self.payload.get(fixed.next_multiple_of(4)..).unwrap_or(&[0]) }
    }
}

/// The messages of a datagram, in order. Ends after the first one that is malformed.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The messages in `datagram`.
    pub fn new(datagram: &'a [u8]) -> Self {
        Messages { rest: datagram }
    }

    fn read(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(u32::from_ne_bytes(array(self.rest, 0)?)).ok()?;
        let bytes = self.rest.get(..length)?;
        let payload = bytes.get(MESSAGE_HEADER..)?;
        let kind = u16::from_ne_bytes(array(bytes, 4)?);
        let flags = u16::from_ne_bytes(array(bytes, 6)?);
        let sequence = u32::from_ne_bytes(array(bytes, 8)?);
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, sequence, payload, bytes })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.read();
        if message.is_none() {
            self.rest = &[];
        }
        Some(message.ok_or(Malformed))
    }
}

/// Attributes, in order: (number, value). Ends after the first one that is malformed.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in the value of an attribute that nests them.
    pub fn nested(value: &'a [u8]) -> Self {
        Attributes { rest: value }
    }

    fn read(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16::from_ne_bytes(array(self.rest, 0)?));
        let kind = u16::from_ne_bytes(array(self.rest, 2)?) & ATTRIBUTE_TYPE;
        let value = self.rest.get(ATTRIBUTE_HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let attribute = self.read();
        if attribute.is_none() {
            self.rest = &[];
        }
        Some(attribute.ok_or(Malformed))
    }
}

/// Attributes by number, for numbers below `N`.
#[derive(Debug, Clone)]
pub struct Fields<'a, const N: usize> {
    values: [Option<&'a [u8]>; N],
    has_others: bool,
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Sorts attributes by their number.
    pub fn of(attributes: Attributes<'a>) -> Result<Self, Malformed> {
        let mut fields = Fields { values: [None; N], has_others: false };
        for attribute in attributes {
            let (kind, value) = attribute?;
            match fields.values.get_mut(usize::from(kind)) {
                Some(slot @ None) => *slot = Some(value),
                // A number that is not known, or one for the second time.
                Some(Some(_)) | None => fields.has_others = true,
            }
        }
        Ok(fields)
    }

    /// Whether there is no attribute but these, and none twice.
    pub fn are_among(&self, kinds: &[u16]) -> bool {
        let is_known = |at: usize| kinds.iter().any(|kind| usize::from(*kind) == at);
        !self.has_others && self.values.iter().enumerate().all(|(at, value)| value.is_none() || is_known(at))
    }

    /// Whether the attribute is there, whatever it holds.
    pub fn has(&self, kind: u16) -> bool {
        self.bytes(kind).is_some()
    }

    /// The attribute's value.
    pub fn bytes(&self, kind: u16) -> Option<&'a [u8]> {
        self.values.get(usize::from(kind)).copied().flatten()
    }

    /// The attribute's value, if it is a number in network byte order.
    pub fn be32(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(kind)?.try_into().ok()?))
    }

    /// The attribute's value, if it is a number in network byte order.
    pub fn be64(&self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.bytes(kind)?.try_into().ok()?))
    }

    /// The attribute's value, if it is a text that is UTF-8.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.c_string(kind)?).ok()
    }

    /// The attribute's value, if it is a text, with what is not UTF-8 in it replaced: no longer the name of anything.
    pub fn lossy_text(&self, kind: u16) -> Option<String> {
        Some(String::from_utf8_lossy(self.c_string(kind)?).into_owned())
    }

    /// The attributes that are nested in this one.
    pub fn nested(&self, kind: u16) -> Option<Attributes<'a>> {
        self.bytes(kind).map(Attributes::nested)
    }

    fn c_string(&self, kind: u16) -> Option<&'a [u8]> {
        let bytes = self.bytes(kind)?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        (!text.contains(&0)).then_some(text)
    }
}

/// The bytes at an offset, if there are as many.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
