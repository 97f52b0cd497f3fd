// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why an object is kept: a closed list of reasons, with their names on the command line and their explanations.

use std::fmt;
use std::str::FromStr;

/// The row of a reason that the user can ignore.
macro_rules! allowed {
    ($name:literal, $sentence:literal) => {
        Row { name: $name, sentence: $sentence, lifted: Lifted::ByAllow, remedy: concat!("--allow ", $name) }
    };
}

/// A reason not to remove an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeepReason {
    /// A criu process is working on these images.
    CriuAtWork,
    /// A process traces the dumped tree.
    TreeTraced,
    /// A process of the dumped tree is alive.
    TreeAlive,
    /// criu-gc cannot tell whether the dumped tree is dead.
    TreeUnknown,
    /// The images are of a version of the format that this criu-gc does not support.
    UnknownVersion,
    /// Processes that a killed restore left use the checkpoint.
    HalfRestored,
    /// A criu process is working on other images and may have just created the object.
    CriuElsewhere,
    /// A process has something mounted there.
    InUse,
    /// A newer file has the name.
    NameTaken,
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
    /// Only the log of an interrupted dump leads to it.
    LogOnly,
    /// Nothing in it shows who created it.
    Unmarked,
    /// It is like any other directory.
    LikeAnyOther,
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
    pub const ALL: [KeepReason; 25] = [
        KeepReason::CriuAtWork,
        KeepReason::TreeTraced,
        KeepReason::TreeAlive,
        KeepReason::TreeUnknown,
        KeepReason::UnknownVersion,
        KeepReason::HalfRestored,
        KeepReason::CriuElsewhere,
        KeepReason::InUse,
        KeepReason::NameTaken,
        KeepReason::Directory,
        KeepReason::OtherType,
        KeepReason::OtherMode,
        KeepReason::OtherSize,
        KeepReason::ForeignImages,
        KeepReason::NotRecorded,
        KeepReason::OlderThanDump,
        KeepReason::LogOnly,
        KeepReason::Unmarked,
        KeepReason::LikeAnyOther,
        KeepReason::ChangedSince,
        KeepReason::RestoredSince,
        KeepReason::NewerDump,
        KeepReason::ForeignContent,
        KeepReason::SharedLock,
        KeepReason::UntiedNamespace,
    ];

    /// The name for `--allow` and the output.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What it means, in a sentence for the user.
    pub const fn explanation(self) -> &'static str {
        self.row().sentence
    }

    /// Whether the user can ignore it. The others are facts that must change first.
    pub const fn can_be_allowed(self) -> bool {
        matches!(self.row().lifted, Lifted::ByAllow)
    }

    /// Whether any option makes it not count.
    pub(crate) const fn can_be_lifted(self) -> bool {
        matches!(self.row().lifted, Lifted::ByAllow | Lifted::ByFromLog)
    }

    /// What leads to the removal.
    pub const fn remedy(self) -> &'static str {
        self.row().remedy
    }

    /// The table of all reasons.
    const fn row(self) -> Row {
        match self {
            KeepReason::CriuAtWork => {
                Row::other("criu-at-work", "a criu process is working on these images", "wait until that criu exits")
            }
            KeepReason::TreeTraced => Row::other(
                "tree-traced",
                "another process traces the tree of the interrupted dump",
                "wait until it detaches",
            ),
            KeepReason::TreeAlive => allowed!("tree-alive", "a process of the dumped tree is alive"),
            KeepReason::TreeUnknown => {
                allowed!("tree-unknown", "criu-gc cannot tell whether the dumped tree is dead")
            }
            KeepReason::UnknownVersion => allowed!(
                "unknown-version",
                "the images are of a version of the format that this criu-gc does not support"
            ),
            KeepReason::HalfRestored => {
                Row::other("half-restored", "a killed criu left processes that never run again", "--kill")
            }
            KeepReason::InUse => Row::other(
                "in-use",
                "a process in another mount namespace has something mounted there",
                "wait until that process exits",
            ),
            KeepReason::NameTaken => Row::other(
                "name-taken",
                "a newer file has its name",
                "compare the two files, and rename or remove one of them",
            ),
            KeepReason::CriuElsewhere => Row::other(
                "criu-elsewhere",
                "a criu process is working on other images and may have just created it",
                "wait until that criu exits",
            ),
            KeepReason::Directory => Row::other(
                "directory",
                "a directory has the name of the link",
                "check the directory: CRIU did not create it",
            ),
            KeepReason::OtherType => allowed!("other-type", "its type differs from the dumped file's"),
            KeepReason::OtherMode => allowed!("other-mode", "its permissions differ from the dumped file's"),
            KeepReason::OtherSize => allowed!("other-size", "its size differs from the dumped file's"),
            KeepReason::ForeignImages => {
                allowed!("foreign-images", "the images may come from a user who could not remove it")
            }
            KeepReason::NotRecorded => allowed!(
                "not-recorded",
                "it, or part of it, was created after the dump, according to the dump's record"
            ),
            KeepReason::OlderThanDump => allowed!(
                "older-than-dump",
                "it was not created during the dump, and only a reusable device number, a mount option, a path \
                 that may now lead elsewhere or the shape of its image entries identifies it"
            ),
            KeepReason::LogOnly => Row {
                name: "log-only",
                sentence: "only the log of the interrupted dump leads to it, and the open files of the tree or its other name",
                lifted: Lifted::ByFromLog,
                remedy: "--from-log",
            },
            KeepReason::Unmarked => allowed!(
                "unmarked",
                "it is empty and was probably created by a restore that did not end, but nothing in it shows that"
            ),
            KeepReason::LikeAnyOther => Row::other(
                "like-any-other",
                "a restore that did not end probably created it, but it is a directory like any other",
                "rmdir, if it is nobody else's",
            ),
            KeepReason::ChangedSince => allowed!(
                "changed-since",
                "it changed after the images were written, and neither a failed restore nor a fallback explains that, so \
                 it may belong to a newer dump of the same tree"
            ),
            KeepReason::RestoredSince => allowed!(
                "restored-since",
                "the checkpoint was restored, or other users could have removed the signs of a restore, so it may \
                 belong to a newer dump of the same tree"
            ),
            KeepReason::NewerDump => allowed!(
                "newer-dump",
                "a link remap of the checkpoint changed since the dump, or all of an interrupted dump's were removed, so \
                 this may belong to a newer dump of the same tree"
            ),
            KeepReason::ForeignContent => allowed!("foreign-content", "it contains something that CRIU did not write"),
            KeepReason::SharedLock => {
                allowed!("shared-lock", "more than one dump locked the network with this chain or these rules")
            }
            KeepReason::UntiedNamespace => Row::other(
                "untied-namespace",
                "nothing ties the network namespace to this checkpoint",
                "name the namespace with --netns PATH",
            ),
        }
    }
}

/// What there is to say of a reason. The help, the output and README.md take it from here.
struct Row {
    name: &'static str,
    sentence: &'static str,
    lifted: Lifted,
    remedy: &'static str,
}

/// How a reason is lifted.
enum Lifted {
    /// By `--allow`.
    ByAllow,
    /// By `--from-log`.
    ByFromLog,
    /// Only by what its remedy says.
    Otherwise,
}

impl Row {
    const fn other(name: &'static str, sentence: &'static str, remedy: &'static str) -> Self {
        Row { name, sentence, lifted: Lifted::Otherwise, remedy }
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
