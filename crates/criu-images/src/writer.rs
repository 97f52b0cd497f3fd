// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes images: for tests of programs that read them, and for programs that change them.

use std::io::{self, Write};
use std::marker::PhantomData;

use crate::{ByteOrder, Entry, Framing, RECORD_LIMIT};

/// Writes one image: the records of type `E` to `W`.
///
/// The fields that this crate does not know are not written, so an image that was read and is written again is smaller
/// than CRIU's, and mostly lacks fields that `criu restore` requires.
///
/// ```
/// use criu_images::{ImageReader, ImageWriter, RemapFilePathEntry};
///
/// let mut writer = ImageWriter::new(Vec::new())?;
/// writer.write(&RemapFilePathEntry::default().with(|remap| (remap.orig_id, remap.remap_id) = (12, 13)))?;
/// let image = writer.into_inner();
///
/// let records: Result<Vec<_>, _> = ImageReader::<_, RemapFilePathEntry>::open(image.as_slice())?.collect();
/// let records = records?;
/// assert_eq!((records.len(), records[0].entry.remap_id), (1, 13));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImageWriter<W, E> {
    sink: W,
    byte_order: ByteOrder,
    entry: PhantomData<fn(&E)>,
}

impl<W: Write, E: Entry> ImageWriter<W, E> {
    /// Begins an image as the current CRIU does on this machine.
    pub fn new(sink: W) -> io::Result<Self> {
        ImageWriter::with_format(sink, Framing::TwoMagics, ByteOrder::NATIVE)
    }

    /// Begins an image as another version of CRIU did, or one on another machine.
    pub fn with_format(mut sink: W, framing: Framing, byte_order: ByteOrder) -> io::Result<Self> {
        sink.write_all(&framing.head(E::KIND, byte_order))?;
        Ok(ImageWriter { sink, byte_order, entry: PhantomData })
    }

    /// Writes a record. Nothing of it is written if it would be longer than [`RECORD_LIMIT`].
    pub fn write(&mut self, entry: &E) -> io::Result<()> {
        let content = entry.encode();
        let length = u32::try_from(content.len()).ok().filter(|length| *length <= RECORD_LIMIT);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the record is too long"))?;
        self.sink.write_all(&self.byte_order.bytes(length))?;
        self.sink.write_all(&content)
    }

    /// The sink, for what follows the record of some [kinds](crate::ImageKind::has_payload), or because all is written.
    pub fn into_inner(self) -> W {
        self.sink
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Inventory, PstreeEntry, RegFileEntry};

    /// A tree of one process.
    fn tree(framing: Framing, order: ByteOrder) -> Vec<u8> {
        let mut writer = ImageWriter::with_format(Vec::new(), framing, order).unwrap();
        writer.write(&PstreeEntry { pid: 5, ..PstreeEntry::default() }).unwrap();
        writer.into_inner()
    }

    #[test]
    fn an_image_has_the_head_of_its_version_and_the_byte_order_of_its_host() {
        let record = [8, 5, 16, 0, 24, 0, 32, 0];
        let image = |head: &[u8], length: [u8; 4]| [head, &length, &record].concat();
        assert_eq!(tree(Framing::OneMagic, ByteOrder::Little), image(b"00'P", [8, 0, 0, 0]));
        assert_eq!(tree(Framing::TwoMagics, ByteOrder::Little), image(b"\x19CVT00'P", [8, 0, 0, 0]));
        assert_eq!(tree(Framing::TwoMagics, ByteOrder::Big), image(b"TVC\x19P'00", [0, 0, 0, 8]));
    }

    #[test]
    fn an_inventory_has_one_magic_number() {
        let writer = ImageWriter::<_, Inventory>::with_format(Vec::new(), Framing::TwoMagics, ByteOrder::Big).unwrap();
        assert_eq!(writer.into_inner(), 0x5831_3116_u32.to_be_bytes());
    }

    #[test]
    fn a_record_that_no_reader_would_take_is_not_written() {
        let mut writer = ImageWriter::new(Vec::new()).unwrap();
        let file = RegFileEntry { name: vec![b'x'; RECORD_LIMIT as usize], ..RegFileEntry::default() };
        assert_eq!(writer.write(&file).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(writer.into_inner().len(), 8);
    }
}
