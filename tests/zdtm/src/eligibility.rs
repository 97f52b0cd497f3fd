// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which tests are not for this machine, or not for a machine that is used for anything else.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use testkit::{Criu, IptablesFlavour, TestHost};

use crate::action::{Stopped, Watch};
use crate::description::Description;
use crate::running::Obstacle;
use crate::suite::Test;

/// Tests that change what no namespace of a throw-away host separates from the machine.
const REACHING: [(&str, &str); 2] = [("static/binfmt_misc", "binary formats"), ("static/uprobes", "probes")];

/// What each criu has said about its features.
static FEATURES: Mutex<Option<HashMap<(PathBuf, String), bool>>> = Mutex::new(None);

/// Whether the test is one for this machine.
pub(crate) fn check(test: &Test, description: &Description) -> Result<(), Obstacle> {
    let why = if let Some((_, what)) = REACHING.iter().find(|(name, _)| *name == test.name) {
        format!("it changes the machine's {what}")
    } else if uses_cgroups(test, description) {
        "it changes the machine's cgroups".to_owned()
    } else if description.needs_plugin() {
        "it needs a plugin of its own".to_owned()
    } else if !is_for_architecture(description, std::env::consts::ARCH) {
        format!("it is for {}", description.architectures.join(", "))
    } else {
        return Ok(());
    };
    Err(Obstacle::Skipped(why))
}

/// Whether criu has all that the test needs. Asking also makes criu write down what it finds out about the kernel.
pub(crate) fn check_features(
    criu: &Criu,
    host: &TestHost,
    description: &Description,
    watch: Watch<'_>,
) -> Result<(), Obstacle> {
    // Every host is to have these notes before anything is compared.
    ask(criu, host, "mnt_id", watch)?;
    for feature in &description.features {
        if !has_feature(criu, host, feature, watch)? {
            return Err(Obstacle::Skipped(format!("criu has no {feature} here")));
        }
    }
    Ok(())
}

fn has_feature(criu: &Criu, host: &TestHost, feature: &str, watch: Watch<'_>) -> Result<bool, Stopped> {
    let key = (criu.program().to_owned(), feature.to_owned());
    let mut known = FEATURES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(answer) = known.get(&key) {
        return Ok(*answer);
    }
    let answer = ask(criu, host, feature, watch)?;
    known.insert(key, answer);
    Ok(answer)
}

fn ask(criu: &Criu, host: &TestHost, feature: &str, watch: Watch<'_>) -> Result<bool, Stopped> {
    let mut command = criu.command(host, IptablesFlavour::Nft);
    Ok(watch.run("criu check", command.args(["check", "--feature", feature])).completed()?.is_success())
}

fn uses_cgroups(test: &Test, description: &Description) -> bool {
    let options = description.dump_options.iter().chain(&description.restore_options);
    test.name.starts_with("static/cgroup") || options.into_iter().any(|option| option.contains("cgroup"))
}

fn is_for_architecture(description: &Description, own: &str) -> bool {
    description.architectures.is_empty() || description.architectures.iter().any(|name| name == own)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn why(name: &str, description: serde_json::Value) -> Option<String> {
        let description = Description::of(description);
        let test = Test { name: name.to_owned(), description: description.clone(), hook: None, tree: None };
        match check(&test, &description.unwrap()) {
            Err(Obstacle::Skipped(why)) => Some(why),
            _ => None,
        }
    }

    #[test]
    fn tests_that_are_not_for_here() {
        assert_eq!(why("static/caps00", json!({"flags": "suid"})), None);
        let cgroups = Some("it changes the machine's cgroups".to_owned());
        assert_eq!(why("static/cgroupns", json!({})), cgroups);
        assert_eq!(why("static/other", json!({"ropts": "--manage-cgroups=ignore"})), cgroups);
        assert_eq!(why("static/rtc", json!({"flags": "crlib"})).unwrap(), "it needs a plugin of its own");
        assert_eq!(why("static/vsx", json!({"arch": "none such"})).unwrap(), "it is for none, such");
        assert_eq!(why("static/x", json!({"arch": format!("a {}", std::env::consts::ARCH)})), None);
        assert_eq!(why("static/binfmt_misc", json!({})).unwrap(), "it changes the machine's binary formats");
    }
}
