// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a caller ends a removal between two steps.
//!
//! The current step finishes and no other begins. The outcome is confirmed and reported as usual.

use std::fmt;
use std::sync::Arc;

/// Controls a running removal.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// let is_stopping = Arc::new(AtomicBool::new(false));
/// let asked = Arc::clone(&is_stopping);
/// let control = criu_gc::Control::new()
///     .end_when(move || asked.load(Ordering::Relaxed).then(|| "the shutdown of the runtime".to_owned()));
/// # let _ = control;
/// ```
#[derive(Debug, Clone, Default)]
pub struct Control {
    pub(crate) interrupt: Interrupt,
}

impl Control {
    /// A removal that nothing interrupts.
    pub fn new() -> Self {
        Control::default()
    }

    /// Before each step, possibly on another thread, asks whether the removal must end. `Some` names the reason for the
    /// report, such as `SIGTERM`.
    #[must_use]
    pub fn end_when(self, asked: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Control { interrupt: Interrupt { asked: Some(Arc::new(asked)) } }
    }
}

/// Whether a removal must end.
#[derive(Clone, Default)]
pub struct Interrupt {
    asked: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
}

/// A step was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{by} ended the run before this step; run criu-gc again")]
pub struct Interrupted {
    by: String,
}

impl Interrupt {
    /// What ended the removal, if something did.
    pub fn signal(&self) -> Option<String> {
        self.asked.as_ref().and_then(|asked| asked())
    }

    /// Whether the next step may begin.
    pub fn may_go_on(&self) -> Result<(), Interrupted> {
        self.signal().map_or(Ok(()), |by| Err(Interrupted { by }))
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("signal", &self.signal()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_begins_once_the_caller_says_so() {
        assert_eq!(Control::new().interrupt.may_go_on(), Ok(()));
        assert_eq!(Control::new().end_when(|| None).interrupt.may_go_on(), Ok(()));
        let ended = Control::new().end_when(|| Some("SIGTERM".to_owned())).interrupt.may_go_on();
        let expected = "SIGTERM ended the run before this step; run criu-gc again";
        assert_eq!(ended.map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
}
