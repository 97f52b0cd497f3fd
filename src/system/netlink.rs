// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A netlink socket: questions to the kernel, and its answers.
//!
//! A socket belongs to the network namespace of the thread that opened it, for as long as it lives and wherever it
//! goes. An answer counts only if it comes from the kernel (port 0) and carries the question's sequence number; a list
//! that the kernel marks as changed while it was read (`NLM_F_DUMP_INTR`) is read again from the start, since it may
//! lack entries. What is sent is the caller's: this module knows no protocol.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

mod message;

pub use message::{Attributes, Fields, Malformed, Message, Messages, Request, array};

/// How often a list is read again that changes while it is read.
const ATTEMPTS: u32 = 10;
/// The kernel answers at once; a socket that stays silent for so long is broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The kernel fills up to 32 KiB at a time into a list's datagrams, if the reader has shown room for it.
const RECEIVE_BUFFER: usize = 64 * 1024;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Types below are netlink's own, not the protocol's.
const NLMSG_MIN_TYPE: u16 = 0x10;
/// Asks for an answer also where there is no error.
pub const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;

/// The netlink protocols that the tool speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: interfaces and addresses.
    Route,
    /// `NETLINK_SOCK_DIAG`: sockets.
    SockDiag,
    /// `NETLINK_NETFILTER`: nf_tables.
    Netfilter,
}

