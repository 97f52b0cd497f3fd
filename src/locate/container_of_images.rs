// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which container the images themselves name: by its control group, or its root directory.

use std::io::Read;

use super::folder::Folder;
use crate::system::author::Author;

/// The image of control groups.
const GROUPS: &str = "cgroup.img";
/// No image of mounts or control groups is searched further.
const SEARCHED: u64 = 1024 * 1024;

/// A container that images name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContainerOfImages {
    /// Docker's, by its id. Only root can have written that, and it is no archive, whose maker is another.
    Docker(String),
    /// LXC's, by its name.
    Lxc(String),
}

impl ContainerOfImages {
    /// The container of these images, if they name one.
    pub(super) fn of(images: &Folder) -> Option<Self> {
        let names = images.names().ok()?;
        let names = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
        let mounts = names.filter(|name| name.starts_with("mountpoints-"));
        [GROUPS].into_iter().chain(mounts).find_map(|name| Self::in_image(images, name))
    }

    fn in_image(images: &Folder, name: &str) -> Option<Self> {
        let file = images.open(name).ok()??;
        let is_hosts = images.host().is_some() && file.author == Author::Trusted;
        let mut content = Vec::new();
        file.take(SEARCHED).read_to_end(&mut content).ok()?;
        let docker = if name == GROUPS && is_hosts { docker_id_in(&content) } else { None };
        docker.map(ContainerOfImages::Docker).or_else(|| lxc_name_in(&content).map(ContainerOfImages::Lxc))
    }
}

/// By its control group, `/lxc.payload.NAME`, or its root directory, `/lxc/NAME/rootfs`.
fn lxc_name_in(content: &[u8]) -> Option<String> {
    for (before, behind) in [("/lxc.payload.", ""), ("/lxc/", "/rootfs")] {
        let places = content.windows(before.len()).enumerate().filter(|(_, window)| *window == before.as_bytes());
        for (at, _) in places {
            let rest = &content[at + before.len()..];
            let is_of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            let name: Vec<u8> = rest.iter().take_while(is_of_name).copied().collect();
            if !name.is_empty() && rest[name.len()..].starts_with(behind.as_bytes()) {
                return String::from_utf8(name).ok();
            }
        }
    }
    None
}

/// By its control group: `/docker/ID`, or `/system.slice/docker-ID.scope` with systemd. A container in that container has
/// another one below.
fn docker_id_in(content: &[u8]) -> Option<String> {
    const DIGITS: usize = 64;
    for (before, behind) in [(&b"/docker/"[..], &b""[..]), (b"/system.slice/docker-", b".scope")] {
        let path = before.len() + DIGITS + behind.len();
        // The length of a text precedes it.
        let texts = content.windows(1 + path).filter(|text| usize::from(text[0]) == path);
        let ids = texts.filter_map(|text| text[1..].strip_prefix(before)?.strip_suffix(behind));
        let mut ids = ids.filter(|id| id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        if let Some(id) = ids.next() {
            let is_only = ids.all(|other| other == id);
            return if is_only { String::from_utf8(id.to_vec()).ok() } else { None };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_lxc_is_known_by_its_control_group_or_root_directory() {
        for (content, name) in [
            (&b"\x08\x01\x12\x0f/lxc.payload.c1\x1a"[..], Some("c1")),
            (b"\x22/var/lib/lxc/web-1/rootfs\x2a", Some("web-1")),
            (b"\x22/srv/lxc/web-1/data\x2a", None),
            (b"/lxc//rootfs", None),
            (b"/lxc.payload.", None),
            (b"", None),
        ] {
            assert_eq!(lxc_name_in(content).as_deref(), name, "{}", content.escape_ascii());
        }
    }

    #[test]
    fn a_container_of_docker_is_known_by_the_whole_path_of_its_control_group() {
        let (id, other) = ("0123456789abcdef".repeat(4), "f".repeat(64));
        let text = |path: String| [&[0x12, u8::try_from(path.len()).unwrap()][..], path.as_bytes(), b"\x1a"].concat();
        let [plain, systemd] = [format!("/docker/{id}"), format!("/system.slice/docker-{id}.scope")];
        let check = |content: &[u8], expected: Option<&str>| {
            assert_eq!(docker_id_in(content).as_deref(), expected, "{}", content.escape_ascii());
        };
        for path in [&plain, &systemd] {
            check(&text(path.clone()), Some(&id));
            check(&[text(path.clone()), text(path.clone())].concat(), Some(&id));
            check(&text(format!("{path}/init.scope")), None);
            check(&text(format!("/docker/{other}{path}")), None);
        }
        check(&[text(plain), text(format!("/docker/{other}"))].concat(), None);
        check(&text(format!("/docker/{}", id.to_uppercase())), None);
        check(b"", None);
    }
}
