// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description of an object, for both text and JSON.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

/// What an object is. As JSON: its kind and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name of the kind in JSON.
    pub kind: &'static str,
    /// More about it, in JSON.
    pub fields: Vec<(&'static str, Value)>,
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

/// A field of JSON.
pub(super) fn json(value: &impl Serialize) -> Value {
    // Neither text nor bytes can fail to become JSON.
    serde_json::to_value(value).unwrap_or_default()
}
