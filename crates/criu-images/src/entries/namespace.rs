// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Namespaces and the network interfaces in them: `netns-<id>.img`, `netdev-<id>.img` and `pidns-<id>.img`.
//!
//! From `images/netdev.proto` and `images/pidns.proto`. Nothing here names a namespace of the host: an external one is
//! known by the key that the user of CRIU gave it.

use crate::message::message;
use crate::raw_enum::raw_enum;

message! {
    /// `netns_entry`: a network namespace. Since CRIU 1.6.
    pub struct NetNsEntry {
        /// The user's key for it, if it is external. Since CRIU 3.11.
        #[prost(bytes = "vec", optional, tag = "8")]
        pub ext_key: Option<Vec<u8>>,
    }
}

message! {
    /// `pidns_entry`: a pid namespace. Since CRIU 3.15.
    pub struct PidNsEntry {
        /// The user's key for it, if it is external.
        #[prost(bytes = "vec", optional, tag = "1")]
        pub ext_key: Option<Vec<u8>>,
    }
}

message! {
    /// `net_device_entry`: a network interface.
    pub struct NetDeviceEntry {
        /// CRIU's `type`; see [`NetDeviceEntry::device_type`].
        #[prost(int32, required, tag = "1")]
        pub kind: i32,
        /// Its index.
        #[prost(uint32, required, tag = "2")]
        pub ifindex: u32,
        /// Its name.
        #[prost(bytes = "vec", required, tag = "5")]
        pub name: Vec<u8>,
        /// Its hardware address; empty where it has none, or none was recorded.
        #[prost(bytes = "vec", tag = "7")]
        pub address: Vec<u8>,
    }
}

impl NetDeviceEntry {
    /// What interface it is.
    pub fn device_type(&self) -> NetDeviceType {
        self.kind.into()
    }
}

raw_enum! {
    /// `enum nd_type`: what a network interface is.
    pub enum NetDeviceType: i32 {
        /// The loopback interface.
        Loopback = 1,
        /// One end of a pair.
        Veth = 2,
        /// TUN or TAP.
        Tun = 3,
        /// One that exists outside the dump.
        ExtLink = 4,
        /// One of OpenVZ.
        Venet = 5,
        /// A bridge.
        Bridge = 6,
        /// A macvlan.
        Macvlan = 7,
        /// A tunnel of IPv6 in IPv4.
        Sit = 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::Sealed;

    #[track_caller]
    fn check(kind: u8, expected: NetDeviceType) {
        let bytes = [8, kind, 16, 4, 42, 3, b'e', b'0', 0xff, 58, 2, 0xaa, 0xbb];
        let device = NetDeviceEntry::decode(&bytes[..]).unwrap();
        assert_eq!((device.device_type(), device.ifindex), (expected, 4));
        assert_eq!((device.name.as_slice(), device.address.as_slice()), (&b"e0\xff"[..], &[0xaa, 0xbb][..]));
    }

    #[test]
    fn an_interface_of_a_type_without_a_name_is_kept() {
        check(1, NetDeviceType::Loopback);
        check(2, NetDeviceType::Veth);
        check(99, NetDeviceType::Unknown(99));
    }

    #[test]
    fn an_empty_key_is_not_an_absent_one() {
        assert_eq!(NetNsEntry::decode(&[66, 0][..]).unwrap().ext_key, Some(Vec::new()));
        assert_eq!(NetNsEntry::decode(&[8, 1][..]).unwrap().ext_key, None);
        assert_eq!(PidNsEntry::decode(&[10, 1, b'k'][..]).unwrap().ext_key, Some(vec![b'k']));
    }
}
