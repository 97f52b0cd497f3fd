// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a running process is, as `/proc` and its own descriptors show it: what its threads block, what its code is, its TCP
//! connections, its control groups. Reading changes nothing, and stops nobody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, getpeername, getsockname, sockopt};

use super::descriptors::inode_of_socket;
use super::proc::{numbers_in, read_file};
use super::sockets::{duplicate, open_process};
use super::watched::answer;
use crate::connection::Connection;
use crate::system::netns::{self, NetNamespace};

/// How much of the start of a mapping of code is compared: what CRIU overwrites.
pub const CODE_SIZE: usize = 16;
/// The mapping of the kernel's own code, which begins with an ELF header of this size.
const VDSO: &[u8] = b"[vdso]";
const ELF_HEADER: usize = 64;
/// What the mappings of most processes take: the kernel forms as many lines as a read has room for.
const USUAL_MAPS: usize = 16 * 1024;
/// A process has no more mappings than this (`vm.max_map_count` is 65,530).
const MAPS_LIMIT: u64 = 64 * 1024 * 1024;

/// A thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// Its id here.
    pub id: u32,
    /// Its id in its own pid namespace.
    pub inner_id: u32,
    /// The signals that it blocks, the first in the lowest bit.
    pub blocked: u64,
    /// Who traces it.
    pub tracer: Option<u32>,
}

/// A mapping of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// Where in the file.
    pub offset: u64,
    /// The device and the inode of the file, as in `00:01 4711`.
    pub file: Vec<u8>,
    /// The permissions, as in `r-xp`.
    pub permissions: Vec<u8>,
    /// The file, as the process sees it.
    pub name: Vec<u8>,
}

/// The first bytes of a mapping, and what the mapped file has there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// What the process would run.
    pub in_memory: [u8; CODE_SIZE],
    /// What the file has.
    pub in_file: [u8; CODE_SIZE],
}

/// Why the code of a process could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// Its memory cannot be read.
    #[error("cannot read its memory")]
    Memory(#[source] io::Error),
    /// The mapped file cannot be read.
    #[error("cannot read {file}")]
    File {
        /// Which one.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The filesystem of the mapped file does not answer.
    #[error("{0} does not answer")]
    Silent(String),
}

/// A TCP or Unix socket of a process.
#[derive(Debug)]
pub struct Socket {
    /// The descriptor in the process.
    pub descriptor: i32,
    /// Its inode, which all processes that share it have in common.
    pub inode: u64,
    /// Its two ends; nothing for one that is not connected.
    pub connection: Option<Connection>,
    /// Whether it is in `TCP_REPAIR`.
    pub is_in_repair: bool,
    /// Where `MSG_PEEK` reads next.
    pub peek_offset: Option<i32>,
    /// The same socket here.
    pub socket: OwnedFd,
}

/// The threads of a process, without a first one that has ended before the others.
pub fn threads(pid: u32) -> io::Result<Vec<Thread>> {
    let directory = PathBuf::from(format!("/proc/{pid}/task"));
    let thread = |id: u32| parse_thread(id, &read_file(&directory.join(format!("{id}/status"))).ok()?);
    Ok(numbers_in(&directory)?.into_iter().filter_map(thread).collect())
}

fn parse_thread(id: u32, status: &[u8]) -> Option<Thread> {
    let text = String::from_utf8_lossy(status);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let has_ended = value("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    (!has_ended).then(|| Thread {
        id,
        inner_id: value("NSpid:").and_then(|pids| pids.split_whitespace().last()?.parse().ok()).unwrap_or(id),
        blocked: value("SigBlk:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default(),
        tracer: value("TracerPid:").and_then(|tracer| tracer.parse().ok()).filter(|tracer| *tracer != 0),
    })
}

/// The parent of each of these processes.
pub fn parents(pids: impl IntoIterator<Item = u32>) -> BTreeMap<u32, u32> {
    let parent = |pid: u32| {
        let status = read_file(format!("/proc/{pid}/status").as_ref()).ok()?;
        let text = String::from_utf8_lossy(&status);
        text.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    pids.into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect()
}

/// The number of the pid namespace, and of the network namespace, of a process.
pub fn namespaces(pid: u32) -> Option<(u64, u64)> {
    let number = |kind: &str| super::namespace::number_of(&format!("/proc/{pid}/ns/{kind}"));
    Some((number("pid")?, number("net")?))
}

/// The mappings of files with code, and those of a memory file of CRIU.
pub fn mappings(pid: u32) -> io::Result<Vec<Mapping>> {
    let mut text = Vec::with_capacity(USUAL_MAPS);
    io::Read::read_to_end(&mut io::Read::take(File::open(format!("/proc/{pid}/maps"))?, MAPS_LIMIT), &mut text)?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse_mapping).filter(Mapping::matters).collect())
}

