// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chooses the role from argv[0], which a link can set.
//!
//! checkpointctl finds its plugins by name, and CRIU runs an action script without arguments, so neither can pass an
//! option.

use std::ffi::OsStr;
use std::path::Path;

use crate::recording::OnFailure;

/// The file name that makes it `checkpointctl gc`.
const PLUGIN: &str = "checkpointctl-gc";
/// The file name that makes it a CRIU action script.
const ACTION_SCRIPT: &str = "criu-gc-record";
/// The same, for those who would rather have no dump than one without a record.
const STRICT_ACTION_SCRIPT: &str = "criu-gc-record-or-fail";

/// What the program is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// criu-gc.
    Tool,
    /// A plugin of checkpointctl, which runs it with the words that follow `checkpointctl gc` (`cmd/plugin.go` in
    /// <https://github.com/checkpoint-restore/checkpointctl>).
    CheckpointctlPlugin,
    /// A CRIU action script.
    ActionScript(OnFailure),
}

impl Invocation {
    /// Judges by the first word of a command line.
    pub(crate) fn of(program: &OsStr) -> Self {
        match Path::new(program).file_name().and_then(OsStr::to_str) {
            Some(PLUGIN) => Invocation::CheckpointctlPlugin,
            Some(ACTION_SCRIPT) => Invocation::ActionScript(OnFailure::KeepDump),
            Some(STRICT_ACTION_SCRIPT) => Invocation::ActionScript(OnFailure::FailDump),
            _ => Invocation::Tool,
        }
    }
}

/// What checkpointctl expects of a plugin beside its work, so that `checkpointctl --help` can list it.
pub(crate) mod plugin {
    /// How checkpointctl asks for the description: this word alone, with half a second to answer.
    pub(crate) const DESCRIPTION_OPTION: &str = "--plugin-description";
    /// The status that says that the first line of the output is the description; any other says that it is none.
    pub(crate) const DESCRIPTION_STATUS: u8 = 42;
    /// The description.
    pub(crate) const DESCRIPTION: &str = "Show and remove exactly what a CRIU checkpoint left on this host";
    /// What people type.
    pub(crate) const COMMAND: &str = "checkpointctl gc";
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
            ("/usr/libexec/criu-gc-record", Invocation::ActionScript(OnFailure::KeepDump)),
            ("criu-gc-record-or-fail", Invocation::ActionScript(OnFailure::FailDump)),
            ("criu-gc-recorder", Invocation::Tool),
            ("", Invocation::Tool),
        ] {
            assert_eq!(Invocation::of(OsStr::new(program)), expected, "{program}");
        }
    }
}
