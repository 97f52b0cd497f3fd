// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a machine's kernel wrote to its console.

use std::fs;
use std::path::{Path, PathBuf};

/// How many lines tell what happened last.
const LINES: usize = 30;

/// With what a kernel begins to say why it has given up.
const PANIC: &str = "Kernel panic - not syncing";

/// The file that QEMU writes the first serial line to.
#[derive(Debug)]
pub(crate) struct Console {
    path: PathBuf,
}

impl Console {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The last lines; of a panic those around its cause.
    pub(crate) fn end(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let panic = lines.iter().position(|line| line.contains(PANIC));
        let first = panic.map_or(lines.len().saturating_sub(LINES), |panic| panic.saturating_sub(LINES / 2));
        lines[first..].iter().take(LINES).copied().collect::<Vec<_>>().join("\n")
    }

    /// Whether the kernel has given up.
    pub(crate) fn has_panic(&self) -> bool {
        self.text().contains(PANIC)
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }
}
