// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which processes are CRIU's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::process::Process;

/// So many arguments may come before the program that a dynamic linker or an interpreter runs, and its command.
const FIRST_ARGUMENTS: usize = 6;

impl Process {
    /// Whether it is a criu: by its name, its program, or, where a dynamic linker or an interpreter runs it or it has another
    /// file name, by one of its first arguments.
    pub fn is_criu(&self) -> bool {
        const COMMANDS: [&[u8]; 7] =
            [b"dump", b"pre-dump", b"restore", b"page-server", b"lazy-pages", b"service", b"swrk"];
        let is_of_criu = |argument: &[u8]| COMMANDS.contains(&argument) || is_path_of_criu(argument);
        *self.criu.get_or_init(|| self.runs_criu() || self.has_first_argument(is_of_criu))
    }

    /// Whether its name or its program is CRIU's.
    pub fn runs_criu(&self) -> bool {
        self.name == b"criu" || self.executable.as_deref().is_some_and(is_program_of_criu)
    }

    /// Whether one of its first arguments is the path of CRIU's program.
    pub fn names_criu(&self) -> bool {
        self.has_first_argument(is_path_of_criu)
    }

    fn has_first_argument(&self, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        self.arguments().iter().take(FIRST_ARGUMENTS).any(|argument| is_meant(argument))
    }
}

fn is_path_of_criu(argument: &[u8]) -> bool {
    is_program_of_criu(Path::new(OsStr::from_bytes(argument)))
}

fn is_program_of_criu(path: &Path) -> bool {
    let is_named = |name: &str| path.file_name() == Some(OsStr::new(name));
    is_named("criu") || is_named("crtools")
}
