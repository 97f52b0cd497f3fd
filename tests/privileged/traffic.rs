// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets as witnesses: sockets of the test's own, in the network namespaces of a host.
//!
//! A socket stays in the namespace in which it was made, so a thread goes there, makes it, and ends.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::TestHost;

/// No packet of a test is under way for longer.
const LIMIT: Duration = Duration::from_secs(20);
/// On a loopback device that lets packets pass, a connection is made within the call.
const AT_ONCE: Duration = Duration::from_millis(200);

/// A network namespace, seen from outside of the host.
#[derive(Clone, Debug)]
pub(crate) struct Net(PathBuf);

impl Net {
    /// The host's own.
    pub(crate) fn of_host(host: &TestHost) -> Self {
        Net(format!("/proc/{}/ns/net", host.init()).into())
    }

    /// The one that a path of the host names.
    pub(crate) fn at(host: &TestHost, path: &Path) -> Self {
        Net(host.path(path))
    }

    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(&self.0).expect("a network namespace");
        let enter = || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("a network namespace");
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().expect("work in a network namespace"))
    }

    /// A listener in the namespace.
    pub(crate) fn listener(&self) -> TcpListener {
        self.within(|| TcpListener::bind("127.0.0.1:0").expect("a listener"))
    }

    /// Whether a server answers to processes in the namespace, within the time that it takes where nothing is locked.
    pub(crate) fn reaches(&self, server: SocketAddr) -> bool {
        self.within(|| TcpStream::connect_timeout(&server, AT_ONCE).is_ok())
    }

    /// Whether processes in the namespace can talk with each other; panics if only some packets pass.
    pub(crate) fn lets_packets_pass(&self) -> bool {
        let passes =
            ["127.0.0.1:0", "[::1]:0"].map(|address| self.within(|| (tcp_passes(address), udp_passes(address))));
        let all = [passes[0].0, passes[0].1, passes[1].0, passes[1].1];
        assert!(all == [true; 4] || all == [false; 4], "TCP and UDP over IPv4, then over IPv6: {all:?}");
        all[0]
    }
}

fn tcp_passes(address: &str) -> bool {
    let listener = TcpListener::bind(address).expect("a listener");
    TcpStream::connect_timeout(&listener.local_addr().expect("its address"), AT_ONCE).is_ok()
}

/// What is dropped on its way out is refused by the call itself.
fn udp_passes(address: &str) -> bool {
    let socket = UdpSocket::bind(address).expect("a socket");
    match socket.send_to(b".", socket.local_addr().expect("its address")) {
        Ok(_) => {
            socket.set_read_timeout(Some(AT_ONCE)).expect("a time limit");
            socket.recv(&mut [0]).is_ok()
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            false
        }
    }
}

/// A listener outside of the tree, which is to connect to it.
pub(crate) struct Outside {
    listener: TcpListener,
    net: Net,
}

impl Outside {
    pub(crate) fn listen(net: &Net, address: &str) -> Self {
        let listener = net.within(|| TcpListener::bind(address).expect("a listener"));
        Outside { listener, net: net.clone() }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().expect("its address").to_string()
    }

    /// The end of a connection that the tree has made.
    pub(crate) fn accept(&self) -> Peer {
        let (stream, remote) = self.listener.accept().expect("the tree's connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        Peer { local: stream.local_addr().expect("its address"), stream, remote, net: self.net.clone() }
    }
}

/// The end of a connection whose other end is in the tree.
pub(crate) struct Peer {
    stream: TcpStream,
    local: SocketAddr,
    remote: SocketAddr,
    net: Net,
}

impl Peer {
    pub(crate) fn send(&mut self) {
        self.stream.write_all(b"data").expect("an open connection");
    }

    /// Waits until the kernel has sent again what was sent: nobody has answered.
    pub(crate) fn assert_gets_no_answer(&self) {
        self.await_state(|state| state.unacknowledged > 0 && state.retransmits > 0, "an answer came");
    }

    /// Waits until everything that was sent is acknowledged: packets pass both ways.
    pub(crate) fn assert_gets_an_answer(&self) {
        self.await_state(|state| state.unacknowledged == 0, "no answer came");
    }

    /// Waits for the reset.
    pub(crate) fn assert_reset(&mut self) {
        let end = self.stream.read(&mut [0]);
        assert_eq!(end.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    }

    fn await_state(&self, is_wanted: impl Fn(&SocketState) -> bool, otherwise: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let state = self.state().expect("the connection is gone");
            if is_wanted(&state) {
                return;
            }
            assert!(Instant::now() < end, "{otherwise}: {state:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The kernel's own view; `None` where the connection has ended.
    fn state(&self) -> Option<SocketState> {
        let name = if self.local.is_ipv4() { "tcp" } else { "tcp6" };
        let path = format!("/proc/thread-self/net/{name}");
        let table = self.net.within(|| std::fs::read_to_string(path)).expect("the table of sockets");
        let ports = [self.local, self.remote].map(|end| format!(":{:04X}", end.port()));
        let is_it = |words: &Vec<&str>| {
            words.get(1).is_some_and(|end| end.ends_with(&ports[0])) && words[2].ends_with(&ports[1])
        };
        let line = table.lines().map(|line| line.split_whitespace().collect()).find(is_it)?;
        let (unacknowledged, _) = line[4].split_once(':')?;
        let unacknowledged = u64::from_str_radix(unacknowledged, 16).ok()?;
        Some(SocketState { unacknowledged, retransmits: u64::from_str_radix(line[6], 16).ok()? })
    }
}

#[derive(Debug)]
struct SocketState {
    unacknowledged: u64,
    retransmits: u64,
}
