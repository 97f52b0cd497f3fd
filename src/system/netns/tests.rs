// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

#[test]
fn the_own_namespace_has_no_path_that_others_could_misunderstand() {
    let namespace = current().unwrap();
    assert_eq!(namespace.to_string(), format!("net:[{}]", namespace.id().inode));
    assert!(namespace.id() == current().unwrap().id());
}

#[test]
fn what_is_no_namespace_is_not_opened() {
    for path in ["/dev/null", "/proc/self/stat", "/"] {
        assert!(matches!(open(Path::new(path)), Err(Error::NotANetNamespace { .. })), "{path}");
    }
    assert!(matches!(open(Path::new("/nonexistent")), Err(Error::Open { source: Errno::NOENT, .. })));
}
