// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The core of the suite: each kind of residue with each lock method, and each thing that criu-gc does. It runs on
//! every kernel (docs/kernels.md).

use libtest_mimic::Trial;

/// The environment variable that chooses tests.
const VARIABLE: &str = "CRIU_GC_TESTS";

const CORE: [&str; 31] = [
    "a link remap on the host is removed",
    "the link remap of a FIFO is removed",
    "a link remap that is a symbolic link is removed and not followed",
    "the link remap of a POSIX semaphore is removed from /dev/shm",
    "a link remap in a container's root directory is removed",
    "a link remap in a container's volume is removed",
    "a link remap in a container's own tmpfs is gone with it",
    "a link remap on a volume that only another container has mounted is removed",
    "a link remap on an overlay that is mounted nowhere is removed from its upper directory",
    "a link remap on a device that is mounted nowhere is removed",
    "the iptables rules of every kind of TCP socket are shown and removed",
    "the nftables lock of every kind of TCP socket is shown and removed",
    "the table of a closed namespace is found by its name and removed",
    "the chain of a closed namespace is left alone until the namespace is named",
    "a namespace with the devices of the images is tied",
    "tables with names of other dumps survive",
    "rules that differ from CRIU's in one thing survive, with order and counters",
    "a user's own files with names like link remaps survive",
    "a link remap whose file has another size is kept",
    "a link remap that was made after the images is kept, however like it is",
    "nothing is removed while the tree is stopped, and all when it is dead",
    "nothing is removed while a container's tree is alive, and all when it is dead",
    "a restored tree is told apart from a living one, and nothing is left",
    "a dump that was killed half-way: what is named is removed, and what is not is unknown",
    "heal by images lets the traffic of a damaged tree flow again",
    "after a killed restore, restorable makes the next one succeed at the first try",
    "a dump is recorded with the identities of what it has just left",
    "a chain is removed by its record, without being named",
    "--save keeps a link remap's file as a hard link and tells what it was",
    "what a dump left is removed by an archive of its images",
    "both readers agree on a tree of the host",
];

/// Which tests are to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// All of them.
    All,
    /// The core, or a share of it.
    Core(Share),
}

/// Every so-manieth test of the core: machines share it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Share {
    number: usize,
    of: usize,
}

impl Choice {
    /// What the environment says: `core`, or `core 1/2` for the first of two shares.
    ///
    /// # Panics
    /// If it says something else.
    pub(crate) fn from_environment() -> Self {
        let Ok(choice) = std::env::var(VARIABLE) else { return Self::All };
        Self::parse(&choice).unwrap_or_else(|| panic!("{VARIABLE} can be core or core 1/2, not {choice}"))
    }

    fn parse(choice: &str) -> Option<Self> {
        let share = match choice.strip_prefix("core")?.strip_prefix(' ') {
            None if choice == "core" => Share { number: 1, of: 1 },
            None => return None,
            Some(share) => {
                let (number, of) = share.split_once('/')?;
                Share { number: number.parse().ok()?, of: of.parse().ok()? }
            }
        };
        (1..=share.of).contains(&share.number).then_some(Self::Core(share))
    }
}

/// Any run finds out that a test of the core was renamed, not only one in an emulated machine.
///
/// # Panics
/// If there is no such test.
pub(crate) fn assert_known(names: &[&str]) {
    let unknown: Vec<&str> = CORE.into_iter().filter(|name| !names.contains(name)).collect();
    assert!(unknown.is_empty(), "no such test: {unknown:#?}");
}

/// The share of the core of the tests.
///
/// # Panics
/// If a test of the core is missing.
pub(crate) fn choose(trials: Vec<Trial>, share: Share) -> Vec<Trial> {
    let is =
        |trial: &Trial, name: &str| trial.name().strip_prefix(name).is_some_and(|rest| rest.starts_with(" (criu "));
    let missing: Vec<&str> = CORE.into_iter().filter(|name| !trials.iter().any(|trial| is(trial, name))).collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
    let core = trials.into_iter().filter(|trial| CORE.iter().any(|name| is(trial, name)));
    core.skip(share.number - 1).step_by(share.of).collect()
}
