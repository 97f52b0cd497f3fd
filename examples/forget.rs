// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a container runtime does when it deletes a container whose checkpoint will not be restored on this host:
//! `cargo run --example forget -- CHECKPOINT [NETWORK_NAMESPACE]`, as root.
//!
//! The exit status is 0 where nothing is left, and 1 else.
#![expect(clippy::disallowed_macros, reason = "an example prints what it does")]

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use criu_gc::report::Object;
use criu_gc::{Control, Error, Options, with_causes};

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let (checkpoint, namespace) = match words.as_slice() {
        [checkpoint] => (checkpoint, None),
        [checkpoint, namespace] => (checkpoint, Some(Path::new(namespace))),
        _ => {
            eprintln!("usage: forget CHECKPOINT [NETWORK_NAMESPACE]");
            return ExitCode::FAILURE;
        }
    };
    match forget(Path::new(checkpoint), namespace) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Removes what the checkpoint left. Tells whether nothing is left.
fn forget(checkpoint: &Path, namespace: Option<&Path>) -> Result<bool, Error> {
    // The pod's network namespace, which the dump locked: the runtime knows it, images hold only a number.
    let options = namespace.into_iter().fold(Options::new(), Options::network_namespace);
    let examination = criu_gc::examine([checkpoint], &options)?;
    let report = examination.remove(&Control::new())?;
    for checkpoint in &report.checkpoints {
        if let Some(error) = &checkpoint.error {
            eprintln!("{error}");
        }
        checkpoint.objects.iter().for_each(show);
        // What could not be looked at is not clean.
        checkpoint.cannot_be_known.iter().for_each(|sentence| eprintln!("not known: {sentence}"));
    }
    Ok(!report.has_errors() && !report.leaves_something())
}

fn show(object: &Object) {
    let reasons: Vec<&str> = object.reasons.iter().map(|reason| reason.name).collect();
    println!("{:?}: {:?} {}", object.subject, object.outcome, reasons.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use handmade::Checkpoint;

    #[test]
    fn what_is_gone_is_forgotten_and_what_is_no_checkpoint_is_an_error() {
        let checkpoint = Checkpoint::new("no program is run");
        checkpoint.write();
        assert!(matches!(forget(&checkpoint.images(), None), Ok(true)) && !checkpoint.link().exists());
        assert!(matches!(forget(&checkpoint.images(), None), Ok(true)));
        assert!(forget(&checkpoint.data(), None).is_err());
    }
}
