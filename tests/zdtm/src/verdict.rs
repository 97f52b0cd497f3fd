// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the pictures, the logs and the lines of criu-gc mean.

use crate::action::Action;
use crate::description::Flavour;
use crate::expectation::Expectation;

/// The last line of criu-gc when nothing is left.
const NOTHING: &str = "Nothing is left.";

/// What every criu says where it may not raise its own limits; it goes on all the same.
const HARMLESS: &str = "Can't setup RLIMIT_NOFILE";

/// What is wrong with what criu-gc said, when it looked or when it removed.
pub(crate) fn problems_of(action: &Action, expectation: Option<&Expectation>, flavour: Flavour) -> Vec<String> {
    let name = action.name;
    let ended = (!action.is_success()).then(|| format!("{name} ended with {}", action.end));
    let missing = expectation.map(|expectation| expectation.missing(flavour, &action.stdout));
    let missing = missing.into_iter().flatten().map(|missing| format!("{name}: {missing}"));
    ended.into_iter().chain(missing).collect()
}

/// `--show` has to say that nothing is left if and only if nothing is.
pub(crate) fn problem_of_last_line(left: &[String], show: &Action) -> Option<String> {
    let says_nothing = show.stdout.lines().last() == Some(NOTHING);
    match (left.is_empty(), says_nothing) {
        (true, false) => Some("the dump left nothing, but --show does not say so".to_owned()),
        (false, true) => Some("--show says that nothing is left, but something is".to_owned()),
        _ => None,
    }
}

/// What the differences to the time before the dump mean, after everything should be as then. A success of criu-gc says
/// that nothing is left which it knows.
pub(crate) fn blame(differences: &[String], removal: &Action) -> Vec<String> {
    let changes: Vec<Change<'_>> = differences.iter().filter_map(|line| Change::of(line)).collect();
    let other = |change: &Change<'_>, sign| changes.iter().find(|other| other.sign == sign && other.is_about(change));
    let meaning = |line: &String| {
        let change = Change::of(line);
        let pair = change.as_ref().and_then(|change| Some((change, other(change, opposite(change.sign))?)));
        match (pair, line.split(": ").any(|part| part.starts_with("- ")), removal.is_success()) {
            // Told with the line of what it was.
            (Some((change, _)), ..) if change.sign == '+' => None,
            (Some((was, is)), ..) => Some(format!(
                "changed since before the dump: {}: {}: {} -> {}",
                was.section, was.path, was.data, is.data
            )),
            (None, true, _) => Some(format!("gone, though it was there before the dump: {line}")),
            (None, false, true) => Some(format!("left, and criu-gc does not know it: {line}")),
            (None, false, false) => Some(format!("left by criu-gc: {line}")),
        }
    };
    differences.iter().filter_map(meaning).collect()
}

/// A line about a file: `files of /d: + a file mode 644`. Its path has no spaces, whatever the file's name has.
struct Change<'a> {
    section: &'a str,
    sign: char,
    path: &'a str,
    data: &'a str,
}

impl<'a> Change<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (section, change) = line.split_once(": ").filter(|(section, _)| section.starts_with("files of "))?;
        let sign = change.chars().next()?;
        let (path, data) = change.strip_prefix([sign])?.strip_prefix(' ')?.split_once(' ')?;
        Some(Self { section, sign, path, data })
    }

    fn is_about(&self, other: &Self) -> bool {
        (self.section, self.path) == (other.section, other.path)
    }
}

fn opposite(sign: char) -> char {
    if sign == '+' { '-' } else { '+' }
}

/// The first error of a log that matters: later ones follow from it.
pub(crate) fn reason_of(log: &str) -> String {
    let mut errors = log.lines().filter_map(|line| line.split_once("Error ").map(|(_, error)| error));
    let error = errors.find(|error| !error.contains(HARMLESS));
    let error = error.or_else(|| log.lines().last()).unwrap_or("it wrote no log");
    // `(criu/files.c:123): text` with numbers of processes that differ from run to run is of no use to compare.
    error.split_once("): ").map_or(error, |(_, text)| text).trim().to_owned()
}

/// Why a test did not get ready, from what it wrote to its own log and what its start wrote to standard error.
pub(crate) fn reason_of_start(log: &str, stderr: &str) -> String {
    // `03:16:45.772:    73: ERR: maps10.c:26: Map failed`, and often more errors that follow from it.
    let error = log.lines().find_map(|line| ["ERR: ", "FAIL: "].iter().find_map(|word| line.split_once(word)));
    let line = error.map(|(_, text)| text).or_else(|| log.lines().last());
    let line = line.or_else(|| stderr.lines().find(|line| !line.starts_with("make:")));
    line.unwrap_or("it said nothing").trim().to_owned()
}

