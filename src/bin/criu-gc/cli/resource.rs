// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The values of options that name resources outside the tree: `--external`, `-M`, `--inherit-fd`, `-J`, `--netns`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What an option names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Where the external mount of this key is: `mnt[KEY]:PATH`.
    Mount { key: Vec<u8>, path: PathBuf },
    /// Where the external network namespace of this key is: `net[KEY]:PATH`.
    NetworkNamespace { key: Vec<u8>, path: PathBuf },
    /// What this open file of the caller's stands for: `fd[N]:KEY`.
    OpenFile { number: u32, key: Vec<u8> },
    /// A network namespace to join: `net:PATH`.
    Joined { path: PathBuf },
    /// Something that matters to a restore only.
    WithoutEffect,
}

/// The kinds of `--external` that criu-gc does not need: devices, terminals, files, sockets, links of the network and
/// other namespaces.
const OTHER_KINDS: [&str; 13] =
    ["dev", "tty", "file", "unix", "veth", "macvlan", "netdev", "pid", "ipc", "uts", "user", "cgroup", "time"];
/// The kinds of `--join-ns` beside `net`.
const OTHER_NAMESPACES: [&str; 5] = ["uts", "time", "ipc", "user", "mnt"];
/// The ways to make CRIU find external mounts by itself, also shared ones and masters.
const AUTOMATIC: [&str; 4] = ["mnt[]", "mnt[]:", "mnt[]:s", "mnt[]:m"];

/// What a value should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub(crate) struct Expected(&'static str);

const EXTERNAL: Expected = Expected("mnt[KEY]:PATH, net[KEY]:PATH or another resource of criu restore");
const MOUNT_MAP: Expected = Expected("KEY:PATH or auto");
const INHERITED: Expected = Expected("fd[NUMBER]:KEY");
const JOINED: Expected = Expected("net:PATH, or another namespace of criu restore");

/// The value of `--external`.
pub(crate) fn external(text: &OsStr) -> Result<Resource, Expected> {
    let bytes = text.as_bytes();
    if AUTOMATIC.iter().any(|word| word.as_bytes() == bytes) || matches!(bytes, b"mnt[]:sm" | b"mnt[]:ms") {
        return Ok(Resource::WithoutEffect);
    }
    let bracket = bytes.iter().position(|byte| *byte == b'[').ok_or(EXTERNAL)?;
    let (kind, rest) = (&bytes[..bracket], &bytes[bracket + 1..]);
    if OTHER_KINDS.iter().any(|other| other.as_bytes() == kind) {
        let end = rest.iter().position(|byte| *byte == b']').filter(|end| *end > 0);
        return end.map(|_| Resource::WithoutEffect).ok_or(EXTERNAL);
    }
    // A key may hold anything; the path begins after the last "]:" that an absolute path can follow.
    let end = rest.windows(3).rposition(|window| window == b"]:/").or_else(|| find(rest, b"]:")).ok_or(EXTERNAL)?;
    let (key, path) = (rest[..end].to_vec(), path_of(&rest[end + 2..]));
    if key.is_empty() || path.as_os_str().is_empty() {
        return Err(EXTERNAL);
    }
    match kind {
        b"mnt" => Ok(Resource::Mount { key, path }),
        b"net" => Ok(Resource::NetworkNamespace { key, path }),
        _ => Err(EXTERNAL),
    }
}

/// The value of `-M`: for a restore the key is the name that the images have.
pub(crate) fn mount_map(text: &OsStr) -> Result<Resource, Expected> {
    if text == "auto" {
        return Ok(Resource::WithoutEffect);
    }
    let (key, path) = halves(text.as_bytes()).ok_or(MOUNT_MAP)?;
    Ok(Resource::Mount { key: key.to_vec(), path: path_of(path) })
}

/// The value of `--inherit-fd`.
pub(crate) fn inherited(text: &OsStr) -> Result<Resource, Expected> {
    if text.as_bytes().starts_with(b"debug[") {
        return Ok(Resource::WithoutEffect);
    }
    let inside = text.as_bytes().strip_prefix(b"fd[");
    let split = inside.and_then(|inside| inside.iter().position(|byte| *byte == b']').map(|end| inside.split_at(end)));
    let parsed = split.and_then(|(number, rest)| {
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        let key = rest.strip_prefix(b"]:").filter(|key| !key.is_empty())?;
        Some(Resource::OpenFile { number, key: key.to_vec() })
    });
    parsed.ok_or(INHERITED)
}

