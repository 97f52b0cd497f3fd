// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stores of the other engines.

use super::Places;

/// Adds them.
pub(super) fn add(_places: &mut Places) {}
