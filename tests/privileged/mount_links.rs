// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps where the same directory shows at several places, or a place shows something else now.

use std::fs;
use std::path::Path;

use testkit::{Access, Container, Criu, TestHost};

use crate::case::{Case, Cases};
use crate::container_links::{Dump, assert_is_at, assert_not_known, bind, directory, mount_tmpfs};
use crate::neighbours::link_in;
use crate::tool::NOTHING;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "a link remap is removed through another mount where its own place is mounted over", test: covered },
    Case { name: "a link remap below a place that is mounted over is not known", test: covered_everywhere },
    Case { name: "a link remap in a volume with every byte that the kernel escapes is removed", test: escaped },
    Case { name: "a link remap below a mount point with odd bytes in its name is removed", test: odd_mount_point },
]));

fn covered(criu: &Criu) {
    let host = TestHost::new();
    let (volume, alias) = (directory(&host, "volume"), directory(&host, "alias"));
    let dump = Dump::with_volume(criu, &host, &volume);
    bind(&host, &volume, &alias);
    mount_tmpfs(&host, &volume);
    let lines = dump.tool().show();
    assert_is_at(&lines, &alias);
    let removed = dump.tool().run(&[]);
    assert_eq!(removed.code(), 0, "{}{}", removed.stdout, removed.stderr);
    dump.tool().assert_finds_nothing();
    host.run("umount", &[&alias]);
    host.run("umount", &[&volume]);
    assert_eq!(dump.tool().difference_to(&dump.before), NOTHING);
}

/// What lies below the other filesystem must not be taken for what lies on it.
fn covered_everywhere(criu: &Criu) {
    let host = TestHost::new();
    let volume = directory(&host, "volume");
    let dump = Dump::with_volume(criu, &host, &volume);
    let link = link_in(&volume);
    mount_tmpfs(&host, &volume);
    fs::write(host.path(&link), "precious").expect("a new file");
    assert_not_known(&dump.tool(), "another mount covers");
    host.run("umount", &[&volume]);
    dump.tool().assert_removes_everything_since(&dump.before);
}

fn escaped(criu: &Criu) {
    let host = TestHost::new();
    for name in ["a b", "tab\tin", "line\nfeed", "number#sign", "back\\slash", "all \t\n#\\040 of them"] {
        let volume = directory(&host, name);
        let container = Container::new(&host, &format!("root of {}", name.len()));
        let container = container.bind(&volume, "/data".as_ref(), Access::ReadWrite);
        let dump = Dump::new(criu, &host, &container, &[&"deleted", &"/data/one"]);
        dump.tool().assert_removes_everything_since(&dump.before);
        fs::remove_dir_all(host.dir().with_file_name("images")).expect("images");
    }
}

/// A newline cannot be among them: CRIU does not find the external mount of such a key, and refuses.
fn odd_mount_point(criu: &Criu) {
    let host = TestHost::new();
    let volume = directory(&host, "volume");
    let place = Path::new("/a place\t#\\040");
    let container = Container::new(&host, "root").bind(&volume, place, Access::ReadWrite);
    let dump = Dump::new(criu, &host, &container, &[&"deleted", &place.join("one")]);
    let lines = dump.tool().assert_removes_everything_since(&dump.before);
    assert!(lines[0].contains(" to be removed"), "{lines:#?}");
}
