// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows progress during a long examination.

use std::sync::{Mutex, PoisonError};

use criu_gc::Event;

use crate::terminal::{ProgressLine, Terminal};

/// Shows events on the terminal.
#[derive(Debug)]
pub(crate) struct Observer {
    terminal: Terminal,
    line: Mutex<Option<ProgressLine>>,
}

impl Observer {
    /// Nothing is shown yet.
    pub(crate) fn new(terminal: Terminal) -> Self {
        Observer { terminal, line: Mutex::new(None) }
    }

    /// Shows an event.
    pub(crate) fn show(&self, event: Event<'_>) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Opening { .. } => *line = Some(self.terminal.progress()),
            Event::Reading { archive, read, size } => {
                let (path, read) = (archive.display(), read >> 20);
                let text = || match size {
                    Some(size) => format!("reading {path}: {read} of {} MiB", size >> 20),
                    None => format!("reading {path}: {read} MiB"),
                };
                line.iter().for_each(|line| line.show(text));
            }
            Event::Opened { .. } => *line = None,
            Event::Waiting { path, holder } => {
                self.terminal.message(&format!("waiting for {}, which {holder} has locked", path.display()));
            }
            Event::Looking { .. } | Event::Looked | _ => {}
        }
    }
}
