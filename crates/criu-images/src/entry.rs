// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which message the records of each kind of image hold.

use std::fmt::Debug;

use crate::ImageKind;
use crate::message::Field;

/// A message that is the record of an image.
///
/// Each kind of image holds one type of message, and the type determines the kind: an image cannot be decoded as the
/// messages of another. The trait is sealed.
///
/// ```
/// use criu_images::{Entry, ImageKind, Inventory};
///
/// assert_eq!(Inventory::KIND, ImageKind::Inventory);
/// assert_eq!(Inventory::KIND.file_name(0), "inventory.img");
/// ```
pub trait Entry: sealed::Sealed + Clone + Debug + Default + PartialEq {
    /// The kind of image whose records these are.
    const KIND: ImageKind;
}

pub(crate) mod sealed {
    /// Decoding and encoding, which only this crate does.
    pub trait Sealed: Sized {
        fn decode(bytes: &[u8]) -> Result<Self, String>;
        fn encode(&self) -> Vec<u8>;
    }
}

impl<M> sealed::Sealed for M
where
    M: Field<Wire: prost::Message + Default> + Clone,
{
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let wire = <M::Wire as prost::Message>::decode(bytes).map_err(|error| error.to_string())?;
        Ok(M::from_wire(wire))
    }

    fn encode(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&self.clone().into_wire())
    }
}

macro_rules! entries {
    ($($kind:ident: $message:ident,)+) => {
        $(
            impl Entry for crate::$message {
                const KIND: ImageKind = ImageKind::$kind;
            }
        )+

        #[cfg(test)]
        const KINDS: &[ImageKind] = &[$(ImageKind::$kind),+];
    };
}

entries! {
    Inventory: Inventory,
    Pstree: PstreeEntry,
    Ids: TaskKobjIds,
    Core: CoreEntry,
    Mm: MmEntry,
    Files: FileEntry,
    RegFiles: RegFileEntry,
    InetSockets: InetSkEntry,
    RemapFilePath: RemapFilePathEntry,
    GhostFile: GhostFileEntry,
    Mountpoints: MntEntry,
    NetNs: NetNsEntry,
    NetDevices: NetDeviceEntry,
    Stats: StatsEntry,
    TcpStream: TcpStreamEntry,
    PidNs: PidNsEntry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_image_has_its_message() {
        assert_eq!(KINDS, ImageKind::ALL);
    }
}
