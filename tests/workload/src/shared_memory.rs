// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Named semaphores as glibc makes them. The only file with unsafe code: a mapping without a
//! descriptor cannot be had otherwise.
#![expect(unsafe_code, reason = "mmap of a file, the state that glibc's sem_open leaves")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::Outcome;

/// The size of glibc's `sem_t` on 64-bit machines.
const SIZE: usize = 32;

/// Leaves what `sem_open(NAME, O_CREAT)` of glibc leaves: a shared mapping of a temporary name
/// that is gone, whose inode lives as `/dev/shm/sem.NAME`, and no descriptor.
pub(crate) fn semaphore(name: &OsStr) -> Outcome {
    let temporary = in_shared_memory("sem.", OsStr::new(&format!("tmp{}", std::process::id())));
    fs::write(&temporary, [0; SIZE])?;
    map(&temporary)?;
    fs::hard_link(&temporary, in_shared_memory("sem.", name))?;
    Ok(fs::remove_file(&temporary)?)
}

fn map(path: &Path) -> Outcome {
    let file = fs::File::options().read(true).write(true).open(path)?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the place, and nothing ever reads or writes through the mapping.
    unsafe { mmap(std::ptr::null_mut(), SIZE, access, MapFlags::SHARED, &file, 0)? };
    Ok(())
}

fn in_shared_memory(prefix: &str, name: &OsStr) -> PathBuf {
    let mut file = std::ffi::OsString::from(prefix);
    file.push(name);
    Path::new("/dev/shm").join(file)
}
