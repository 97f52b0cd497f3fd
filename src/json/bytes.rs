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

    /// The text as one word for a POSIX shell, quoted if it has to be.
    ///
    /// ```
    /// use criu_gc::report::Bytes;
    ///
    /// assert_eq!(Bytes(b"/srv/images".to_vec()).shell_word(), b"/srv/images");
    /// assert_eq!(Bytes(b"it's".to_vec()).shell_word(), br"'it'\''s'");
    /// ```
    pub fn shell_word(&self) -> Vec<u8> {
        shell_word(&self.0)
    }
}

/// Bytes as one word for a shell.
pub(crate) fn shell_word(word: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-:,+@%=".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) {
        return word.to_vec();
    }
    let escaped = word.split(|byte| *byte == b'\'').collect::<Vec<_>>().join(&b"'\\''"[..]);
    [b"'", escaped.as_slice(), b"'"].concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_word_as_it_is() {
        for (word, expected) in [
            ("/dev/shm/link_remap.4", "/dev/shm/link_remap.4"),
            ("rule:4026531840:[::1]:80-[::1]:4", "'rule:4026531840:[::1]:80-[::1]:4'"),
            ("a b", "'a b'"),
            ("a'b", r"'a'\''b'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word.as_bytes()), expected.as_bytes(), "{word}");
        }
    }
}
