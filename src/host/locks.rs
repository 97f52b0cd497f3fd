// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who holds a lock that is in the way, for people.

/// A process that has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its name, which it may choose.
    pub name: Vec<u8>,
}

/// A process that has a lock on the file with this device and inode number; `None` where the kernel shows none, which
/// it does for those of another pid namespace.
pub fn holder_of_lock(device: (u32, u32), inode: u64) -> Option<Holder> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| holder_in(line, device, inode))?;
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim_ascii_end().to_owned() })
}

/// The pid in a line such as `1: FLOCK  ADVISORY  WRITE 4711 fe:00:746848 0 EOF`.
fn holder_in(line: &str, device: (u32, u32), inode: u64) -> Option<u32> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let mut words = words.skip(2);
    let pid = words.next()?.parse().ok()?;
    let mut place = words.next()?.split(':');
    let mut hexadecimal = || u32::from_str_radix(place.next()?, 16).ok();
    let found = (hexadecimal()?, hexadecimal()?);
    (found == device && place.next()?.parse() == Ok(inode)).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_told() {
        assert_eq!(holder_in("2: FLOCK  ADVISORY  WRITE 4711 fe:0a:746848 0 EOF", (254, 10), 746_848), Some(4711));
        assert_eq!(holder_in("2: FLOCK  ADVISORY  WRITE 4711 fe:0a:746848 0 EOF", (254, 10), 746_849), None);
        assert_eq!(holder_in("2: POSIX  ADVISORY  WRITE 4711 fe:0a:746848 0 EOF", (254, 10), 746_848), None);
        assert_eq!(holder_in("2: -> FLOCK  ADVISORY  WRITE 4711 fe:0a:746848 0 EOF", (254, 10), 746_848), None);
        assert_eq!(holder_in("", (254, 10), 746_848), None);
    }
}
