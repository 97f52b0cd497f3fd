// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON: text that need not be UTF-8, and documents from other programs. Errors are short, whatever the document
//! contains: the decoder's own message repeats unexpected text, even megabytes of it.

mod bytes;
mod evidence;

use serde::de::DeserializeOwned;

pub use bytes::Bytes;
pub(crate) use bytes::shell_word;
pub use evidence::EvidenceReport;

/// A message that is longer tells only the place.
const MESSAGE_LIMIT: usize = 200;

/// What is wrong with a document, in few words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Decodes it.
pub fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(text).map_err(|error| {
        let message = error.to_string();
        DecodeError(match message.len() {
            0..=MESSAGE_LIMIT => message,
            _ => format!("unexpected content at line {} column {}", error.line(), error.column()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_short_and_tells_the_place() {
        let error = |text: &str| decode::<u32>(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("\"x\""), "invalid type: string \"x\", expected u32 at line 1 column 3");
        let long = format!("\"{}\"", "x".repeat(1 << 20));
        assert_eq!(error(&long), format!("unexpected content at line 1 column {}", long.len()));
    }
}
