// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Panics of the testkit: each ends one run, and is a part of what that run reports.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on a panic in [`attempt`] is noted and not printed.
pub(crate) fn note_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| match IS_CAUGHT.get() {
        true => PANIC.set(Some(panic.to_string())),
        false => print(panic),
    }));
}

/// What the work gives, or the message of its panic.
pub(crate) fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = IS_CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(outer);
    result.map_err(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
        PANIC.take().unwrap_or_else(|| text.unwrap_or("a panic without a message").to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer() {
        assert_eq!(attempt(|| 7), Ok(7));
        let said = attempt(|| panic!("no {}", "host")).unwrap_err();
        assert!(said.ends_with("no host"), "{said}");
        assert_eq!(attempt(|| attempt(|| panic!("inner")).is_err()), Ok(true));
    }
}
