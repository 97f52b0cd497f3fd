// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--save` of a thousand files by hard link.

use std::fs;

use testkit::TestHost;

use crate::checkpoints::{Dumped, Links, touch};
use crate::measure::{Limit, Line, Report, Subject, interleave};

pub(crate) fn by_link(report: &mut Report) {
    const FILES: usize = 1_000;
    let host = TestHost::new();
    let small = Dumped::small(&host);
    let (images, to, from) = (host.dir().join("many"), host.dir().join("saved"), host.dir().join("links"));
    let (links, named) = Links::of_dump(&[(from.clone(), from.clone())], FILES);
    small.with_links(&images, &named);
    let list = host.dir().join("list");
    let names: Vec<String> = links.paths().map(|path| path.display().to_string()).collect();
    fs::write(&list, names.join("\0")).expect("a file");
    let again = || {
        if to.exists() {
            fs::remove_dir_all(&to).expect("what was saved");
        }
        links.restore();
        touch(&images);
    };
    let (list, target) = (list.display(), to.display());
    let script =
        format!("mkdir {target}; xargs -0 cp -al -t {target} < {list}; sync -f {target}; xargs -0 rm < {list}");
    let save = Subject::criu_gc().args(["--yes", "--save"]).args([&to, &images]);
    let [floor, ours] = interleave(&host, [Subject::shell(&script).after(&again), save.after(&again)], 5);
    let (work, floor) = ("files saved by hard link", Some(floor));
    report.add(&Line { work, size: FILES, floor, peer: None, ours, limits: &[Limit::Floor(2.0)] });
}
