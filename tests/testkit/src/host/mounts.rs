// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mount table of a host, which holds only what a host needs.
//!
//! The machine's own table must not show in a host: named network namespaces, an engine's overlays or a stuck
//! filesystem would change what criu-gc finds. So a host gets a new root: the machine's disk, without what is mounted
//! on it, and new kernel filesystems. Only disks that hold a program or a file of the tests are mounted beside it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifacts::{Artifacts, BINARY};

/// Enters the new table, given the directory to build it on, the options of an overlay on it or nothing, and the disks to
/// mount, `/` first, and becomes what follows `--`. All is done in a mount namespace of the host's own, whose mounts are private.
pub(super) const ENTER: &str = r#"
new=$1 overlay=$2; shift 2
[ -z "$overlay" ] || mount -t overlay -o "$overlay" testkit "$new"
while [ "$1" != -- ]; do
    mkdir --parents "$new${1%/}"
    mount --bind "$1" "$new${1%/}"
    shift
done
shift
mount -t proc proc "$new/proc"
mount -t sysfs sysfs "$new/sys"
# The machine's mount, since a new one would set the options of all.
cgroup=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
[ -z "$cgroup" ] || mount --bind "$cgroup" "$new/sys/fs/cgroup"
! mountpoint --quiet /dev || mount --bind /dev "$new/dev"
mkdir --parents "$new/dev/pts" "$new/dev/shm"
mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts "$new/dev/pts"
mount -t tmpfs testkit "$new/dev/shm"
mount -t tmpfs -o mode=755 testkit "$new/run"
mkdir "$new/run/netns" "$new/run/machine"
# The store of records is the host's own. Only the empty directory that it is mounted on may be new on the machine.
mkdir --parents --mode=700 "$new/var/lib/criu-gc"
mount -t tmpfs -o mode=700 testkit "$new/var/lib/criu-gc"
cd "$new"
pivot_root . run/machine
umount --lazy /run/machine
rmdir /run/machine
exec "$@"
"#;

/// The machine's directories that programs of a host use.
const USED: [&str; 6] = ["/bin", "/sbin", "/lib", "/usr", "/etc", "/var/lib"];

/// All that a host uses of the machine: these programs, the tests, and what `cargo xtask setup` brought.
pub(super) fn used(programs: &[&Path]) -> Vec<PathBuf> {
    let artifacts = Artifacts::of_workspace();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = std::env::current_exe().expect("the program of the tests");
    let stub = std::env::var_os(BINARY).map(PathBuf::from);
    let brought = [artifacts.criu(), artifacts.crun(), artifacts.workload()];
    let used = USED.map(Path::new).into_iter().chain([artifacts.target(), workspace, &tests]);
    let used = used.chain(brought.iter().map(PathBuf::as_path));
    let used = used.chain(stub.as_deref()).chain(programs.iter().copied());
    used.filter_map(|path| fs::canonicalize(path).ok()).collect()
}

/// Of what a host uses, the directories that the machine's own root does not bring if the host has another one.
pub(super) fn of_tests(used: &[PathBuf]) -> Vec<PathBuf> {
    let is_of_machine = |path: &Path| USED.iter().any(|used| fs::canonicalize(used).is_ok_and(|used| path == used));
    let directory = |path: &PathBuf| {
        if path.is_dir() { path.clone() } else { path.parent().map_or_else(PathBuf::new, Path::to_owned) }
    };
    let mut all: Vec<_> = used.iter().filter(|path| !is_of_machine(path)).map(directory).collect();
    all.sort();
    all.dedup();
    let (found, mut kept) = (all.clone(), all);
    kept.retain(|path| !found.iter().any(|other| other != path && path.starts_with(other)));
    kept
}

/// The mount points of the machine that a host has too: those on the way to what it uses. `/` is the first.
pub(super) fn disks(used: &[PathBuf]) -> Vec<PathBuf> {
    on_the_way(&mount_points(), used)
}

/// Of the mount points, in their order, each once, those that one of the paths leads through.
fn on_the_way(mount_points: &[PathBuf], paths: &[PathBuf]) -> Vec<PathBuf> {
    let is_needed = |point: &PathBuf| paths.iter().any(|path| path.starts_with(point));
    let mut needed: Vec<_> = mount_points.iter().filter(|point| is_needed(point)).cloned().collect();
    // A disk is mounted before those that are mounted on it.
    needed.sort();
    needed.dedup();
    needed
}

fn mount_points() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").expect("the mount table of the machine");
    table.lines().filter_map(|line| line.split(' ').nth(1)).map(unescaped).collect()
}

/// A mount point as the kernel writes it: blanks and backslashes are octal numbers.
fn unescaped(text: &str) -> PathBuf {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    pairs.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disks_that_hold_something_needed() {
        let points = ["/proc", "/work/target", "/work", "/", "/usr", "/workshop", "/usr"].map(PathBuf::from);
        let paths = ["/usr/bin", "/work/target/criu/criu"].map(PathBuf::from);
        assert_eq!(on_the_way(&points, &paths), ["/", "/usr", "/work", "/work/target"].map(PathBuf::from));
    }

    #[test]
    fn mount_points_with_odd_names() {
        assert_eq!(unescaped("/a\\040b\\134c"), Path::new("/a b\\c"));
    }
}
