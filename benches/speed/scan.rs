// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `criu-gc scan` on a node, against reading the same files once.

use testkit::TestHost;

use crate::checkpoints::Dumped;
use crate::crowd;
use crate::measure::{Limit, Line, Report, Subject, interleave};

pub(crate) fn of_node(report: &mut Report) {
    let host = TestHost::new();
    let _small = Dumped::small(&host);
    crowd::fill_node(&host);
    let scan = Subject::criu_gc().args(["scan"]).ending_with(&[0, 1]);
    let [floor, ours] = interleave(&host, [Subject::floor("host"), scan], 5);
    let (work, size, floor) = ("a node, scan", 1_560, Some(floor));
    report.add(&Line { work, size, floor, peer: None, ours, limits: &[Limit::Floor(1.5)] });
}