fn parse_mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let (range, permissions, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (device, inode, name) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
    let hexadecimal = |text: &[u8]| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
    let dash = range.iter().position(|byte| *byte == b'-')?;
    Some(Mapping {
        start: hexadecimal(&range[..dash])?,
        end: hexadecimal(&range[dash + 1..])?,
        offset: hexadecimal(offset)?,
        file: [device, inode].join(&b' '),
        permissions: permissions.to_owned(),
        name: name.trim_ascii_start().to_owned(),
    })
}

impl Mapping {
    /// Whether CRIU made it for the code that it runs in the process.
    pub fn is_of_criu(&self) -> bool {
        self.name == b"/memfd:CRIUMFD (deleted)"
    }

    /// Whether it is the memory that the tasks of a restore share until they run.
    pub fn is_of_restore(&self) -> bool {
        self.name == b"/dev/zero (deleted)" && self.permissions.starts_with(b"rw-s")
    }

    fn matters(&self) -> bool {
        let is_private_code = self.permissions.starts_with(b"r-xp") || self.permissions.starts_with(b"rwxp");
        let has_original = self.name.starts_with(b"/") || self.name == VDSO;
        self.is_of_criu() || self.is_of_restore() || is_private_code && has_original
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// The kernel's link to the mapped file, whatever has its name by now.
    fn link(&self, pid: u32) -> PathBuf {
        PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end))
    }

    /// The first bytes of the code that the kernel maps into each process, as this process has them. `None` if the process has
    /// that of another architecture: all but the first bytes must be equal.
    fn own_vdso(&self, memory: &File) -> Option<[u8; CODE_SIZE]> {
        let own = mappings(std::process::id()).ok()?.into_iter().find(|mapping| mapping.name == VDSO)?;
        let (mut theirs, mut ours) = ([0; ELF_HEADER], [0; ELF_HEADER]);
        memory.read_exact_at(&mut theirs, self.start).ok()?;
        File::open("/proc/self/mem").ok()?.read_exact_at(&mut ours, own.start).ok()?;
        (theirs[CODE_SIZE..] == ours[CODE_SIZE..]).then(|| ours.first_chunk().copied())?
    }

    /// Its first bytes, here and in the file that is mapped. `None` for what is not a regular file, or is shorter.
    pub fn code(&self, pid: u32) -> Result<Option<Code>, CodeError> {
        let mut in_memory = [0; CODE_SIZE];
        let memory = File::open(format!("/proc/{pid}/mem")).map_err(CodeError::Memory)?;
        memory.read_exact_at(&mut in_memory, self.start).map_err(CodeError::Memory)?;
        if !may_be_overwritten(&in_memory) {
            // Then the file is not asked, which may be on one that does not answer.
            return Ok(Some(Code { in_memory, in_file: in_memory }));
        }
        if self.name == VDSO {
            return Ok(self.own_vdso(&memory).map(|in_file| Code { in_memory, in_file }));
        }
        let (link, offset) = (self.link(pid), self.offset);
        let read = answer(&[Path::new("/")], move || -> io::Result<Option<[u8; CODE_SIZE]>> {
            if !fs::metadata(&link)?.is_file() {
                return Ok(None);
            }
            let mut in_file = [0; CODE_SIZE];
            File::open(&link)?.read_exact_at(&mut in_file, offset)?;
            Ok(Some(in_file))
        });
        match read {
            Some(Ok(in_file)) => Ok(in_file.map(|in_file| Code { in_memory, in_file })),
            Some(Err(source)) => Err(CodeError::File { file: self.text(), source }),
            None => Err(CodeError::Silent(self.text())),
        }
    }
}

