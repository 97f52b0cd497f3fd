// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the host and the agent in the machine say to each other, over a virtio serial port: frames of a kind, a length
//! and that many bytes.

use std::io::{self, Read, Write};

/// The name of the port, as `/sys/class/virtio-ports/*/name` has it.
pub const PORT: &str = "criu-gc.agent";

/// The longest frame. A longer one means that the two sides have lost step.
const MAXIMUM: usize = 16 << 20;

/// One thing that one side says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// From the agent: it is ready.
    Ready,
    /// From the host: run this script of bash.
    Script(Vec<u8>),
    /// From the agent: a piece of the script's standard output.
    Output(Vec<u8>),
    /// From the agent: a piece of the script's standard error.
    Errors(Vec<u8>),
    /// From the agent: the script's exit status, or a signal's number, negated.
    Exit(i32),
}

impl Frame {
    /// Writes the frame.
    ///
    /// # Errors
    /// Those of the port.
    pub fn write(&self, port: &mut impl Write) -> io::Result<()> {
        let status;
        let (kind, content): (u8, &[u8]) = match self {
            Self::Ready => (b'r', b""),
            Self::Script(text) => (b's', text),
            Self::Output(bytes) => (b'o', bytes),
            Self::Errors(bytes) => (b'e', bytes),
            Self::Exit(code) => {
                status = code.to_le_bytes();
                (b'x', &status)
            }
        };
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        port.write_all(&[&[kind], length.to_le_bytes().as_slice(), content].concat())?;
        port.flush()
    }

    /// Reads the next frame; nothing where the other side has gone between two frames.
    ///
    /// # Errors
    /// Those of the port; `InvalidData` for what is no frame.
    pub fn read(port: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if port.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        port.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAXIMUM {
            return Err(invalid("too long"));
        }
        let mut content = vec![0; length];
        port.read_exact(&mut content)?;
        let frame = match kind[0] {
            b'r' => Self::Ready,
            b's' => Self::Script(content),
            b'o' => Self::Output(content),
            b'e' => Self::Errors(content),
            b'x' => Self::Exit(i32::from_le_bytes(content.try_into().map_err(|_| invalid("an odd status"))?)),
            _ => return Err(invalid("of no known kind")),
        };
        Ok(Some(frame))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame is {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        let frames = [Frame::Ready, Frame::Script(b"true".to_vec()), Frame::Output(vec![]), Frame::Exit(-9)];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut bytes).expect("memory"));
        let mut rest = bytes.as_slice();
        for frame in frames {
            assert_eq!(Frame::read(&mut rest).expect("a frame"), Some(frame));
        }
        assert_eq!(Frame::read(&mut rest).expect("the end"), None);
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for bytes in [b"o\xff\xff\xff\xff".as_slice(), b"z\0\0\0\0", b"x\x01\0\0\0a", b"o\x05\0\0\0ab"] {
            assert!(Frame::read(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
