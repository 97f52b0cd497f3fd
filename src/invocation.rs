// SPDX-License-Identifier: Apache-2.0 OR MIT
//! As what the program was called: its own file name decides, which a link can give it.
//!
//! Others start it who cannot pass an option: checkpointctl finds its plugins by name, and CRIU runs an action script as
//! one word without arguments.

use std::ffi::OsStr;
use std::path::Path;

/// The file name that makes it `checkpointctl gc`.
const PLUGIN: &str = "checkpointctl-gc";

/// What the program is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invocation {
    /// criu-gc.
    Tool,
    /// A plugin of checkpointctl, which runs it with the words that follow `checkpointctl gc` (`cmd/plugin.go` in
    /// <https://github.com/checkpoint-restore/checkpointctl>).
    CheckpointctlPlugin,
}

impl Invocation {
    /// Judges by the first word of a command line.
    pub fn of(program: &OsStr) -> Self {
        match Path::new(program).file_name() {
            Some(name) if name == PLUGIN => Invocation::CheckpointctlPlugin,
            _ => Invocation::Tool,
        }
    }
}

/// What checkpointctl expects of a plugin beside its work, so that `checkpointctl --help` can list it.
pub mod plugin {
    /// How checkpointctl asks for the description: this word alone, with half a second to answer.
    pub const DESCRIPTION_OPTION: &str = "--plugin-description";
    /// The status that says that the first line of the output is the description; any other says that it is none.
    pub const DESCRIPTION_STATUS: u8 = 42;
    /// The description.
    pub const DESCRIPTION: &str = "Show and remove exactly what a CRIU checkpoint left on this host";
    /// What people type.
    pub const COMMAND: &str = "checkpointctl gc";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_decides() {
        for (program, expected) in [
            ("criu-gc", Invocation::Tool),
            ("/usr/libexec/checkpointctl-gc", Invocation::CheckpointctlPlugin),
            ("checkpointctl-gc", Invocation::CheckpointctlPlugin),
            ("/checkpointctl-gc/criu-gc", Invocation::Tool),
            ("checkpointctl-gc.old", Invocation::Tool),
            ("", Invocation::Tool),
        ] {
            assert_eq!(Invocation::of(OsStr::new(program)), expected, "{program}");
        }
    }
}