/// The value of `-J`: what follows a comma is for user namespaces, and a number is a pid.
pub(crate) fn joined(text: &OsStr) -> Result<Resource, Expected> {
    let (kind, rest) = halves(text.as_bytes()).ok_or(JOINED)?;
    if OTHER_NAMESPACES.iter().any(|other| other.as_bytes() == kind) {
        return Ok(Resource::WithoutEffect);
    }
    let file = rest.split(|byte| *byte == b',').next().unwrap_or_default();
    match kind {
        b"net" if file.is_empty() => Err(JOINED),
        b"net" if file.iter().all(u8::is_ascii_digit) => {
            let pid = String::from_utf8_lossy(file);
            Ok(Resource::Joined { path: format!("/proc/{pid}/ns/net").into() })
        }
        b"net" => Ok(Resource::Joined { path: path_of(file) }),
        _ => Err(JOINED),
    }
}

/// Where `ip netns` has a network namespace of this name; `None` for a path.
pub(crate) fn named_namespace(named: &Path) -> Option<[PathBuf; 2]> {
    let is_name =
        !named.as_os_str().as_bytes().contains(&b'/') && named.as_os_str() != "." && named.as_os_str() != "..";
    is_name.then(|| ["/run/netns", "/var/run/netns"].map(|directory| Path::new(directory).join(named)))
}

/// What is before and behind the first colon, if there is something.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b':')?;
    let (before, behind) = (&text[..at], &text[at + 1..]);
    (!before.is_empty() && !behind.is_empty()).then_some((before, behind))
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parse = fn(&OsStr) -> Result<Resource, Expected>;

    #[track_caller]
    fn check(parse: Parse, texts: &[&str], expected: Option<&Resource>) {
        for text in texts {
            assert_eq!(parse(OsStr::new(text)).ok().as_ref(), expected, "{text}");
        }
    }

    fn mount(key: &str, path: &str) -> Resource {
        Resource::Mount { key: key.into(), path: path.into() }
    }

    #[test]
    fn external_resources_are_named_as_for_restore() {
        check(external, &["mnt[/data]:/srv/x"], Some(&mount("/data", "/srv/x")));
        check(external, &["mnt[a]:b]:/c"], Some(&mount("a]:b", "/c")));
        let namespace = Resource::NetworkNamespace { key: b"extRootNetNS".to_vec(), path: "n".into() };
        check(external, &["net[extRootNetNS]:n"], Some(&namespace));
        let others = [
            "dev[k]:/dev/x",
            "tty[1:2]",
            "file[1:2]",
            "unix[3]",
            "veth[eth0]:veth0@br0",
            "macvlan[eth0]:e",
            "netdev[e]:f",
            "pid[4026531836]:extRootPidNS",
            "mnt[]",
            "mnt[]:s",
            "mnt[]:m",
            "mnt[]:sm",
        ];
        check(external, &others, Some(&Resource::WithoutEffect));
        check(external, &["", "mnt[]:/x", "mnt[a]:", "disk[a]:/x", "mnt[a]", "a:b", "net", "unix[]", "tty[1:2"], None);
    }

    #[test]
    fn a_mount_map_is_an_external_mount() {
        check(mount_map, &["vol:/srv/x"], Some(&mount("vol", "/srv/x")));
        check(mount_map, &["/data:/srv:x"], Some(&mount("/data", "/srv:x")));
        check(mount_map, &["auto"], Some(&Resource::WithoutEffect));
        check(mount_map, &["", "a", "a:", ":b"], None);
    }

    #[test]
    fn an_inherited_file_has_a_number_and_a_key() {
        let file = Resource::OpenFile { number: 3, key: b"extRootNetNS".to_vec() };
        check(inherited, &["fd[3]:extRootNetNS"], Some(&file));
        check(inherited, &["debug[2]:text"], Some(&Resource::WithoutEffect));
        check(inherited, &["fd[]:k", "fd[-1]:k", "fd[3]", "fd[3]:", "3:k", "fd[x]:k", ""], None);
    }

    #[test]
    fn a_namespace_to_join_is_a_path_or_a_pid() {
        let joined_at = |path: &str| Resource::Joined { path: path.into() };
        check(joined, &["net:/run/netns/x", "net:/run/netns/x,y"], Some(&joined_at("/run/netns/x")));
        check(joined, &["net:4711"], Some(&joined_at("/proc/4711/ns/net")));
        check(joined, &["uts:/x", "user:/x,1,2", "ipc:7"], Some(&Resource::WithoutEffect));
        check(joined, &["", "net", "net:", "pid:/x", "net:,x"], None);
    }

    #[test]
    fn a_word_is_a_name_of_ip_netns() {
        let places = named_namespace(Path::new("blue")).unwrap();
        assert_eq!(places, [Path::new("/run/netns/blue"), Path::new("/var/run/netns/blue")]);
        for path in ["./blue", "/run/netns/blue", "..", "."] {
            assert_eq!(named_namespace(Path::new(path)), None);
        }
    }
}