/// Why a tree of the project's own did not get ready, from the panic of its launch: what the program said comes last.
pub(crate) fn reason_of_launch(panic: &str) -> String {
    match panic.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) if !line.ends_with(" is not ready") => line.trim().to_owned(),
        _ => "it did not get ready, and said nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;
    use crate::action::End;

    fn action(name: &'static str, code: i32, stdout: &str) -> Action {
        let end = End::Exited(ExitStatus::from_raw(code << 8));
        Action { name, stdout: stdout.to_owned(), stderr: String::new(), end }
    }

    #[test]
    fn why_a_dump_failed() {
        let log =
            "(00.1) Warn  (a.c:1): x\n(00.2) Error (criu/files.c:12): Can't a\n(00.3) Error (b.c:1): Dumping FAILED.\n";
        assert_eq!(reason_of(log), "Can't a");
        assert_eq!(reason_of("(00.1) one\n(00.2) two\n"), "(00.2) two");
        assert_eq!(reason_of(""), "it wrote no log");
    }

    #[test]
    fn why_a_test_did_not_get_ready() {
        let log = "03:16:45.771:    73: begins\n03:16:45.772:    73: ERR: maps10.c:26: Map failed (errno = 12 (no memory))\n\
                   03:16:45.773:    72: ERR: test.c:320: Test exited unexpectedly with code 1\n";
        assert_eq!(reason_of_start(log, "x"), "maps10.c:26: Map failed (errno = 12 (no memory))");
        assert_eq!(reason_of_start("1:  2: FAIL: a.c:1: no tunnel\n", "x"), "a.c:1: no tunnel");
        assert_eq!(reason_of_start("only this\n", "x"), "only this");
        assert_eq!(reason_of_start("", "The test failed (0, 1)\nmake: *** [x]\n"), "The test failed (0, 1)");
        assert_eq!(reason_of_start("", "make: *** [x]\n"), "it said nothing");
    }

    #[test]
    fn why_a_tree_of_the_project_did_not_get_ready() {
        let panic = "panicked at a.rs:1:2:\n\"nsenter\" \"x\" is not ready\n";
        assert_eq!(reason_of_launch(panic), "it did not get ready, and said nothing");
        assert_eq!(reason_of_launch(&format!("{panic}workload: no such file\n\n")), "workload: no such file");
    }

    #[test]
    fn what_a_difference_means() {
        let (success, failure) = (action("gc", 0, ""), action("gc", 1, ""));
        let check = |line: &str, action, expected: &str| {
            assert_eq!(blame(&[line.to_owned()], action), [format!("{expected}: {line}")]);
        };
        check("files of /d: - a file mode 644", &success, "gone, though it was there before the dump");
        check("nft in the host: + table inet x", &success, "left, and criu-gc does not know it");
        check("iptables-nft-save in the host: + filter: -A INPUT", &failure, "left by criu-gc");
        check("files of /d: + link_remap.1 file mode 644", &success, "left, and criu-gc does not know it");
    }

    #[test]
    fn a_file_that_changed_is_neither_gone_nor_left() {
        let lines = [
            "files of /d: - a.keep file links 1",
            "files of /d: + b file links 2",
            "files of /d: + a.keep file links 2",
        ];
        let found = blame(&lines.map(str::to_owned), &action("gc", 0, ""));
        let changed = "changed since before the dump: files of /d: a.keep: file links 1 -> file links 2";
        assert_eq!(found, [changed, "left, and criu-gc does not know it: files of /d: + b file links 2"]);
        let elsewhere = ["files of /d: - a file links 1", "files of /e: + a file links 2"];
        assert_eq!(blame(&elsewhere.map(str::to_owned), &action("gc", 0, "")).len(), 2);
    }

    #[test]
    fn the_last_line_has_to_be_true() {
        let left = ["a link".to_owned()];
        let problem = |left: &[String], said: &str| problem_of_last_line(left, &action("show", 0, said));
        assert_eq!(problem(&[], "Nothing is left.\n"), None);
        assert_eq!(problem(&left, "Link remap: /a -> /b (to be removed)\n1 object\n"), None);
        assert!(problem(&[], "1 object\n").is_some_and(|said| said.contains("left nothing")));
        assert!(problem(&left, "Nothing is left.\n").is_some_and(|said| said.contains("something is")));
    }

    #[test]
    fn what_criu_gc_said() {
        let expectation = Expectation::of(serde_json::json!({"lremaps": [["/a", "/b"]]})).unwrap();
        let problems = |code, said: &str| problems_of(&action("show", code, said), Some(&expectation), Flavour::Own);
        assert_eq!(problems(0, "Link remap: /a -> /b\n"), [""; 0]);
        let found = problems(3, "nonsense\n");
        assert_eq!(found[0], "show ended with exit status: 3");
        assert!(found[1].starts_with("show: no line is ") && found.len() == 2, "{found:?}");
    }
}
