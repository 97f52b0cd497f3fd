// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two million open files, of which none matters.

use std::fs::{self, File};
use std::io::{BufWriter, Write};

use testkit::TestHost;

use crate::checkpoints::Dumped;
use crate::measure::{Limit, Line, Report, Subject, interleave};

pub(crate) fn many(report: &mut Report) {
    let host = TestHost::new();
    let small = Dumped::small(&host);
    let images = host.dir().join("many");
    small.copy(&images);
    let image = images.join("files.img");
    let original = fs::read(&image).expect("an image");
    for size in [500_000, 2_000_000_usize] {
        let mut sink = BufWriter::new(File::create(&image).expect("an image"));
        sink.write_all(&original).expect("an image");
        (0..size).for_each(|number| sink.write_all(&record(number)).expect("an image"));
        drop(sink);
        let path = image.to_string_lossy().into_owned();
        let show = Subject::criu_gc().args(["--show"]).args([&images]);
        let [floor, ours] = interleave(&host, [Subject::floor("hop").args([path]), show], 5);
        let limits: &[Limit] = if size == 2_000_000 { &[Limit::Floor(6.0), Limit::Memory(8)] } else { &[] };
        report.add(&Line { work: "entries of files.img, show", size, floor: Some(floor), peer: None, ours, limits });
    }
}

/// A regular file with all that CRIU writes of one, 90 bytes as in real dumps.
fn record(number: usize) -> Vec<u8> {
    let id = u32::try_from(number).expect("an id") + 1_000_000;
    let name = format!("/usr/lib/x86_64-linux-gnu/library-{number:07}.so");
    let mut regular = Vec::new();
    put(&mut regular, 1, id);
    put(&mut regular, 2, 0x8000);
    put(&mut regular, 3, 0);
    regular.extend([5 << 3 | 2, 4, 8, 0, 16, 0]);
    regular.extend([6 << 3 | 2, u8::try_from(name.len()).expect("a short name")]);
    regular.extend(name.as_bytes());
    put(&mut regular, 7, 0);
    put(&mut regular, 8, 4096);
    put(&mut regular, 10, 0o100_644);
    let mut content = Vec::new();
    put(&mut content, 1, 1);
    put(&mut content, 2, id);
    content.extend([3 << 3 | 2, u8::try_from(regular.len()).expect("a short record")]);
    content.extend(regular);
    let length = u32::try_from(content.len()).expect("a length");
    [&length.to_le_bytes()[..], &content].concat()
}

/// A number of protocol buffers.
fn put(bytes: &mut Vec<u8>, field: u8, mut value: u32) {
    bytes.push(field << 3);
    while value > 127 {
        bytes.push(u8::try_from(value & 127).expect("seven bits") | 128);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
}
