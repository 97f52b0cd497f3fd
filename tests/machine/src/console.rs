// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a machine's kernel wrote to its console.

use std::fs;
use std::path::{Path, PathBuf};

/// How many lines tell what happened last.
const LINES: usize = 30;

/// The file that QEMU writes the first serial line to.
#[derive(Debug)]
pub(crate) struct Console {
    path: PathBuf,
}

impl Console {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The last lines.
    pub(crate) fn end(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Whether the kernel has given up.
    pub(crate) fn has_panic(&self) -> bool {
        self.text().contains("Kernel panic - not syncing")
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }
}
