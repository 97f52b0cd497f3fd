// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Enums that keep the numbers they do not know.
//!
//! A later CRIU may add a value, and protobuf's usual answer, the first value of the enum, would be a lie that a caller
//! cannot see. So messages hold numbers, and these enums are made from them and turned back without loss.

/// Declares an enum over a raw number: each variant with its number, and `Unknown` for the rest.
macro_rules! raw_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $raw:ty {
            $($(#[$variant_meta:meta])* $variant:ident = $number:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A number that this version of the crate has no name for.
            Unknown($raw),
        }

        impl From<$raw> for $name {
            fn from(number: $raw) -> Self {
                match number {
                    $($number => $name::$variant,)+
                    other => $name::Unknown(other),
                }
            }
        }

        impl From<$name> for $raw {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => $number,)+
                    $name::Unknown(number) => number,
                }
            }
        }
    };
}

pub(crate) use raw_enum;
