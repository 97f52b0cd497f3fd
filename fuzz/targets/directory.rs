// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole images directory, from its bytes to the plan: no step leads out of the checkpoint's scope.
//!
//! Each object that the images name is taken to be there, exactly as they say it is, so that nothing but the reading
//! of the images stands between them and the removal.
#![no_main]

use criu_gc::internals::locate::Images;
use criu_gc_fuzz::{directory::ImagesDirectory, law};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(directory) = ImagesDirectory::of(data) else { return };
    let Ok(images) = Images::open(directory.path(), None) else { return };
    law::no_step_leads_out_of_scope(&images);
});
