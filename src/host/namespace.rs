// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Namespaces as `/proc` names them: the text of a link, which is read and never followed.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::proc::{has_ended, numbers_in};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Mount,
    Network,
}

impl Kind {
    /// Both.
    pub(super) const ALL: [Kind; 2] = [Kind::Mount, Kind::Network];

    /// Its name below `/proc/PID/ns`, and in the text of a link.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Mount => "mnt",
            Kind::Network => "net",
        }
    }

    /// The number in `net:[4026531840]`, if the text is of this kind.
    pub(super) fn number(self, text: &[u8]) -> Option<u64> {
        let digits = text.strip_prefix(self.name().as_bytes())?.strip_prefix(b":[")?.strip_suffix(b"]")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

/// The number of the namespace that a link such as `/proc/self/ns/pid` leads to.
pub(super) fn number_of(link: &str) -> Option<u64> {
    number(fs::read_link(link).ok()?.as_os_str())
}

/// The number in `KIND:[NUMBER]`.
pub(super) fn number(text: &OsStr) -> Option<u64> {
    let text = text.to_str()?;
    let digits = text.split_once(":[")?.1.strip_suffix(']')?;
    digits.parse().ok()
}

/// By what a namespace can be reached, and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) path: PathBuf,
    pub(super) number: u64,
}

/// The namespace that a process is in. `None` where it has ended.
pub(super) fn of_process(pid: u32, kind: Kind) -> io::Result<Option<Link>> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/{}", kind.name()));
    match fs::read_link(&path) {
        Ok(text) => Ok(kind.number(text.as_os_str().as_bytes()).map(|number| Link { path, number })),
        // A process that ends at this very moment is answered with EACCES as well.
        Err(_) if !Path::new(&format!("/proc/{pid}")).exists() => Ok(None),
        // The first thread of a process may end before the others, and has no namespace any more.
        Err(error) if has_ended(&error) => Ok(of_threads(pid, kind).into_iter().next()),
        Err(error) => Err(error),
    }
}

/// The namespaces that the threads of a process are in, the first one's included.
pub(super) fn of_threads(pid: u32, kind: Kind) -> Vec<Link> {
    let threads = numbers_in(Path::new(&format!("/proc/{pid}/task"))).unwrap_or_default();
    let link = |thread: u32| {
        let path = PathBuf::from(format!("/proc/{pid}/task/{thread}/ns/{}", kind.name()));
        let number = kind.number(fs::read_link(&path).ok()?.as_os_str().as_bytes())?;
        Some(Link { path, number })
    };
    threads.into_iter().filter_map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_its_kind_only() {
        assert_eq!(Kind::Network.number(b"net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(Kind::Mount.number(b"net:[4026531840]"), None);
        assert_eq!(Kind::Network.number(b"/net:[1]"), None);
        assert_eq!(number(OsStr::new("pid:[4026531836]")), Some(4_026_531_836));
        assert_eq!(number(OsStr::new("socket:[x]")), None);
    }

    #[test]
    fn this_process_is_in_the_namespace_of_its_threads() {
        let own = of_process(std::process::id(), Kind::Network).unwrap().unwrap();
        let threads = of_threads(std::process::id(), Kind::Network);
        assert!(!threads.is_empty() && threads.iter().all(|thread| thread.number == own.number));
    }
}
