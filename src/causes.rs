// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people are told of an error: also why it came to it.

use std::error::Error;

/// An error's message followed by those of its causes.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::system::dir::Directory;

    #[test]
    fn a_message_names_each_cause_once() {
        let error = Directory::open(Path::new("/no/such/directory")).unwrap_err();
        let text = with_causes(&error);
        assert!(text.starts_with("cannot open directory /no/such/directory: "), "{text}");
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
    }
}
