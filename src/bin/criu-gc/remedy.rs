// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one command that removes what was kept for several reasons: the words that were typed, and what lifts the reasons.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use criu_gc::report::{Bytes, CheckpointReport};

use crate::cli::Arguments;
use crate::text::is_kept;

/// Words that only show, or that say how to print.
const OF_SHOW: [&[u8]; 5] = [b"--show", b"-n", b"--dry-run", b"--exit-code", b"--json"];

/// The command for a checkpoint. `None` where a single option is enough, where no option lifts a reason, or where the words
/// also name other checkpoints.
pub(crate) fn command(words: &[OsString], report: &CheckpointReport) -> Option<Vec<u8>> {
    let kept = report.objects.iter().filter(|object| is_kept(object));
    let remedies: BTreeSet<&str> =
        kept.flat_map(|object| &object.reasons).map(|reason| reason.remedy.as_str()).collect();
    if remedies.len() < 2 {
        return None;
    }
    let (mut allowed, mut others) = (Vec::new(), Vec::new());
    for remedy in remedies {
        match remedy.strip_prefix("--allow ") {
            Some(reason) => allowed.push(reason),
            None if remedy.starts_with("--") => others.push(remedy),
            None => return None,
        }
    }
    let (program, typed) = words.split_first()?;
    let typed = typed.iter().filter(|word| !OF_SHOW.contains(&word.as_bytes()));
    let typed: Vec<OsString> = typed.map(|word| if word == "show" { "gc".into() } else { word.clone() }).collect();
    let words: Vec<OsString> = [program.clone()].into_iter().chain(typed).collect();
    let arguments = Arguments::of_command_line(&words).ok()?;
    if arguments.show || arguments.all_directories().len() != 1 {
        return None;
    }
    let mut command = b"criu-gc".to_vec();
    for word in &words[1..] {
        command.push(b' ');
        command.extend(Bytes(word.as_bytes().to_vec()).shell_word());
    }
    if !allowed.is_empty() {
        command.extend(format!(" --allow {}", allowed.join(",")).into_bytes());
    }
    for other in others {
        command.extend(format!(" {other}").into_bytes());
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use criu_gc::KeepReason;

    use super::*;
    use crate::text::tests::kept_for;

    fn text(words: &[&str], reasons: &[KeepReason]) -> Option<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        command(&words, &kept_for(reasons)).map(|command| String::from_utf8(command).unwrap())
    }

    const TWO: [KeepReason; 2] = [KeepReason::NewerDump, KeepReason::ChangedSince];

    #[test]
    fn the_command_is_what_was_typed_with_all_reasons() {
        let expected = "criu-gc -D /srv/a --netns pod --allow changed-since,newer-dump";
        for words in [
            &["/usr/bin/criu-gc", "-D", "/srv/a", "--netns", "pod", "--show"][..],
            &["criu-gc", "--exit-code", "-n", "-D", "/srv/a", "--netns", "pod", "--json"],
        ] {
            assert_eq!(text(words, &TWO).as_deref(), Some(expected));
        }
        let word = text(&["criu-gc", "show", "-D", "it's"], &TWO);
        assert_eq!(word.as_deref(), Some("criu-gc gc -D 'it'\\''s' --allow changed-since,newer-dump"));
    }

    #[test]
    fn there_is_none_where_it_would_not_help_or_do_too_much() {
        assert_eq!(text(&["criu-gc", "a"], &TWO[..1]), None);
        assert_eq!(text(&["criu-gc", "a"], &[KeepReason::NewerDump, KeepReason::CriuAtWork]), None);
        assert_eq!(text(&["criu-gc", "a", "b"], &TWO), None);
    }
}
