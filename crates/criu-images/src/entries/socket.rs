// SPDX-License-Identifier: Apache-2.0 OR MIT
//! IP sockets: entries of `files.img`, and of `inetsk.img` before CRIU 3.4; and the queues of TCP connections.
//!
//! From `images/sk-inet.proto` and `images/tcp-stream.proto`. An address that does not make sense is none: half an address is never guessed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::ByteOrder;
use crate::message::message;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const SOCK_STREAM: u32 = 1;
const IPPROTO_TCP: u32 = 6;

message! {
    /// `inet_sk_entry`: an IP socket.
    pub struct InetSkEntry {
        /// Its id, which other entries refer to.
        #[prost(uint32, required, tag = "1")]
        pub id: u32,
        /// Its inode number, which is in the name of its `tcp-stream` image.
        #[prost(uint32, required, tag = "2")]
        pub ino: u32,
        /// Its address family, `AF_…`.
        #[prost(uint32, required, tag = "3")]
        pub family: u32,
        /// CRIU's `type`, `SOCK_…`.
        #[prost(uint32, required, tag = "4")]
        pub sock_type: u32,
        /// Its protocol, `IPPROTO_…`.
        #[prost(uint32, required, tag = "5")]
        pub proto: u32,
        /// Its state, in the kernel's numbers for TCP.
        #[prost(uint32, required, tag = "6")]
        pub state: u32,
        /// Its own port.
        #[prost(uint32, required, tag = "7")]
        pub src_port: u32,
        /// The port of its peer; 0 for none.
        #[prost(uint32, required, tag = "8")]
        pub dst_port: u32,
        /// Its own address, in words of the host that dumped; see [`InetSkEntry::local`].
        #[prost(uint32, repeated, packed = "false", tag = "11")]
        pub src_addr: Vec<u32>,
        /// The address of its peer, likewise; see [`InetSkEntry::peer`].
        #[prost(uint32, repeated, packed = "false", tag = "12")]
        pub dst_addr: Vec<u32>,
        /// Its options.
        #[prost(message, optional, tag = "14")]
        pub opts: Option<SkOpts>,
        /// The network namespace it is in, by CRIU's number. Since CRIU 3.8.
        #[prost(uint32, optional, tag = "18")]
        pub ns_id: Option<u32>,
        /// The user that owns it. Since CRIU 4.3.
        #[prost(uint32, optional, tag = "21")]
        pub uid: Option<u32>,
    }
}

message! {
    /// `sk_opts_entry`: options of a socket.
    #[derive(Copy)]
    pub struct SkOpts {
        /// `SO_REUSEADDR`.
        #[prost(bool, optional, tag = "7")]
        pub reuseaddr: Option<bool>,
    }
}

message! {
    /// `unix_sk_entry`: a Unix socket.
    pub struct UnixSkEntry {
        /// Its id, which other entries refer to.
        #[prost(uint32, required, tag = "1")]
        pub id: u32,
        /// Its inode number.
        #[prost(uint32, required, tag = "2")]
        pub ino: u32,
        /// The name that it is bound to: a path, or bytes after a NUL; empty without one.
        #[prost(bytes = "vec", required, tag = "11")]
        pub name: Vec<u8>,
        /// The directory at which a relative path starts.
        #[prost(bytes = "vec", optional, tag = "14")]
        pub name_dir: Option<Vec<u8>>,
        /// Whether the name was deleted. Since CRIU 3.9.
        #[prost(bool, optional, tag = "15")]
        pub deleted: Option<bool>,
        /// The mount of the name; see [`UnixSkEntry::mount_id`]. Since CRIU 3.17.
        #[prost(sint32, optional, tag = "17")]
        pub mnt_id: Option<i32>,
    }
}

impl UnixSkEntry {
    /// The path that it is bound to; `None` for no name, and for one that is no path.
    pub fn path(&self) -> Option<Vec<u8>> {
        // The kernel counts the NUL at the end of a path.
        let name = self.name.strip_suffix(&[0]).unwrap_or(&self.name);
        match (name.first()?, &self.name_dir) {
            (0, _) => None,
            (b'/', _) => Some(name.to_vec()),
            (_, Some(directory)) => Some([directory.as_slice(), b"/", name].concat()),
            (_, None) => None,
        }
    }

    /// The mount id of its name, in the dumped mount namespace.
    pub fn mount_id(&self) -> Option<u32> {
        self.mnt_id.and_then(|id| u32::try_from(id).ok())
    }
}

message! {
    /// `tcp_stream_entry`: the queues of a TCP connection, whose content follows the record, received data first.
    #[derive(Copy)]
    pub struct TcpStreamEntry {
        /// The number of bytes that were received and not yet read.
        #[prost(uint32, required, tag = "1")]
        pub inq_len: u32,
        /// The sequence number of the next byte to receive.
        #[prost(uint32, required, tag = "2")]
        pub inq_seq: u32,
        /// The number of bytes that were written and not yet acknowledged.
        #[prost(uint32, required, tag = "3")]
        pub outq_len: u32,
        /// The sequence number after the last byte written.
        #[prost(uint32, required, tag = "4")]
        pub outq_seq: u32,
    }
}

