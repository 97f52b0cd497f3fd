// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the checkpoints below the given paths and reads their images, on threads that can be abandoned.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::archive::Progress;
use crate::checkpoint::{self, Checkpoint};
use crate::error::{Cause, Error, Silent};
use crate::host::{self, Next, Watched};
use crate::locate::{self, Images, LocateError, Located};
use crate::options::{Event, Observer};

/// How often the caller gets a progress event while an archive is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the thread that looks for checkpoints tells.
enum Told {
    /// How far it has come in reading an archive.
    Progress { archive: std::path::PathBuf, read: u64, size: Option<u64> },
    /// It reads from a pipe, whose other end may take its time.
    Pipe,
    /// What it found.
    Found(Result<Vec<Located>, LocateError>),
}

/// Finds the checkpoints in what was named, on a watched thread.
pub(super) fn locate(named: &Path, work_dir: Option<&Path>, observer: &Observer) -> Result<Vec<Located>, Error> {
    observer.tell(Event::Opening { named });
    let located = locate_watched(named, work_dir, observer);
    observer.tell(Event::Opened { named });
    located
}

fn locate_watched(named: &Path, work_dir: Option<&Path>, observer: &Observer) -> Result<Vec<Located>, Error> {
    let mut patience = host::patience_with(&[named, work_dir.unwrap_or(named)]);
    let (path, work_dir) = (named.to_owned(), work_dir.map(Path::to_owned));
    let start = Watched::start("locate", move |sender| {
        if locate::is_pipe(&path) {
            let _ = sender.send(Told::Pipe);
        }
        let told = std::cell::Cell::new(Instant::now());
        let tell = |progress: Progress<'_>| {
            if told.get().elapsed() >= INTERVAL {
                let Progress { path, read, size } = progress;
                let _ = sender.send(Told::Progress { archive: path.to_owned(), read, size });
                told.set(Instant::now());
            }
        };
        let _ = sender.send(Told::Found(locate::locate(&path, work_dir.as_deref(), &tell)));
    });
    let mut worker = start.map_err(|error| Error::new(Cause::Thread(error)))?;
    loop {
        match worker.next(patience) {
            Next::Message(Told::Progress { archive, read, size }) => {
                observer.tell(Event::Reading { archive: &archive, read, size });
            }
            Next::Message(Told::Pipe) => patience = Duration::MAX,
            Next::Message(Told::Found(found)) => return found.map_err(not_located),
            Next::Ended | Next::Silent => return Err(Error::new(Silent::at(named))),
        }
    }
}

/// What is not in a container may be on its host.
fn not_located(error: LocateError) -> Error {
    if let LocateError::Directory(directory) = error {
        let is_on_host = directory.is_not_found() && host::has_other_mounts();
        return if is_on_host { Error::new(Cause::not_in_container(directory)) } else { Error::new(directory) };
    }
    Error::new(error)
}

/// Reads the images on a watched thread.
pub(super) fn read(images: Images, work_dir: Option<&Path>) -> Result<(Images, Checkpoint), Error> {
    let path = images.path().to_owned();
    let read = host::answer(&[&path, work_dir.unwrap_or(&path)], move || {
        let checkpoint = checkpoint::read(&images)?;
        Ok((images, checkpoint))
    });
    match read {
        Some(read) => read.map_err(|error: checkpoint::ReadError| Error::new(error)),
        None => Err(Error::new(Silent::at(&path))),
    }
}
