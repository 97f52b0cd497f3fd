// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many link remaps: on hosts with many mounts, and more than a small machine has memory for.

use std::path::PathBuf;

use testkit::TestHost;

use crate::checkpoints::{Dumped, Links, touch};
use crate::measure::{Limit, Line, Report, Subject, assert_says, interleave};
use crate::roles;

/// 10,000 links of a container, and 500 mount namespaces with 100 mounts each. The floor is the same work without the
/// mount namespaces, and to read each mount table once.
pub(crate) fn times_mounts(report: &mut Report) {
    let host = TestHost::new();
    let (container, data) = Dumped::container(&host);
    let images = host.dir().join("many");
    let (_links, named) = Links::of_dump(&[(data.join("many"), "/data/many".into())], 10_000);
    container.with_links(&images, &named);
    touch(&images);
    assert_says(&host, &["--show"], &images, "to be removed");
    let show = || Subject::criu_gc().args(["--show"]).args([&images]);
    let [alone] = interleave(&host, [show()], 5);
    let mut made = 0;
    for size in [100, 500] {
        roles::add_mount_namespaces(&host, size - made, 100);
        made = size;
        let [tables, ours] = interleave(&host, [Subject::floor("mount-tables"), show()], 5);
        let floor = Some(alone.plus(tables));
        let limits: &[Limit] = if size == 500 { &[Limit::Floor(1.5)] } else { &[] };
        let work = "mount namespaces × 100 mounts, 10,000 links of a container, show";
        report.add(&Line { work, size, floor, peer: None, ours, limits });
    }
}

/// 100,000 links in one directory, whose name is so short that criu-gc holds them all.
pub(crate) fn memory(report: &mut Report) {
    let host = TestHost::new();
    let (images, _links) = in_directory(&host, "/run/l".into(), 100_000);
    let [ours] = interleave(&host, [Subject::criu_gc().args(["--show"]).args([&images])], 3);
    let (work, size) = ("link remaps, memory, show", 100_000);
    report.add(&Line { work, size, floor: None, peer: None, ours, limits: &[Limit::Memory(64)] });
}

/// Links in one directory, against `rm`.
pub(crate) fn growing(report: &mut Report) {
    for size in [1_000, 10_000] {
        let host = TestHost::new();
        let (images, links) = in_one_directory(&host, size);
        let again = || {
            links.restore();
            touch(&images);
        };
        let script = format!("find {} -name 'link_remap.*' -print0 | xargs -0 rm", host.dir().join("links").display());
        let remove = Subject::criu_gc().args(["--yes"]).args([&images]);
        let [peer, ours] = interleave(&host, [Subject::shell(&script).after(&again), remove.after(&again)], 5);
        let peer = Some(("find, xargs rm", peer));
        report.add(&Line { work: "link remaps, removal", size, floor: None, peer, ours, limits: &[] });
    }
}

fn in_one_directory(host: &TestHost, count: usize) -> (PathBuf, Links) {
    in_directory(host, host.dir().join("links"), count)
}

/// The directory as the host names it.
fn in_directory(host: &TestHost, directory: PathBuf, count: usize) -> (PathBuf, Links) {
    let small = Dumped::small(host);
    let images = host.dir().join("many");
    let (links, named) = Links::of_dump(&[(host.path(&directory), directory)], count);
    small.with_links(&images, &named);
    touch(&images);
    assert_says(host, &["--show"], &images, "to be removed");
    (images, links)
}
