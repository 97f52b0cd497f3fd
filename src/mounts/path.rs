// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Paths as bytes: the arithmetic of components.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What remains of `path` below `directory`, component by component; `None` if it does not lie there. Both are
/// absolute; `path` may be the directory itself.
pub(super) fn below<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let rest = path.strip_prefix(directory)?;
    match rest.first() {
        None => Some(rest),
        Some(b'/') => Some(trim_root(rest)),
        Some(_) => None,
    }
}

/// The path without the slashes that make it absolute.
pub(super) fn trim_root(path: &[u8]) -> &[u8] {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    &path[slashes..]
}

pub(super) fn join(directory: &[u8], relative: &[u8]) -> Vec<u8> {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    [directory, b"/", relative].concat()
}

/// Whether an absolute path has none of the components that CRIU's canonical ones never have.
pub(crate) fn is_plain_path(path: &[u8]) -> bool {
    path.len() < 4096
        && path.strip_prefix(b"/").is_some_and(|rest| {
            rest.split(|byte| *byte == b'/').all(|component| {
                !matches!(component, b"" | b"." | b"..") && component.len() <= 255 && !component.contains(&0)
            })
        })
}

pub(super) fn owned(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// What a path of a mount in the images can mean. Of the kernel's escapes CRIU undoes those for a space, a tab and a
/// backslash (`cure_path` in `criu/proc_parse.c`), but not those for a newline and a number sign. So `\012` in an image
/// is a newline, or it is these four characters, whose backslash was an escape itself.
pub(super) fn readings(path: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'\\', b'0', b'1', b'2', after @ ..] => (b'\n', after),
            [b'\\', b'0', b'4', b'3', after @ ..] => (b'#', after),
            _ => (*first, tail),
        };
        decoded.push(byte);
        rest = after;
    }
    if decoded == path { vec![decoded] } else { vec![decoded, path.to_vec()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_compares_whole_components() {
        assert_eq!(below(b"/a/b", b"/a"), Some(&b"b"[..]));
        assert_eq!(below(b"/a/b", b"/"), Some(&b"a/b"[..]));
        assert_eq!(below(b"/a", b"/a"), Some(&b""[..]));
        assert_eq!(below(b"/ab", b"/a"), None);
        assert_eq!(below(b"/a", b"/a/b"), None);
    }

    #[test]
    fn an_escape_that_criu_leaves_can_mean_two_things() {
        assert_eq!(readings(b"/a b"), [b"/a b".to_vec()]);
        assert_eq!(readings(b"/a\\012b"), [b"/a\nb".to_vec(), b"/a\\012b".to_vec()]);
        assert_eq!(readings(b"/\\043\\134"), [b"/#\\134".to_vec(), b"/\\043\\134".to_vec()]);
    }
}
