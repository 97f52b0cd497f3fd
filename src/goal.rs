// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a run is for. Each kind of residue says which goals it is in the way of: the table is in `kind.rs`.

/// What a run is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Goal {
    /// The dump is no longer needed: whatever it left goes, and then it cannot be restored.
    #[default]
    Gc,
    /// The checkpoint is to be restored: what a failed restore left is undone. What the dump left stays.
    Restorable,
}

impl Goal {
    /// The name in the output, and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Goal::Gc => "gc",
            Goal::Restorable => "restorable",
        }
    }
}
