// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An error message with the messages of its causes.

use std::error::Error;

use rustix::io::Errno;

/// An error's message followed by those of its causes: the one way to print an error.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut is_old_kernel = is_unknown_call(error);
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Errors of other crates may repeat their causes.
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        is_old_kernel |= is_unknown_call(inner);
        cause = inner.source();
    }
    if is_old_kernel { format!("{text}; criu-gc needs Linux 5.6 or later") } else { text }
}

fn is_unknown_call(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref() == Some(&Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::system::dir::{Directory, FileError};

    #[test]
    fn a_message_names_each_cause_once() {
        let error = Directory::open(Path::new("/no/such/directory")).unwrap_err();
        let text = with_causes(&error);
        assert!(text.starts_with("cannot open directory /no/such/directory: "), "{text}");
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
    }

    #[test]
    fn a_call_that_the_kernel_does_not_know_is_one_of_a_newer_kernel() {
        let error = FileError { operation: "open", path: "/x".into(), source: Errno::NOSYS };
        assert!(with_causes(&error).ends_with("; criu-gc needs Linux 5.6 or later"), "{}", with_causes(&error));
    }
}
