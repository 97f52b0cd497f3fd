// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options of CRIU 4.2 and 4.3 that change nothing of what criu-gc does.
//!
//! After the word `gc`, `clean` or `show` they are accepted, so that a script can replace the word of a `criu restore`
//! line that works. The options that matter are criu-gc's own ([`HONOURED`]). Options of `criu check` are not here.

use super::words::Takes;

/// An option that is accepted and has no effect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestoreOption {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    /// Whether `--no-NAME` exists too.
    pub(crate) negation: Negation,
    /// All values that CRIU accepts; empty if criu-gc does not judge them.
    pub(crate) values: &'static [&'static str],
}

/// Whether an option can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Negation {
    /// By `--no-NAME`.
    Exists,
    /// It cannot.
    None,
}

/// The options of CRIU that matter to criu-gc, by their long names: a CRIU configuration file may contain them too.
pub(crate) const HONOURED: [&str; 10] = [
    "images-dir",
    "work-dir",
    "log-file",
    "root",
    "join-ns",
    "ext-mount-map",
    "inherit-fd",
    "external",
    "network-lock",
    "verbosity",
];

/// The option after which all operands are a command.
pub(crate) const EXEC_COMMAND: &str = "exec-cmd";

const fn switch(long: &'static str) -> RestoreOption {
    RestoreOption { long, short: None, takes: Takes::Nothing, negation: Negation::Exists, values: &[] }
}

const fn flag(long: &'static str) -> RestoreOption {
    RestoreOption { negation: Negation::None, ..switch(long) }
}

const fn value(long: &'static str) -> RestoreOption {
    RestoreOption { takes: Takes::Value, ..flag(long) }
}

const fn optional(long: &'static str) -> RestoreOption {
    RestoreOption { takes: Takes::Optional, ..flag(long) }
}

impl RestoreOption {
    const fn short(self, short: char) -> Self {
        RestoreOption { short: Some(short), ..self }
    }

    const fn one_of(self, values: &'static [&'static str]) -> Self {
        RestoreOption { values, ..self }
    }
}

/// The fixed list.
pub(crate) const WITHOUT_EFFECT: [RestoreOption; 72] = [
    value("tree").short('t'),
    flag("leave-stopped").short('s'),
    flag("leave-running").short('R'),
    switch("restore-detached").short('d'),
    switch("restore-sibling").short('S'),
    switch("daemon"),
    switch("stream"),
    flag(EXEC_COMMAND),
    value("pidfile"),
    value("status-fd"),
    value("close"),
    value("timeout"),
    switch("log-pid"),
    switch("display-stats"),
    switch("deprecated"),
    switch("unprivileged"),
    switch("shell-job").short('j'),
    value("libdir").short('L'),
    value("plugin-option"),
    value("action-script"),
    optional("cpu-cap"),
    switch("weak-sysctls"),
    switch("allow-uprobes"),
    // Network.
    switch("tcp-established"),
    switch("tcp-close"),
    switch("skip-in-flight"),
    value("veth-pair"),
    value("empty-ns").one_of(&["net"]),
    optional("ext-unix-sk").short('x'),
    // Files and mounts.
    switch("link-remap"),
    switch("file-locks").short('l'),
    switch("evasive-devices"),
    switch("force-irmap"),
    value("irmap-scan-path"),
    value("ghost-limit"),
    switch("ghost-fiemap"),
    value("file-validation").one_of(&["filesize", "buildid"]),
    switch("skip-file-rwx-check"),
    value("skip-mnt"),
    value("enable-fs"),
    flag("enable-external-sharing"),
    flag("enable-external-masters"),
    switch("mntns-compat-mode"),
    value("lsm-profile"),
    value("lsm-mount-context"),
    // Control groups.
    optional("manage-cgroups").one_of(&["none", "props", "soft", "full", "strict", "ignore"]),
    value("cgroup-root"),
    value("cgroup-props"),
    value("cgroup-props-file"),
    value("cgroup-dump-controller"),
    value("cgroup-yard"),
    value("freeze-cgroup"),
    // Memory, and where it comes from.
    value("prev-images-dir"),
    switch("track-mem"),
    switch("auto-dedup"),
    value("pre-dump-mode").one_of(&["read", "splice"]),
    flag("lazy-pages"),
    switch("page-server"),
    value("address"),
    value("port"),
    value("ps-socket"),
    value("image-io-mode").one_of(&["writeback", "direct"]),
    flag("compress"),
    value("compress-acceleration"),
    value("compress-block"),
    value("decompress-threads"),
    switch("tls"),
    flag("tls-no-cn-verify"),
    value("tls-cacert"),
    value("tls-cacrl"),
    value("tls-cert"),
    value("tls-key"),
];
