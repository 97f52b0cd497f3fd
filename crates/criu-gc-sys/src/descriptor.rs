// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A request that returns a new descriptor.

use std::ffi::c_void;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode};

/// The request, with what the kernel writes beside: nothing, for `()`.
pub(crate) struct NewDescriptor<T> {
    opcode: Opcode,
    argument: T,
}

impl<T: Default> NewDescriptor<T> {
    /// # Safety
    /// The request has to write no more than a `T`, for which any bytes have to be valid, and to return a descriptor that
    /// it has made for the caller.
    pub(crate) unsafe fn new(opcode: Opcode) -> Self {
        NewDescriptor { opcode, argument: T::default() }
    }
}

// SAFETY: `new` demands of the request that it fits; `as_ptr` points to the whole argument.
unsafe impl<T> Ioctl for NewDescriptor<T> {
    type Output = OwnedFd;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.argument).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<OwnedFd> {
        // SAFETY: the kernel has just made this descriptor for us, so that nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(output) })
    }
}
