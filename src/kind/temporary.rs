// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shared by the kinds that CRIU names by a template of mkdtemp(3), and by those that no image names.

use std::os::unix::ffi::OsStringExt;

use super::{Description, Target};
use crate::carrier::FoundEntry;

/// Whether a name is one that mkdtemp(3) makes from `PREFIXXXXXXX`.
pub(super) fn is_from_template(name: &[u8], prefix: &[u8]) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.len() == 6 && rest.iter().all(u8::is_ascii_alphanumeric))
}

/// The description of an entry, which has its name from where it was found.
pub(super) fn describe_entry(
    kind: &'static str,
    label: &'static str,
    recognised: &'static str,
    found: Option<&FoundEntry>,
) -> Description {
    let name = found.map(|entry| entry.path().into_os_string().into_vec()).unwrap_or_default();
    Description {
        kind,
        fields: vec![("name", name.clone().into()), ("recognised_by", recognised.into())],
        label,
        name,
        target: Target::None,
        remark: None,
        recognised: Some(recognised),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_six_letters_and_digits_at_its_end() {
        for (name, expected) in [
            (".criu.cgyard.TX2SY2", true),
            (".criu.cgyard.TX2SY", false),
            (".criu.cgyard.TX2SY2x", false),
            (".criu.cgyard.TX-SY2", false),
            (".criu.cgyard.", false),
            ("x.criu.cgyard.TX2SY2", false),
        ] {
            assert_eq!(is_from_template(name.as_bytes(), b".criu.cgyard."), expected, "{name}");
        }
    }
}
