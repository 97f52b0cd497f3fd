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

/// What a difference to the time before the dump means, after everything should be as then. A success of criu-gc says
/// that nothing is left which it knows.
pub(crate) fn blame(line: &str, removal: &Action) -> String {
    let is_gone = line.split(": ").any(|part| part.starts_with("- "));
    match (is_gone, removal.is_success()) {
        (true, _) => format!("gone, though it was there before the dump: {line}"),
        (false, true) => format!("left, and criu-gc does not know it: {line}"),
        (false, false) => format!("left by criu-gc: {line}"),
    }
}

/// The first error of a log that matters: later ones follow from it.
pub(crate) fn reason_of(log: &str) -> String {
    let mut errors = log.lines().filter_map(|line| line.split_once("Error ").map(|(_, error)| error));
    let error = errors.find(|error| !error.contains(HARMLESS));
    let error = error.or_else(|| log.lines().last()).unwrap_or("it wrote no log");
    // `(criu/files.c:123): text` with numbers of processes that differ from run to run is of no use to compare.
    error.split_once("): ").map_or(error, |(_, text)| text).trim().to_owned()
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
    fn what_a_difference_means() {
        let (success, failure) = (action("gc", 0, ""), action("gc", 1, ""));
        let check = |line: &str, action, expected: &str| assert_eq!(blame(line, action), format!("{expected}: {line}"));
        check("files of /d: - a file mode 644", &success, "gone, though it was there before the dump");
        check("nft in the host: + table inet x", &success, "left, and criu-gc does not know it");
        check("iptables-nft-save in the host: + filter: -A INPUT", &failure, "left by criu-gc");
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
