// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description of an object, for both text and JSON.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::json::Bytes;

/// What an object is. As JSON: its kind and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name of the kind in JSON.
    pub kind: &'static str,
    /// More about it, in JSON.
    pub fields: Vec<(&'static str, Field)>,
    /// The name of the kind in text: what the line of an object begins with.
    pub label: &'static str,
    /// What distinguishes it from others of its kind.
    pub name: Vec<u8>,
    /// What it stands for, or where it is.
    pub target: Target,
    /// What else people should know of one that is there.
    pub remark: Option<&'static str>,
    /// What it was recognised by, if no image names it.
    pub recognised: Option<&'static str>,
}

/// What stands behind the arrow in the line of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This.
    Is(Vec<u8>),
    /// The images do not tell.
    NotTold,
    /// The network namespace that it is in.
    Namespace,
    /// It stands for nothing.
    None,
}

impl Serialize for Description {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 1))?;
        map.serialize_entry("kind", self.kind)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl From<Option<Vec<u8>>> for Target {
    fn from(told: Option<Vec<u8>>) -> Self {
        told.map_or(Target::NotTold, Target::Is)
    }
}

/// The value of a field in JSON. A hundred thousand objects have some: a tree of JSON would take ten times the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Field {
    /// A number.
    Number(u32),
    /// Yes or no.
    Flag(bool),
    /// One of a few words.
    Word(&'static str),
    /// Text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Text that need not be UTF-8; `null` where it is not told.
    Bytes(Option<Bytes>),
}

impl From<u32> for Field {
    fn from(number: u32) -> Self {
        Field::Number(number)
    }
}

impl From<bool> for Field {
    fn from(flag: bool) -> Self {
        Field::Flag(flag)
    }
}

impl From<&'static str> for Field {
    fn from(word: &'static str) -> Self {
        Field::Word(word)
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Field::Text(text)
    }
}

impl From<Vec<String>> for Field {
    fn from(texts: Vec<String>) -> Self {
        Field::Texts(texts)
    }
}

impl From<Vec<u8>> for Field {
    fn from(bytes: Vec<u8>) -> Self {
        Field::Bytes(Some(Bytes(bytes)))
    }
}

impl From<Option<Vec<u8>>> for Field {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Field::Bytes(bytes.map(Bytes))
    }
}
