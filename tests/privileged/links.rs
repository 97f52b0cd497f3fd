// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link remaps: what a dump leaves of files that had lost their names.

use testkit::{Criu, DumpOptions, TestHost};

use crate::case::Case;
use crate::tool::{Tool, make_tables};

pub(crate) const CASES: &[Case] = &[Case { name: "a link remap on the host is removed", test: on_the_host }];

fn on_the_host(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let file = host.dir().join("data");
    let tree = host.workload(&[&"deleted", &file]);
    let images = host.dir().with_file_name("images");
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let lines = tool.removes_everything_since(&before);
    let expected = format!("-> {} (", file.display());
    assert!(lines.iter().any(|line| line.starts_with("Link remap: /") && line.contains(&expected)), "{lines:#?}");
}
