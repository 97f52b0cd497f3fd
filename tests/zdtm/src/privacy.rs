// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A /tmp and a /mnt of the host's own: tests of CRIU's suite have names in /tmp that are the same for everybody.

use std::path::{Path, PathBuf};

use testkit::TestHost;

/// Where the machine's /tmp is for a moment.
const ASIDE: &str = "/mnt/tmp";

/// Gives the host both. What is needed of the machine's /tmp stays there; says whether nothing is. Nothing of /mnt stays.
///
/// # Panics
/// If the kernel refuses.
pub(crate) fn establish(host: &TestHost, needed: &[&Path]) -> Result<bool, String> {
    if let Some(path) = needed.iter().find(|path| path.starts_with("/mnt")) {
        return Err(format!("{} is needed, and would be hidden by the /mnt of the test's host", path.display()));
    }
    let kept = entries_of_tmp(needed);
    host.run("mount", &[&"-t", &"tmpfs", &"zdtm", &"/mnt"]);
    host.run("mkdir", &[&ASIDE]);
    host.run("mount", &[&"--bind", &"/tmp", &ASIDE]);
    host.run("mount", &[&"-t", &"tmpfs", &"-o", &"mode=1777", &"zdtm", &"/tmp"]);
    for entry in &kept {
        host.run("mkdir", &[entry]);
        let aside = Path::new(ASIDE).join(entry.file_name().unwrap_or_default());
        host.run("mount", &[&"--bind", &aside, entry]);
    }
    host.run("umount", &[&ASIDE]);
    host.run("rmdir", &[&ASIDE]);
    Ok(kept.is_empty())
}

/// The directories right below /tmp that hold what is needed.
fn entries_of_tmp(needed: &[&Path]) -> Vec<PathBuf> {
    let entry = |path: &&Path| {
        let below = path.strip_prefix("/tmp").ok()?;
        Some(Path::new("/tmp").join(below.components().next()?))
    };
    let mut entries: Vec<_> = needed.iter().filter_map(entry).collect();
    entries.sort();
    entries.dedup();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_tmp_is_needed() {
        let needed = ["/home/me/work", "/tmp/a/criu/criu", "/tmp/a", "/tmpfs/c", "/tmp/b/target"].map(Path::new);
        assert_eq!(entries_of_tmp(&needed), ["/tmp/a", "/tmp/b"].map(PathBuf::from));
        assert!(entries_of_tmp(&["/srv".as_ref()]).is_empty());
    }
}