impl InetSkEntry {
    /// Its own address, given the [byte order](crate::ImageReader::byte_order) of the image; `None` if what is recorded
    /// is not an IP address.
    ///
    /// ```
    /// use criu_images::{ByteOrder, InetSkEntry};
    ///
    /// let socket = InetSkEntry::default().with(|socket| {
    ///     socket.family = 2; // AF_INET
    ///     socket.src_addr = vec![0x0100_007f];
    ///     socket.src_port = 8080;
    /// });
    /// assert_eq!(socket.local(ByteOrder::Little), Some("127.0.0.1:8080".parse().unwrap()));
    /// ```
    pub fn local(&self, order: ByteOrder) -> Option<SocketAddr> {
        self.address(&self.src_addr, self.src_port, order)
    }

    /// The address of its peer, given the [byte order](crate::ImageReader::byte_order) of the image.
    pub fn peer(&self, order: ByteOrder) -> Option<SocketAddr> {
        self.address(&self.dst_addr, self.dst_port, order)
    }

    /// Whether CRIU takes it for a TCP connection, which it then locks and repairs.
    ///
    /// The state is not asked, because the peer may have closed it while the dump was made.
    pub fn is_tcp_connection(&self) -> bool {
        self.proto == IPPROTO_TCP && self.sock_type == SOCK_STREAM && self.dst_port != 0
    }

    fn address(&self, words: &[u32], port: u32, order: ByteOrder) -> Option<SocketAddr> {
        let port = u16::try_from(port).ok()?;
        let address: IpAddr = match (self.family, words) {
            // CRIU 0.1 wrote four words for either family.
            (AF_INET, &[first] | &[first, _, _, _]) => Ipv4Addr::from(order.bytes(first)).into(),
            (AF_INET6, &[a, b, c, d]) => ipv6([a, b, c, d], order).into(),
            _ => return None,
        };
        Some(SocketAddr::new(address, port))
    }
}

fn ipv6(words: [u32; 4], order: ByteOrder) -> Ipv6Addr {
    let mut octets = [0; 16];
    for (octets, word) in octets.chunks_exact_mut(4).zip(words) {
        octets.copy_from_slice(&order.bytes(word));
    }
    octets.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::Sealed;

    #[track_caller]
    fn check(family: u32, words: &[u32], port: u32, order: ByteOrder, expected: Option<&str>) {
        let own = InetSkEntry { family, src_addr: words.to_vec(), src_port: port, ..InetSkEntry::default() };
        assert_eq!(own.local(order).map(|address| address.to_string()).as_deref(), expected);
        let other = InetSkEntry { family, dst_addr: words.to_vec(), dst_port: port, ..InetSkEntry::default() };
        assert_eq!(other.peer(order), own.local(order));
    }

    #[test]
    fn words_are_in_the_byte_order_of_the_host() {
        let v6 = |order: ByteOrder| [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].map(|bytes| order.u32(bytes));
        check(AF_INET, &[16_777_343], 80, ByteOrder::Little, Some("127.0.0.1:80"));
        check(AF_INET, &[0x7f00_0001], 80, ByteOrder::Big, Some("127.0.0.1:80"));
        check(AF_INET6, &v6(ByteOrder::Little), 443, ByteOrder::Little, Some("[2001:db8::1]:443"));
        check(AF_INET6, &v6(ByteOrder::Big), 443, ByteOrder::Big, Some("[2001:db8::1]:443"));
    }

    #[test]
    fn four_words_may_hold_one_of_ipv4() {
        check(AF_INET, &[16_777_343, 1, 2, 3], 80, ByteOrder::Little, Some("127.0.0.1:80"));
    }

    #[test]
    fn an_address_that_makes_no_sense_is_none() {
        check(AF_INET, &[], 80, ByteOrder::Little, None);
        check(AF_INET, &[1, 2], 80, ByteOrder::Little, None);
        check(AF_INET, &[1, 2, 3, 4, 5], 80, ByteOrder::Little, None);
        check(AF_INET, &[1], 65_536, ByteOrder::Little, None);
        check(AF_INET6, &[1], 80, ByteOrder::Little, None);
        check(AF_INET6, &[1, 2, 3], 80, ByteOrder::Little, None);
        check(1, &[1], 80, ByteOrder::Little, None);
    }

    #[test]
    fn addresses_are_read_packed_or_not() {
        let words = |bytes: &[u8]| InetSkEntry::decode(bytes).unwrap().src_addr;
        assert_eq!(words(&[88, 1, 88, 2, 88, 3, 88, 4]), [1, 2, 3, 4]);
        assert_eq!(words(&[90, 4, 1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(words(&[88, 1, 90, 2, 2, 3, 88, 4]), [1, 2, 3, 4]);
    }

    #[test]
    fn a_connection_has_a_peer_and_is_tcp() {
        let is_connection = |sock_type, proto, dst_port| {
            InetSkEntry { sock_type, proto, dst_port, ..InetSkEntry::default() }.is_tcp_connection()
        };
        assert!(is_connection(1, 6, 80));
        assert!(!is_connection(1, 6, 0));
        assert!(!is_connection(2, 17, 80));
        assert!(!is_connection(1, 262, 80));
    }
}
