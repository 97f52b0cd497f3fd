// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description of a test: NAME.desc beside its program, as zdtm.py has it.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

use crate::literal;

/// In which namespaces a test runs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Flavour {
    /// In those of criu
    #[value(name = "h")]
    Host,
    /// In its own, with a root directory of its own
    #[value(name = "ns")]
    Own,
    /// The same, and a user namespace
    #[value(name = "uns")]
    User,
}

/// What is known of a test before it runs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Description {
    /// Where it can run.
    pub(crate) flavours: Vec<Flavour>,
    /// CRIU's options for a dump.
    pub(crate) dump_options: Vec<String>,
    /// CRIU's options for a restore.
    pub(crate) restore_options: Vec<String>,
    /// What criu must be able to do.
    pub(crate) features: Vec<String>,
    /// The architectures it is for; none is all.
    pub(crate) architectures: Vec<String>,
    /// Files that its root directory needs, each with the places where it may be.
    pub(crate) dependencies: Vec<Vec<PathBuf>>,
    /// A directory that gets a mount of its own in its root.
    pub(crate) bind: Option<String>,
    /// What the workload does, in a test of this project.
    pub(crate) directives: Vec<String>,
    /// Where a directory of the host is mounted, in a test of this project.
    pub(crate) volume: Option<String>,
    /// A network namespace that outlives the tree, in a test of this project.
    pub(crate) network: Option<String>,
    flags: Vec<String>,
}

/// The file as it is written. There are keys that only matter to a restore.
#[derive(Deserialize)]
#[serde(default)]
struct File {
    flavor: String,
    flags: String,
    opts: String,
    dopts: String,
    ropts: String,
    feature: String,
    arch: String,
    deps: Vec<String>,
    bind: Option<String>,
    directives: Vec<String>,
    volume: Option<String>,
    network: Option<String>,
}

impl Default for File {
    fn default() -> Self {
        let none = String::new;
        Self {
            flavor: "h ns uns".to_owned(),
            flags: none(),
            opts: none(),
            dopts: none(),
            ropts: none(),
            feature: none(),
            arch: none(),
            deps: Vec::new(),
            bind: None,
            directives: Vec::new(),
            volume: None,
            network: None,
        }
    }
}

impl Flavour {
    /// As in a description.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "h",
            Self::Own => "ns",
            Self::User => "uns",
        }
    }

    fn of(name: &str) -> Result<Self, String> {
        let all = [Self::Host, Self::Own, Self::User];
        all.into_iter().find(|flavour| flavour.name() == name).ok_or_else(|| format!("{name:?} is no flavour"))
    }
}

impl Description {
    /// From the value of the description's literal; an empty file is an empty dictionary.
    pub(crate) fn of(value: Value) -> Result<Self, String> {
        let file: File = literal::dictionary(value)?;
        let mut flavours: Vec<_> = file.flavor.split_whitespace().map(Flavour::of).collect::<Result<_, _>>()?;
        flavours.sort();
        Ok(Self {
            flavours,
            dump_options: words(&[&file.opts, &file.dopts]),
            restore_options: words(&[&file.opts, &file.ropts]),
            features: words(&[&file.feature]),
            architectures: words(&[&file.arch]),
            dependencies: file.deps.iter().map(|places| places.split('|').map(PathBuf::from).collect()).collect(),
            bind: file.bind,
            directives: file.directives,
            volume: file.volume,
            network: file.network,
            flags: words(&[&file.flags]),
        })
    }

    /// Whether it runs as root.
    pub(crate) fn is_for_root(&self) -> bool {
        self.has_flag("suid")
    }

    /// Whether it runs only if it is asked for by name.
    pub(crate) fn is_manual(&self) -> bool {
        self.has_flag("noauto")
    }

    /// Whether criu is to refuse it, or to fail to restore it.
    pub(crate) fn is_to_fail(&self) -> bool {
        self.has_flag("crfail")
    }

    /// Whether criu needs a plugin that comes with the test.
    pub(crate) fn needs_plugin(&self) -> bool {
        self.has_flag("crlib")
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_a_description_says() {
        let description = Description::of(json!({
            "flavor": "uns  h",
            "flags": "suid excl crfail",
            "opts": "--link-remap",
            "dopts": "--external mnt[/a]:A",
            "ropts": "--external mnt[A]:/tmp/a",
            "feature": "mnt_id tun",
            "arch": "x86_64",
            "deps": ["/bin/sh", "/sbin/ip|/bin/ip"],
            "bind": "zdtm/static",
            "timeout": "60",
        }));
        let description = description.unwrap();
        assert_eq!(description.flavours, [Flavour::Host, Flavour::User]);
        assert_eq!(description.dump_options, ["--link-remap", "--external", "mnt[/a]:A"]);
        assert_eq!(description.restore_options, ["--link-remap", "--external", "mnt[A]:/tmp/a"]);
        assert_eq!(description.features, ["mnt_id", "tun"]);
        assert_eq!(description.architectures, ["x86_64"]);
        assert_eq!(description.dependencies[1], ["/sbin/ip", "/bin/ip"].map(PathBuf::from));
        assert_eq!(description.bind.as_deref(), Some("zdtm/static"));
        assert!(description.is_for_root() && description.is_to_fail());
        assert!(!description.is_manual() && !description.needs_plugin());
    }

    #[test]
    fn without_a_word_a_test_is_for_all_flavours() {
        let description = Description::of(json!({})).unwrap();
        assert_eq!(description.flavours, [Flavour::Host, Flavour::Own, Flavour::User]);
        assert!(!description.is_for_root() && description.dump_options.is_empty());
    }

    #[test]
    fn what_is_no_description() {
        assert_eq!(Description::of(json!({"flavor": "h vm"})), Err("\"vm\" is no flavour".to_owned()));
        assert!(Description::of(json!({"deps": "/bin/sh"})).unwrap_err().contains("expected a sequence"));
        assert_eq!(Description::of(json!(["h"])), Err("it is no dictionary".to_owned()));
    }
}
