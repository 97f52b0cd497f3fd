// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why an object is kept: a closed list of reasons, with their names on the command line and their explanations.

use std::fmt;
use std::str::FromStr;

/// A reason not to remove an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeepReason {
    /// A criu process is working on these images.
    CriuAtWork,
    /// A process of the dumped tree is alive.
    TreeAlive,
    /// criu-gc cannot tell whether the dumped tree is dead.
    TreeUnknown,
    /// The images are of a version of the format that this criu-gc does not support.
    UnknownVersion,
    /// A criu process is working on other images and may have just created the object.
    CriuElsewhere,
    /// A directory has the name of the link.
    Directory,
    /// Its type differs from the dumped file's.
    OtherType,
    /// Its permissions differ from the dumped file's.
    OtherMode,
    /// Its size differs from the dumped file's.
    OtherSize,
    /// The images may come from a user who could not remove it.
    ForeignImages,
    /// It, or part of it, was created after the dump, according to the dump's record.
    NotRecorded,
    /// It was not created during the dump, and what identifies it may now lead elsewhere.
    OlderThanDump,
    /// The file changed after the images were written.
    ChangedSince,
    /// The checkpoint was restored, or may have been.
    RestoredSince,
    /// A link remap of this checkpoint changed after the dump, perhaps through a newer dump of the same tree.
    NewerDump,
    /// The table or chain contains something that CRIU did not write.
    ForeignContent,
    /// More than one dump locked the network namespace with the same chain.
    SharedLock,
    /// Nothing ties the network namespace to this checkpoint.
    UntiedNamespace,
}

impl KeepReason {
    /// All reasons, the most serious first.
    pub const ALL: [KeepReason; 18] = [
        KeepReason::CriuAtWork,
        KeepReason::TreeAlive,
        KeepReason::TreeUnknown,
        KeepReason::UnknownVersion,
        KeepReason::CriuElsewhere,
        KeepReason::Directory,
        KeepReason::OtherType,
        KeepReason::OtherMode,
        KeepReason::OtherSize,
        KeepReason::ForeignImages,
        KeepReason::NotRecorded,
        KeepReason::OlderThanDump,
        KeepReason::ChangedSince,
        KeepReason::RestoredSince,
        KeepReason::NewerDump,
        KeepReason::ForeignContent,
        KeepReason::SharedLock,
        KeepReason::UntiedNamespace,
    ];

