// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many checkpoints in one call, against as many calls.

use std::path::PathBuf;

use testkit::TestHost;

use crate::checkpoints::{Dumped, Links, touch};
use crate::measure::{Limit, Line, Report, Subject, assert_says, criu_gc, interleave};
use crate::roles;

/// 100 processes and 10 network namespaces more.
pub(crate) fn many(report: &mut Report) {
    let host = TestHost::new();
    let small = Dumped::small(&host);
    roles::add_processes(&host, 100);
    roles::add_networks(&host, 0, 10);
    for size in [20, 100, 500] {
        let directories: Vec<(PathBuf, PathBuf)> = (0..size)
            .map(|number| (host.dir().join(format!("files-{number}")), host.dir().join(format!("images-{number}"))))
            .collect();
        for (files, images) in &directories {
            let (_, named) = Links::of_dump(&[(files.clone(), files.clone())], 1);
            small.with_links(images, &named);
            touch(images);
            assert!(
                size > 20 || {
                    assert_says(&host, &["--show"], images, "to be removed");
                    true
                }
            );
        }
        let images: Vec<&PathBuf> = directories.iter().map(|(_, images)| images).collect();
        let all = Subject::criu_gc().args(["--show"]).args(&images);
        let script = format!("for d in {}/images-*; do {} --show $d; done", host.dir().display(), criu_gc().display());
        let rounds = if size > 100 { 2 } else { 3 };
        let [peer, ours] = interleave(&host, [Subject::shell(&script), all], rounds);
        let limits: &[Limit] = if size >= 100 { &[Limit::Peer(1.0 / 15.0)] } else { &[] };
        let peer = Some(("as many calls", peer));
        report.add(&Line { work: "checkpoints in one call, show", size, floor: None, peer, ours, limits });
    }
}