/// The system call and the name that CRIU puts into a process (`compel`), each of which fills eight bytes: `syscall; int3 …`
/// of x86-64, and the name of its memory file.
pub const OVERWRITTEN_BY: [[u8; 8]; 2] = [[0x0f, 0x05, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc], *b"CRIUMFD\0"];

fn may_be_overwritten(code: &[u8; CODE_SIZE]) -> bool {
    code.chunks_exact(8).any(|word| OVERWRITTEN_BY.iter().any(|pattern| word == pattern))
}

/// The TCP and Unix sockets of a process. The error: its sockets may not be duplicated.
pub fn sockets(pid: u32) -> Result<Vec<Socket>, Errno> {
    let process = open_process(pid)?;
    let mut found = Vec::new();
    for (descriptor, inode) in list_sockets(pid)? {
        match duplicate(&process, (descriptor, inode)) {
            Ok(duplicate) => found.extend(socket(descriptor, inode, duplicate)),
            // It was closed meanwhile.
            Err(Errno::BADF | Errno::STALE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn socket(descriptor: i32, inode: u64, socket: OwnedFd) -> Option<Socket> {
    let is_in_repair = match sockopt::socket_domain(&socket).ok()? {
        AddressFamily::UNIX => false,
        AddressFamily::INET | AddressFamily::INET6 if sockopt::socket_type(&socket) == Ok(SocketType::STREAM) => {
            // Of any other kind of socket the kernel refuses the question.
            criu_gc_sys::tcp_repair(&socket).ok()?
        }
        _ => return None,
    };
    let local: Option<SocketAddr> = getsockname(&socket).ok().and_then(|address| address.try_into().ok());
    let peer: Option<SocketAddr> = getpeername(&socket).ok().flatten().and_then(|address| address.try_into().ok());
    let connection = local.zip(peer).map(|(local, peer)| Connection { local, peer });
    let peek_offset = criu_gc_sys::peek_offset(&socket).ok();
    Some(Socket { descriptor, inode, connection, is_in_repair, peek_offset, socket })
}

/// Whether a TCP socket of a process is in `TCP_REPAIR`. Each is duplicated for a moment only. `known` are its sockets, by
/// descriptor and inode number, where they have been read. The error: they may not be duplicated.
pub fn has_socket_in_repair(pid: u32, known: Option<&[(i32, u64)]>) -> Result<bool, Errno> {
    let read;
    let sockets = match known {
        Some(known) => known,
        None => {
            read = list_sockets(pid)?;
            &read
        }
    };
    if sockets.is_empty() {
        return Ok(false);
    }
    let process = open_process(pid)?;
    for socket in sockets {
        match duplicate(&process, *socket) {
            Ok(socket) if is_in_repair(&socket) => return Ok(true),
            Ok(_) | Err(Errno::BADF | Errno::STALE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// The sockets of a process, by descriptor and inode number.
fn list_sockets(pid: u32) -> Result<Vec<(i32, u64)>, Errno> {
    let directory = PathBuf::from(format!("/proc/{pid}/fd"));
    let descriptors = numbers_in(&directory).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let socket = |descriptor: u32| {
        let inode = inode_of_socket(&directory.join(descriptor.to_string()))?;
        Some((i32::try_from(descriptor).ok()?, inode))
    };
    Ok(descriptors.into_iter().filter_map(socket).collect())
}

fn is_in_repair(socket: &OwnedFd) -> bool {
    let is_internet = matches!(sockopt::socket_domain(socket), Ok(AddressFamily::INET | AddressFamily::INET6));
    is_internet
        && sockopt::socket_type(socket) == Ok(SocketType::STREAM)
        && criu_gc_sys::tcp_repair(socket).unwrap_or_default()
}

/// One socket of a process, once more; `None` if the descriptor is another's by now.
pub fn same_socket(pid: u32, descriptor: i32, inode: u64) -> Result<Option<Socket>, Errno> {
    match duplicate(&open_process(pid)?, (descriptor, inode)) {
        Ok(duplicate) => Ok(socket(descriptor, inode, duplicate)),
        Err(Errno::BADF | Errno::STALE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The network namespace of a process.
pub fn network_of_process(pid: u32) -> Result<NetNamespace, netns::Error> {
    netns::open(format!("/proc/{pid}/ns/net").as_ref())
}

/// How long after the boot a process started; `None` if it has ended.
pub fn started(pid: u32) -> Option<std::time::Duration> {
    let stat = super::stat::Stat::parse(&read_file(format!("/proc/{pid}/stat").as_ref()).ok()?)?;
    (!matches!(stat.state, b'Z' | b'X')).then(|| std::time::Duration::from_millis(stat.ticks.saturating_mul(10)))
}

/// Whether two paths lead to the same directory.
pub fn is_same_directory(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some_and(|id| Some(id) == identity(other))
}

/// The network namespace of a socket, which need not be that of its process.
pub fn network_of(socket: &OwnedFd) -> Result<NetNamespace, netns::Error> {
    let name = Path::new("of a socket");
    let opened = criu_gc_sys::socket_namespace(socket);
    let file = opened.map_err(|source| netns::Error::Open { path: name.to_owned(), source })?;
    netns::open_found(file, name)
}

/// The number of the network namespace of a socket.
pub fn network_number(socket: &OwnedFd) -> Option<u64> {
    let file = criu_gc_sys::socket_namespace(socket).ok()?;
    rustix::fs::fstat(&file).ok().map(|namespace| namespace.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_from_its_status() {
        let status = b"Name:\tx\nTracerPid:\t0\nNSpid:\t901\t17\nSigBlk:\tfffffffffffbfeef\n";
        let expected = Thread { id: 901, inner_id: 17, blocked: 0xffff_ffff_fffb_feef, tracer: None };
        assert_eq!(parse_thread(901, status), Some(expected));
        assert_eq!(parse_thread(9, b"TracerPid:\t4\n").and_then(|thread| thread.tracer), Some(4));
        assert_eq!(parse_thread(9, b"State:\tZ (zombie)\nTracerPid:\t4\n"), None);
    }

    #[test]
    fn mappings_of_code_and_of_criu_are_kept() {
        let line = |text: &str| parse_mapping(text.as_bytes()).filter(Mapping::matters);
        let code = line("55e0-55f0 r-xp 00002000 fe:00 12 /usr/bin/a b").unwrap();
        assert_eq!(
            (code.start, code.end, code.offset, code.name.as_slice()),
            (0x55e0, 0x55f0, 0x2000, &b"/usr/bin/a b"[..])
        );
        assert!(line("7f00-7f10 r-xs 00000000 00:01 5 /memfd:CRIUMFD (deleted)").unwrap().is_of_criu());
        assert!(line("1-2 r-xp 0 00:00 0 [vdso]").is_some());
        for other in ["1-2 r--p 0 fe:00 1 /a", "1-2 r--p 0 00:00 0 [vvar]", "1-2 rw-p 0 00:00 0 ", "x"] {
            assert_eq!(line(other), None, "{other}");
        }
    }

    #[test]
    fn this_process_has_the_code_of_its_file() {
        let own = std::process::id();
        let mapping = mappings(own).unwrap().into_iter().find(|mapping| mapping.name.starts_with(b"/")).unwrap();
        let code = mapping.code(own).unwrap().unwrap();
        assert_eq!(code.in_memory, code.in_file);
    }

    #[test]
    fn a_socket_of_this_process_is_not_in_repair() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let sockets = match sockets(std::process::id()) {
            Ok(sockets) => sockets,
            Err(error) => return assert_eq!(error, Errno::PERM),
        };
        let connection = Connection { local: client.local_addr().unwrap(), peer: address };
        let own = sockets.iter().find(|socket| socket.connection == Some(connection)).unwrap();
        assert!(!own.is_in_repair);
    }
}