/// Why the kernel could not be asked, or did not give an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be made.
    #[error("cannot open a netlink socket ({protocol:?})")]
    Open {
        /// For which protocol.
        protocol: Protocol,
        /// What the kernel answered.
        source: Errno,
    },
    /// The question could not be sent.
    #[error("cannot ask the kernel to {operation}")]
    Send {
        /// What was to be done.
        operation: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
    /// The answer could not be received.
    #[error("cannot receive the kernel's answer when asked to {operation}")]
    Receive {
        /// What was to be done.
        operation: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
    /// The kernel said no.
    #[error("the kernel refused to {operation}")]
    Refused {
        /// What was to be done.
        operation: &'static str,
        /// What the kernel answered.
        source: Errno,
    },
    /// The answer is invalid.
    #[error("cannot parse the kernel's answer when asked to {operation}")]
    Malformed {
        /// What was to be done.
        operation: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The list never held still.
    #[error("cannot {operation}: it changed {attempts} times while criu-gc read it; try again later")]
    Interrupted {
        /// What was to be done.
        operation: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
}

impl Error {
    /// What the kernel said when it refused the question itself.
    pub fn refusal(&self) -> Option<Errno> {
        let Error::Refused { source, .. } = self else { return None };
        Some(*source)
    }
}

/// A socket to the kernel. It may move to another thread, but two threads cannot share it: answers would mix.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: Cell<u32>,
}

/// The protocol's messages of an answer.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
}

impl Replies {
    /// The messages, in the order in which the kernel sent them.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        Messages::new(&self.bytes).flatten()
    }

    fn add(&mut self, message: &Message<'_>) {
        self.bytes.extend(message.bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// How an answer ended.
enum End {
    Complete(Replies),
    Interrupted,
}

/// The same, of one whose messages were handed over.
enum Ended {
    Complete,
    Interrupted,
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        let failed = |source| Error::Open { protocol, source };
        let number = match protocol {
            Protocol::Route => None,
            Protocol::SockDiag => Some(netlink::SOCK_DIAG),
            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let fd =
            net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number).map_err(failed)?;
        // A connected socket takes no message from another process's socket.
        net::connect(&fd, &SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(ANSWER_LIMIT)).map_err(failed)?;
        Ok(Socket { fd, sequence: Cell::new(1) })
    }

    /// Asks one question. The answer has one message or none.
    pub fn request(&self, operation: &'static str, request: Request) -> Result<Replies, Error> {
        // With the acknowledgement every answer has an end, whether it has a message or not.
        match self.ask(operation, request.flags(NLM_F_ACK))? {
            End::Complete(replies) => Ok(replies),
            End::Interrupted => Err(Error::Interrupted { operation, attempts: 1 }),
        }
    }

    /// Asks for a list, and hands over its entries one by one: none is kept. A list that changes while it is read is an
    /// error, and what was handed over then is worth nothing.
    pub fn each<E: From<Error>>(
        &self,
        operation: &'static str,
        request: Request,
        each: impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.converse(operation, &request.flags(NLM_F_DUMP), each)? {
            Ended::Complete => Ok(()),
            Ended::Interrupted => Err(Error::Interrupted { operation, attempts: 1 }.into()),
        }
    }

    /// Asks for a list, read in one piece.
    pub fn dump(&self, operation: &'static str, request: Request) -> Result<Replies, Error> {
        let request = request.flags(NLM_F_DUMP);
        for _ in 0..ATTEMPTS {
            if let End::Complete(replies) = self.ask(operation, request.clone())? {
                return Ok(replies);
            }
        }
        Err(Error::Interrupted { operation, attempts: ATTEMPTS })
    }

    /// Takes `count` sequence numbers that follow each other, and gives the first.
    pub fn take_sequence(&self, count: u32) -> u32 {
        let first = self.sequence.get();
        self.sequence.set(first.wrapping_add(count));
        first
    }

    /// Sends messages that must reach the kernel in one piece, however many they are.
    pub fn send(&self, operation: &'static str, bytes: &[u8]) -> Result<(), Error> {
        let failed = |source| Error::Send { operation, source };
        self.make_room(bytes.len()).map_err(failed)?;
        let sent = retry_on_intr(|| net::send(&self.fd, bytes, SendFlags::empty())).map_err(failed)?;
        if sent == bytes.len() { Ok(()) } else { Err(failed(Errno::MSGSIZE)) }
    }

    /// A datagram that is there already; `None` if there is none.
    pub fn receive_now(&self) -> Result<Option<Vec<u8>>, Errno> {
        let mut buffer = Vec::new();
        match self.receive(&mut buffer, RecvFlags::DONTWAIT) {
            Ok(()) => Ok(Some(buffer)),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn ask(&self, operation: &'static str, request: Request) -> Result<End, Error> {
        let mut replies = Replies::default();
        let ended = self.converse(operation, &request, |message| {
            replies.add(message);
            Ok::<(), Error>(())
        })?;
        Ok(match ended {
            Ended::Complete => End::Complete(replies),
            Ended::Interrupted => End::Interrupted,
        })
    }

    fn converse<E: From<Error>>(
        &self,
        operation: &'static str,
        request: &Request,
        mut each: impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<Ended, E> {
        let sequence = self.take_sequence(1);
        let mut bytes = Vec::new();
        request.append_to(&mut bytes, sequence);
        self.send(operation, &bytes)?;

        let mut is_interrupted = false;
        let mut buffer = Vec::new();
        loop {
            self.receive(&mut buffer, RecvFlags::empty()).map_err(|source| Error::Receive { operation, source })?;
            for message in Messages::new(&buffer) {
                let message = message.map_err(|source| Error::Malformed { operation, source })?;
                // An answer to a question that was given up.
                if message.sequence != sequence {
                    continue;
                }
                // In an error message these flags are others (`NLM_F_CAPPED`, `NLM_F_ACK_TLVS`).
                is_interrupted |= message.kind != NLMSG_ERROR && message.flags & NLM_F_DUMP_INTR != 0;
                match outcome(&message) {
                    None if message.kind < NLMSG_MIN_TYPE => {}
                    None => each(&message)?,
                    Some(Err(source)) => return Err(Error::Refused { operation, source }.into()),
                    Some(Ok(())) if is_interrupted => return Ok(Ended::Interrupted),
                    Some(Ok(())) => return Ok(Ended::Complete),
                }
            }
        }
    }

    /// Receives one datagram whole; those that do not come from the kernel are passed over.
    fn receive(&self, buffer: &mut Vec<u8>, flags: RecvFlags) -> Result<(), Errno> {
        loop {
            // Room for what waits: an interface with many virtual functions fills more than the usual buffer.
            let (_, waiting) =
                retry_on_intr(|| net::recv(&self.fd, &mut [0u8; 0], flags | RecvFlags::PEEK | RecvFlags::TRUNC))?;
            buffer.clear();
            buffer.reserve(waiting.max(RECEIVE_BUFFER));
            let (_, length, sender) =
                retry_on_intr(|| net::recvfrom(&self.fd, spare_capacity(buffer), flags | RecvFlags::TRUNC))?;
            if length > buffer.len() {
                return Err(Errno::MSGSIZE);
            }
            let sender = sender.map(SocketAddrNetlink::try_from);
            if sender.is_some_and(|sender| sender.is_ok_and(|address| address.pid() == 0)) {
                return Ok(());
            }
        }
    }

    /// Raises the send buffer where a message needs more than it has. `SO_SNDBUFFORCE` goes beyond the system's limit
    /// and needs `CAP_NET_ADMIN`, as does everything that is as long as that.
    fn make_room(&self, length: usize) -> Result<(), Errno> {
        // The kernel keeps some of the buffer for itself (32 bytes, af_netlink.c); it doubles what it is asked for.
        let needed = length + 1024;
        if sockopt::socket_send_buffer_size(&self.fd)? >= needed {
            return Ok(());
        }
        sockopt::set_socket_send_buffer_size_force(&self.fd, needed)
            .or_else(|_| sockopt::set_socket_send_buffer_size(&self.fd, needed))
    }
}

/// What a message of netlink's own says about the question: `None` for one that is part of the answer.
pub fn outcome(message: &Message<'_>) -> Option<Result<(), Errno>> {
    match message.kind {
        // The end of a list carries an error where it could not be finished.
        NLMSG_ERROR | NLMSG_DONE => Some(match array(message.payload, 0).map(i32::from_ne_bytes) {
            Some(code @ -4095..=-1) => Err(Errno::from_raw_os_error(-code)),
            Some(0) => Ok(()),
            Some(_) => Err(Errno::BADMSG),
            None if message.kind == NLMSG_DONE => Ok(()),
            None => Err(Errno::BADMSG),
        }),
        _ => None,
    }
}
