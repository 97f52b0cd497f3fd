// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The completions, in the shells that read them.

use std::path::Path;

use testkit::{CommandExt, TestHost};

use crate::files;

/// Prints what bash offers for the words.
const BASH: &str = "source /tmp/criu-gc.bash; COMP_WORDS=(criu-gc \"$@\"); COMP_CWORD=$#; \
    _criu__gc criu-gc \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";

/// zsh completes at a terminal only. Prints what it shows there after each line and the tabulator.
const ZSH: &str = "zmodload zsh/zpty; zpty shell zsh -f -i; \
    zpty -w shell 'fpath=(/tmp $fpath); autoload -Uz compinit; compinit -D -u'; sleep 1; \
    for line; do zpty -n -w shell $'\\x15'$line$'\\t'; sleep 1; done; while zpty -rt shell text; do print -r -- $text; done";

pub(crate) fn test() {
    let host = TestHost::new();
    let bash = |words: &[&str]| run(&host, &["bash", "-e", "-c", BASH, "bash"], words);
    assert_offers(&bash(&["--sh"]), &["--show"]);
    assert_offers(&bash(&[""]), &["gc", "heal", "scan", "rm", "--show"]);
    assert_offers(&bash(&["--allow", "tree-"]), &["tree-alive", "tree-unknown"]);
    assert_offers(&bash(&["scan", "--wa"]), &["--walk"]);
    let zsh = run(&host, &["zsh", "-f", "-c", ZSH, "zsh"], &["criu-gc --exit", "criu-gc -D dock", "criu-gc show podm"]);
    for completed in ["criu-gc --exit-code", "criu-gc -D docker:", "criu-gc show podman:"] {
        assert!(zsh.contains(completed), "{completed} is not completed:\n{zsh}");
    }
    let fish = |line: &str| run(&host, &["fish", "-c", "source /tmp/criu-gc.fish; complete -C $argv[1]"], &[line]);
    assert_offers(&fish("criu-gc --sh"), &["--show"]);
    assert_offers(&fish("criu-gc sc"), &["scan"]);
    assert_offers(&fish("criu-gc -D dock"), &["docker:"]);
}

fn run(host: &TestHost, shell: &[&str], words: &[&str]) -> String {
    let script = "mount -t proc proc \"$1/proc\"; mount -t tmpfs tmp \"$1/tmp\"; cp \"$2\"/* \"$1/tmp/\"; root=$1; shift 2; \
                  exec env HOME=/tmp PATH=\"/tmp:$PATH\" chroot \"$root\" \"$@\"";
    let mut command = host.command("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-e", "-c", script, "sh"]);
    let completions = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions");
    // The host shows the disks on which the programs are, and the sources may be on another.
    let copy = host.dir().join("completions");
    std::process::Command::new("cp")
        .args(["--recursive", "--no-target-directory"])
        .arg(completions)
        .arg(&copy)
        .succeed();
    std::fs::copy(env!("CARGO_BIN_EXE_criu-gc"), copy.join("criu-gc")).expect("the program");
    command.arg(files::tools()).arg(&copy).args(shell).args(words).succeed().stdout
}

#[track_caller]
fn assert_offers(offered: &str, expected: &[&str]) {
    for word in expected {
        let is_it = |line: &str| line.split_whitespace().next() == Some(word);
        assert!(offered.lines().any(is_it), "{word} is not offered:\n{offered}");
    }
}
