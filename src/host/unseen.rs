// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What could not be examined, with its scope; and the proof that nothing of this kind matters.
//!
//! Only a [`Looked`] allows the statement that something is gone. It has no public constructor: every way to get one is
//! a look everywhere the object could be.

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// What may be hidden by it.
    pub scope: Scope,
    /// What it is, and why it could not be looked at; a sentence without its full stop.
    pub why: String,
}

/// What may be hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Processes, and with them namespaces.
    Processes,
    /// Mounts of some mount namespace.
    Mounts,
    /// A network namespace, with all that is in it.
    Networks,
    /// What the directories of this mount namespace hold.
    Directories,
}

/// The proof that every place was looked at where an object could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked(());

impl Looked {
    /// For this module's parent, which hands it out for a complete look only.
    pub(super) const fn everywhere() -> Self {
        Looked(())
    }

    /// Stands for a look in tests of what does not look itself.
    #[cfg(test)]
    pub(crate) const fn in_test() -> Self {
        Looked(())
    }
}
