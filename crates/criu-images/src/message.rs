// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages: each is declared once and exists twice, as the public struct and as the form that prost decodes.
//!
//! The second form is private, so that prost can change, or go, without a new major version of this crate.

/// Declares a message: a public struct, and its private form with the attributes of prost.
macro_rules! message {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])* #[prost($($wire:tt)*)] pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $name {
            /// This message with some fields changed.
            ///
            /// Messages get new fields with new versions of CRIU, so other crates cannot write them as struct literals.
            /// They begin with the [default](Default), or another message, and set fields:
            #[doc = concat!("`", stringify!($name), "::default().with(|it| …)`.")]
            #[must_use]
            pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
                change(&mut self);
                self
            }
        }

        const _: () = {
            // It has the public name, because prost puts the name into its errors.
            #[derive(Clone, PartialEq, ::prost::Message)]
            pub(crate) struct $name {
                $(#[prost($($wire)*)] pub(crate) $field: <$type as $crate::message::Field>::Wire,)*
            }

            impl $crate::message::Field for $crate::$name {
                type Wire = $name;

                fn from_wire(wire: $name) -> Self {
                    let $name { $($field),* } = wire;
                    $crate::$name { $($field: $crate::message::Field::from_wire($field)),* }
                }

                fn into_wire(self) -> $name {
                    let $crate::$name { $($field),* } = self;
                    $name { $($field: $crate::message::Field::into_wire($field)),* }
                }
            }
        };
    };
}

pub(crate) use message;

/// The type of a field, or a message as a whole, and how prost keeps it.
pub(crate) trait Field: Sized {
    type Wire;

    fn from_wire(wire: Self::Wire) -> Self;
    fn into_wire(self) -> Self::Wire;
}

macro_rules! same_on_the_wire {
    ($($type:ty),*) => {
        $(
            impl Field for $type {
                type Wire = $type;

                fn from_wire(wire: $type) -> Self {
                    wire
                }

                fn into_wire(self) -> $type {
                    self
                }
            }
        )*
    };
}

same_on_the_wire!(bool, i32, u32, u64, Vec<u8>, Vec<u32>);

impl<F: Field> Field for Option<F> {
    type Wire = Option<F::Wire>;

    fn from_wire(wire: Self::Wire) -> Self {
        wire.map(F::from_wire)
    }

    fn into_wire(self) -> Self::Wire {
        self.map(F::into_wire)
    }
}

impl<F: Field> Field for Box<F> {
    type Wire = Box<F::Wire>;

    fn from_wire(wire: Self::Wire) -> Self {
        Box::new(F::from_wire(*wire))
    }

    fn into_wire(self) -> Self::Wire {
        Box::new(F::into_wire(*self))
    }
}
