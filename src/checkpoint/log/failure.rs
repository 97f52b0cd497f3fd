// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a log says about a dump that failed: what was in its way, and whether CRIU took back what it had done.
//!
//! CRIU 3.17 and later write `Warn (…): Can't link  -> ./DIR/link_remap.N` and then `Error (…): Can't link remap to FILE:
//! File exists`; earlier ones only the second line, or the first with the error in it.

use super::{OBSTACLES, Obstacle, Rollback};

/// The text of the error, which CRIU does not translate.
const EXISTS: &[u8] = b": File exists";

/// What is known of a failure so far.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) rollback: Option<Rollback>,
    pub(super) obstacles: Vec<Obstacle>,
    /// The link of the last line that names one.
    link: Option<Vec<u8>>,
    phase: Phase,
}

/// Where in the dump the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// It does not tell: logs of errors only.
    #[default]
    Unknown,
    /// CRIU takes back what it did; then each error is one of that.
    Rollback,
    /// The same, and there was an error.
    RollbackWithErrors,
}

impl Failure {
    /// Notes a line, without its end.
    pub(super) fn note(&mut self, line: &[u8]) {
        let Line { is_error, message } = Line::new(line);
        if message.ends_with(b"Unlock network") {
            self.phase = Phase::Rollback;
        } else if message.starts_with(b"Dumping FAILED") {
            self.rollback = Some(match self.phase {
                Phase::Unknown | Phase::Rollback => Rollback::Whole,
                Phase::RollbackWithErrors => Rollback::WithErrors,
            });
        } else if message.starts_with(b"Dumping finished successfully") {
            self.rollback = None;
        } else if self.is_failed_rollback(is_error, message) {
            self.phase = Phase::RollbackWithErrors;
        } else {
            self.note_obstacle(message);
        }
    }

    fn is_failed_rollback(&self, is_error: IsError, message: &[u8]) -> bool {
        const OF_ROLLBACK: [&[u8]; 4] = [
            b"Failed to clenaup",
            b"Failed to cleanup",
            b"Iptables configuration failed",
            b"Error: Could not process rule",
        ];
        match self.phase {
            Phase::Unknown => OF_ROLLBACK.iter().any(|words| message.starts_with(words)),
            Phase::Rollback => is_error == IsError::Yes,
            Phase::RollbackWithErrors => false,
        }
    }

    fn note_obstacle(&mut self, message: &[u8]) {
        if let Some(rest) = message.strip_prefix(b"Can't link  -> ") {
            let (link, exists) = without_error(rest);
            let link = Some(absolute(link));
            match exists {
                true => self.add(Obstacle { link, original: None }),
                false => self.link = link,
            }
        } else if let Some((path, true)) = message.strip_prefix(b"Can't link remap to ").map(without_error) {
            let path = absolute(path);
            let is_link = split_last(&path).starts_with(b"link_remap.");
            let (link, original) = if is_link { (Some(path), None) } else { (self.link.take(), Some(path)) };
            self.add(Obstacle { link, original });
        }
    }

    /// Two lines about one link are one obstacle.
    fn add(&mut self, new: Obstacle) {
        let is_same = |last: &Obstacle| last.original.is_none() && (new.link.is_none() || new.link == last.link);
        if let Some(last) = self.obstacles.last_mut().filter(|last| is_same(last)) {
            last.original = new.original;
        } else if self.obstacles.len() < OBSTACLES {
            self.obstacles.push(new);
        }
    }
}

/// A line without its time and level.
struct Line<'a> {
    is_error: IsError,
    message: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsError {
    Yes,
    No,
}

impl<'a> Line<'a> {
    /// `(00.001234) Error (criu/files-reg.c:1159): message`, or what a program wrote that CRIU ran. Logs of errors only have
    /// no times.
    fn new(line: &'a [u8]) -> Self {
        let timed = line.strip_prefix(b"(").and_then(|rest| after(rest, b")")).map(<[u8]>::trim_ascii_start);
        let rest = timed.unwrap_or(line);
        for (level, is_error) in [(&b"Error ("[..], IsError::Yes), (b"Warn  (", IsError::No), (b"Warn (", IsError::No)]
        {
            if let Some(message) = rest.strip_prefix(level).and_then(|rest| after(rest, b"): ")) {
                return Line { is_error, message };
            }
        }
        let is_programs = timed.is_none() && !line.trim_ascii().is_empty();
        Line { is_error: if is_programs { IsError::Yes } else { IsError::No }, message: rest }
    }
}

fn after<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(end.len()).position(|window| window == end)?;
    Some(&text[at + end.len()..])
}

/// The path without the text of the error, and whether it was that the name exists.
fn without_error(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(EXISTS).map_or((text, false), |path| (path, true))
}

/// CRIU names a link relative to the root directory of the tree: `./tmp/link_remap.4`.
fn absolute(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b".").filter(|rest| rest.starts_with(b"/")).unwrap_or(path);
    if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() }
}

