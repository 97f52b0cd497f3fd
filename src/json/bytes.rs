// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Text that need not be UTF-8, such as paths, in JSON.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not always UTF-8. In JSON it is `{"text": "…"}` where it is, else `{"bytes": "…"}` in base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The bytes of a path.
    pub fn of_path(path: &Path) -> Self {
        Bytes(path.as_os_str().as_bytes().to_vec())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match std::str::from_utf8(&self.0) {
            Ok(text) => map.serialize_entry("text", text)?,
            Err(_) => map.serialize_entry("bytes", &STANDARD.encode(&self.0))?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Encoded {
            Text(String),
            Bytes(String),
        }
        match Encoded::deserialize(deserializer)? {
            Encoded::Text(text) => Ok(Bytes(text.into_bytes())),
            Encoded::Bytes(text) => STANDARD.decode(text).map(Bytes).map_err(D::Error::custom),
        }
    }
}
