// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A line at a terminal that tells a person what a long scan looks at, and for how long already.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use criu_gc::scan::Options;
use criu_gc::{Event, Stage};

use crate::terminal::Terminal;

/// How often the line is rewritten.
const INTERVAL: Duration = Duration::from_millis(200);

/// The thread that writes the line, until the sender is dropped.
struct Writer {
    stages: Sender<Stage>,
    thread: JoinHandle<()>,
}

/// The same options for a scan that tells how far it has come, if anybody sees that.
pub(super) fn show(options: Options, terminal: &Terminal) -> Options {
    if !terminal.progress().is_seen() {
        return options;
    }
    let (terminal, writer) = (terminal.clone(), Mutex::new(None));
    options.on_event(move |event| {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Looking { at } => {
                let writer = writer.get_or_insert_with(|| Writer::start(&terminal));
                let _ = writer.stages.send(at);
            }
            Event::Looked => writer.take().into_iter().for_each(Writer::end),
            Event::Opening { .. } | Event::Reading { .. } | Event::Opened { .. } | Event::Waiting { .. } | _ => {}
        }
    })
}

impl Writer {
    fn start(terminal: &Terminal) -> Self {
        let line = terminal.progress();
        let (stages, received) = channel();
        let (began, mut stage) = (Instant::now(), None);
        let write = move || {
            loop {
                match received.recv_timeout(INTERVAL) {
                    Ok(next) => stage = Some(next),
                    Err(RecvTimeoutError::Timeout) => {
                        line.show(|| format!("looking at {} ({} s)", words(stage), began.elapsed().as_secs()));
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        Writer { stages, thread: thread::spawn(write) }
    }

    /// The line is gone afterwards.
    fn end(self) {
        drop(self.stages);
        let _ = self.thread.join();
    }
}

fn words(stage: Option<Stage>) -> &'static str {
    match stage {
        Some(Stage::Processes) => "processes",
        Some(Stage::Networks) => "network namespaces",
        Some(Stage::Names) => "names in directories",
        Some(Stage::Images) => "images",
        Some(_) | None => "this host",
    }
}