fn split_last(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{LogFacts, read};
    use super::*;

    #[track_caller]
    fn check(log: &str, rollback: Option<Rollback>, obstacles: &[(&str, &str)]) {
        let LogFacts { failed, obstacles: found, .. } = read(log.as_bytes()).unwrap();
        let text = |path: Option<Vec<u8>>| path.map_or("?".to_owned(), |path| path.escape_ascii().to_string());
        let found: Vec<(String, String)> =
            found.into_iter().map(|Obstacle { link, original }| (text(link), text(original))).collect();
        let expected: Vec<(String, String)> =
            obstacles.iter().map(|(link, original)| ((*link).to_owned(), (*original).to_owned())).collect();
        assert_eq!((failed, found), (rollback, expected));
    }

    const FAILED: &str = "(00.3) Error (criu/cr-dump.c:2005): Dumping FAILED.\n";

    #[test]
    fn each_version_of_criu_names_the_link_or_the_file() {
        let warning = "(00.1) Warn  (criu/files-reg.c:1881): Can't link  -> ./tmp/link_remap.4\n";
        let error = "(00.1) Error (criu/files-reg.c:1159): Can't link remap to /tmp/one: File exists\n";
        let both = [("/tmp/link_remap.4", "/tmp/one")];
        check(&format!("{warning}{error}{FAILED}"), Some(Rollback::Whole), &both);
        check(&format!("{error}{FAILED}"), Some(Rollback::Whole), &[("?", "/tmp/one")]);
        let early = "(00.1) Error (criu/files-reg.c:1215): Can't link  -> ./tmp/link_remap.4: File exists\n";
        check(&format!("{early}{error}{FAILED}"), Some(Rollback::Whole), &both);
        check(&format!("{early}{FAILED}"), Some(Rollback::Whole), &[("/tmp/link_remap.4", "?")]);
        let link = "(00.1) Error (files-reg.c:781): Can't link remap to ./tmp/link_remap.4: File exists\n";
        check(link, None, &[("/tmp/link_remap.4", "?")]);
        let untimed = |line: &str| line.strip_prefix("(00.1) ").unwrap().to_owned();
        check(&format!("{}{}", untimed(warning), untimed(error)), None, &both);
        // The directory is gone, and CRIU tries the one above.
        let trimmed = "(00.1) Warn  (criu/files-reg.c:1881): Can't link  -> ./tmp/a/link_remap.4\n";
        check(&format!("{trimmed}{warning}{error}"), None, &both);
    }

    #[test]
    fn names_may_look_like_the_words_around_them() {
        let odd = "(00.1) Error (criu/files-reg.c:1159): Can't link remap to /a -> b: File exists: File exists\n";
        check(odd, None, &[("?", "/a -> b: File exists")]);
        for other in [
            "(00.1) Error (criu/files-reg.c:1159): Can't link remap to /tmp/one: Permission denied\n",
            "(00.1) Error (criu/files-reg.c:2258): Can't link tmp/link_remap.4 -> tmp/one: File exists\n",
            "(00.1) File exists\n",
        ] {
            check(other, None, &[]);
        }
    }

    #[test]
    fn a_rollback_is_whole_without_an_error_after_its_beginning() {
        let cause =
            "(00.1) Error (criu/sk-inet.c:191): Connected TCP socket, consider using --tcp-established option.\n";
        let unlock = "(00.2) net: Unlock network\n(00.2) Running network-unlock scripts\n";
        let freeze = "(00.2) Unfreezing tasks into 1\n";
        let of_rule = "(00.2) Error (criu/netfilter.c:105): Iptables configuration failed\n";
        let of_program = "iptables: Bad rule (does a matching rule exist in that chain?).\n";
        let of_table = "Error: Could not process rule: No such file or directory\n";
        let of_link = "(00.2) Error (criu/files-reg.c:1075): Failed to clenaup ./tmp/link_remap.4 link remap\n";
        check(&format!("{cause}{unlock}{freeze}{FAILED}"), Some(Rollback::Whole), &[]);
        check(&format!("{cause}{FAILED}"), Some(Rollback::Whole), &[]);
        for error in [of_rule, of_program, of_table, of_link] {
            check(&format!("{cause}{unlock}{error}{freeze}{FAILED}"), Some(Rollback::WithErrors), &[]);
        }
        for error in [of_rule, of_table, of_link] {
            check(&format!("{cause}{error}{FAILED}"), Some(Rollback::WithErrors), &[]);
        }
        check(&format!("{cause}{unlock}{freeze}"), None, &[]);
        check(&format!("{FAILED}(00.4) Dumping finished successfully\n"), None, &[]);
        check("(00.1) Error (criu/cr-dump.c:1): Pre-dumping FAILED.\n", None, &[]);
    }
}
