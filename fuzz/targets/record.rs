// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The record beside the images, or in their place, which whoever can write in its directory may have written.
#![no_main]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;

use criu_gc::internals::checkpoint;
use criu_gc::internals::record::{self, Beside, ImagesId, RecordFile};
use criu_gc::internals::system::dir::Directory;
use criu_gc::internals::time::Timestamp;
use criu_gc_fuzz::law;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let path = PathBuf::from(format!("/dev/shm/criu-gc-fuzz.record.{}", std::process::id()));
    fs::create_dir_all(&path).expect("a directory");
    fs::write(path.join(OsStr::new(record::FILE_NAME)), data).expect("a file");
    let directory = Directory::open(&path).expect("a directory");
    // By its run id, as far as one can be found in it, or by its time.
    let text = String::from_utf8_lossy(data);
    let id = text.split("\"run_id\"").nth(1).and_then(|rest| rest.split('"').nth(1));
    let id = id.filter(|id| id.len() <= 36);
    for (run_id, written) in [(id, None), (None, Some(Timestamp::new(1_764_000_000, 0))), (None, None)] {
        match record::read(&directory, ImagesId { run_id, written }) {
            Beside::Found(record) => {
                assert!(!data.is_empty() && record.network().is_none_or(|_| text.contains("network")));
            }
            Beside::Ignored(why) => assert!(why.len() <= 512, "{} bytes: {why:.512}", why.len()),
            Beside::Nothing => {}
        }
    }
    let path = path.join(OsStr::new(record::FILE_NAME));
    match RecordFile::read(File::open(&path).expect("a file"), &path) {
        Ok(file) => {
            let checkpoint = checkpoint::from_record(&file);
            checkpoint.iter().for_each(law::no_step_of_checkpoint_leads_out_of_scope);
        }
        Err(why) => assert!(why.to_string().len() <= 1024, "{why:.512}"),
    }
});
