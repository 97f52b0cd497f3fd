// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Threads that wait: by `clock_nanosleep`, by `ppoll`, and by `futex`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// How long each wait takes if nothing cuts it short.
const TIME: Duration = Duration::from_millis(1500);

/// Begins a thread for each way to wait.
pub(crate) fn begin(path: &Path) -> Outcome {
    begin_thread("sleep", path, || thread::sleep(TIME))?;
    begin_thread("futex", path, || thread::park_timeout(TIME))?;
    begin_thread("poll", path, || {
        // One that is interrupted counts as short.
        let time = rustix::event::Timespec { tv_sec: 1, tv_nsec: 500_000_000 };
        let _ = rustix::event::poll(&mut [], Some(&time));
    })
}

fn begin_thread(name: &'static str, path: &Path, wait: impl Fn() + Send + 'static) -> Outcome {
    let path = path.to_owned();
    let work = move || loop {
        let since = Instant::now();
        wait();
        let line = format!("{name} {}\n", since.elapsed().as_millis());
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // The directory may go before the program does.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    };
    let _ = thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}