    /// The name for `--allow` and the output.
    pub const fn name(self) -> &'static str {
        match self {
            KeepReason::CriuAtWork => "criu-at-work",
            KeepReason::TreeAlive => "tree-alive",
            KeepReason::TreeUnknown => "tree-unknown",
            KeepReason::UnknownVersion => "unknown-version",
            KeepReason::CriuElsewhere => "criu-elsewhere",
            KeepReason::Directory => "directory",
            KeepReason::OtherType => "other-type",
            KeepReason::OtherMode => "other-mode",
            KeepReason::OtherSize => "other-size",
            KeepReason::ForeignImages => "foreign-images",
            KeepReason::NotRecorded => "not-recorded",
            KeepReason::OlderThanDump => "older-than-dump",
            KeepReason::ChangedSince => "changed-since",
            KeepReason::RestoredSince => "restored-since",
            KeepReason::NewerDump => "newer-dump",
            KeepReason::ForeignContent => "foreign-content",
            KeepReason::SharedLock => "shared-lock",
            KeepReason::UntiedNamespace => "untied-namespace",
        }
    }

    /// What it means, in a sentence for the user.
    pub const fn explanation(self) -> &'static str {
        match self {
            KeepReason::CriuAtWork => "a criu process is working on these images",
            KeepReason::TreeAlive => "a process of the dumped tree is alive",
            KeepReason::TreeUnknown => "criu-gc cannot tell whether the dumped tree is dead",
            KeepReason::UnknownVersion => {
                "the images are of a version of the format that this criu-gc does not support"
            }
            KeepReason::CriuElsewhere => "a criu process is working on other images and may have just created it",
            KeepReason::Directory => "a directory has the name of the link",
            KeepReason::OtherType => "its type differs from the dumped file's",
            KeepReason::OtherMode => "its permissions differ from the dumped file's",
            KeepReason::OtherSize => "its size differs from the dumped file's",
            KeepReason::ForeignImages => "the images may come from a user who could not remove it",
            KeepReason::NotRecorded => "it, or part of it, was created after the dump, according to the dump's record",
            KeepReason::OlderThanDump => {
                "it was not created during the dump, and only a reusable device number, a mount option or a path \
                 that may now lead elsewhere identifies it"
            }
            KeepReason::ChangedSince => {
                "it changed after the images were written, so it may belong to a newer dump of the same tree"
            }
            KeepReason::RestoredSince => {
                "the checkpoint was restored, or other users could have removed the signs of a restore, so it may \
                 belong to a newer dump of the same tree"
            }
            KeepReason::NewerDump => {
                "a link remap of the checkpoint changed since the dump, so this may belong to a newer dump of the \
                 same tree"
            }
            KeepReason::ForeignContent => "it contains something that CRIU did not write",
            KeepReason::SharedLock => "more than one dump locked the network namespace with this chain",
            KeepReason::UntiedNamespace => "nothing ties the network namespace to this checkpoint",
        }
    }

    /// Whether `--allow` accepts it. The others are facts that must change first.
    pub const fn can_be_allowed(self) -> bool {
        match self {
            KeepReason::CriuAtWork
            | KeepReason::CriuElsewhere
            | KeepReason::Directory
            | KeepReason::UntiedNamespace => false,
            KeepReason::TreeAlive
            | KeepReason::TreeUnknown
            | KeepReason::UnknownVersion
            | KeepReason::OtherType
            | KeepReason::OtherMode
            | KeepReason::OtherSize
            | KeepReason::ForeignImages
            | KeepReason::NotRecorded
            | KeepReason::OlderThanDump
            | KeepReason::ChangedSince
            | KeepReason::RestoredSince
            | KeepReason::NewerDump
            | KeepReason::ForeignContent
            | KeepReason::SharedLock => true,
        }
    }

    /// What leads to the removal.
    pub const fn remedy(self) -> &'static str {
        match self {
            KeepReason::CriuAtWork => "wait until that criu exits",
            KeepReason::Directory => "check the directory: CRIU did not create it",
            KeepReason::UntiedNamespace => "name the namespace with --netns PATH",
            KeepReason::TreeAlive => "--allow tree-alive",
            KeepReason::TreeUnknown => "--allow tree-unknown",
            KeepReason::UnknownVersion => "--allow unknown-version",
            KeepReason::CriuElsewhere => "wait until that criu exits",
            KeepReason::OtherType => "--allow other-type",
            KeepReason::OtherMode => "--allow other-mode",
            KeepReason::OtherSize => "--allow other-size",
            KeepReason::ForeignImages => "--allow foreign-images",
            KeepReason::NotRecorded => "--allow not-recorded",
            KeepReason::OlderThanDump => "--allow older-than-dump",
            KeepReason::ChangedSince => "--allow changed-since",
            KeepReason::RestoredSince => "--allow restored-since",
            KeepReason::NewerDump => "--allow newer-dump",
            KeepReason::ForeignContent => "--allow foreign-content",
            KeepReason::SharedLock => "--allow shared-lock",
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a name that is not an allowable reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reason that can be allowed")]
pub struct NotAReason;

impl FromStr for KeepReason {
    type Err = NotAReason;

    fn from_str(name: &str) -> Result<Self, NotAReason> {
        Self::ALL.into_iter().find(|reason| reason.can_be_allowed() && reason.name() == name).ok_or(NotAReason)
    }
}
