// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tests have to know of the kernel that they run on.

/// The variable of the C library that switches off what the kernel cannot tell CRIU, and its value.
pub(crate) const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

/// The first kernel that tells CRIU which memory a thread has registered for restartable sequences
/// (`PTRACE_GET_RSEQ_CONFIGURATION`).
const TELLS_RSEQ: (u32, u32) = (5, 13);

/// What a program that is to be dumped needs in its environment. On kernels before 5.13 no program can be dumped that
/// has registered restartable sequences, as the C library does since 2.35.
pub(crate) fn environment() -> Option<(&'static str, &'static str)> {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    version(&release).is_some_and(|version| version < TELLS_RSEQ).then_some(TUNABLES)
}

/// The first two numbers of what `uname -r` prints.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_versions() {
        assert_eq!(version("5.10.0-32-cloud-amd64"), Some((5, 10)));
        assert_eq!(version("7.2.12+deb14-cloud-amd64"), Some((7, 2)));
        assert_eq!(version("unknown"), None);
    }
}
