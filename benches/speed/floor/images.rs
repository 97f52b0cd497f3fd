// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An image, from record to record by their lengths alone.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

pub(crate) fn hop(path: &Path) {
    let mut image = BufReader::with_capacity(256 * 1024, File::open(path).expect("an image"));
    skip(&mut image, 8);
    let mut count = 0_u64;
    let mut length = [0; 4];
    while image.read_exact(&mut length).is_ok() {
        skip(&mut image, u32::from_le_bytes(length) as usize);
        count += 1;
    }
    std::hint::black_box(count);
}

fn skip(image: &mut BufReader<File>, mut left: usize) {
    while left > 0 {
        let there = image.fill_buf().expect("an image").len().min(left);
        assert!(there > 0, "the image is cut");
        image.consume(there);
        left -= there;
    }
}
