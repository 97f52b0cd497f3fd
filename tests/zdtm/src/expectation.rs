// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a test's hook says must be found: the dictionary that it prints when called with `--gc`.
//!
//! The protocol is that of the series of 2016: `lremaps` and `tcps` are lists of pairs of regular expressions, the two
//! sides of a line. Ours beyond it: `locks`, for tables and chains that close a network, and `options`, which criu-gc
//! needs beside the images.

use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::description::Flavour;
use crate::literal;
use crate::session::Session;

/// What hooks answer to.
pub(crate) const QUESTION: &str = "--gc";

/// Lines that criu-gc must print about a dump.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectation {
    everywhere: Vec<Regex>,
    on_host: Vec<Regex>,
    /// Arguments for criu-gc.
    pub(crate) options: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Dictionary {
    lremaps: Vec<(String, String)>,
    tcps: Vec<(String, String)>,
    locks: Vec<(String, String)>,
    options: Vec<String>,
}

impl Expectation {
    /// What the hook says when it is called, which it has to do.
    pub(crate) fn of_hook(hook: &Path, session: &mut Session<'_>) -> Result<Self, String> {
        let wrong = |problem: String| format!("the hook {} does not say what it expects: {problem}", hook.display());
        let action = session.run("hook --gc", Command::new(hook).arg(QUESTION));
        let action = action.map_err(|stopped| wrong(stopped.to_string()))?;
        if !action.is_success() {
            return Err(wrong(action.end.to_string()));
        }
        let value = literal::value_of(&action.stdout).map_err(|error| wrong(error.to_string()))?;
        value.and_then(Self::of).map_err(wrong)
    }

    /// From the value of what the hook prints.
    pub(crate) fn of(value: Value) -> Result<Self, String> {
        let dictionary: Dictionary = literal::dictionary(value)?;
        let links = lines("Link remap:", &dictionary.lremaps)?;
        let locks = lines("Network lock (?:chain:|table: inet)", &dictionary.locks)?;
        let on_host = lines("Locked tcp connection:", &dictionary.tcps)?;
        let expectation = Self { everywhere: [links, locks].concat(), on_host, options: dictionary.options };
        if expectation.everywhere.is_empty() && expectation.on_host.is_empty() {
            return Err("it expects nothing, so nothing would be compared".to_owned());
        }
        Ok(expectation)
    }

    /// What no line of the output is, in the order of the dictionary. This serves a look and a removal.
    pub(crate) fn missing(&self, flavour: Flavour, output: &str) -> Vec<String> {
        let of_flavour: &[Regex] = if flavour == Flavour::Host { &self.on_host } else { &[] };
        let expected = self.everywhere.iter().chain(of_flavour);
        // An object that nobody can find is no residue; one that went with its filesystem is what 2016 would have shown.
        let is_missing =
            |line: &&Regex| !output.lines().any(|found| line.is_match(found) && !found.ends_with("(gone)"));
        expected.filter(is_missing).map(|line| format!("no line is {line}")).collect()
    }
}

/// Each pair as a whole line; what criu-gc knows beyond 2016 follows in parentheses.
fn lines(start: &str, pairs: &[(String, String)]) -> Result<Vec<Regex>, String> {
    let line = |(left, right): &(String, String)| {
        // Both sides have to be expressions by themselves: two halves could make one that is none of theirs.
        for side in [left, right] {
            Regex::new(side).map_err(|error| error.to_string())?;
        }
        let line = format!(r"^{start} (?:{left}) -> (?:{right})(?: \(.*\))?$");
        Regex::new(&line).map_err(|error| error.to_string())
    };
    pairs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::interrupt::Interrupt;
    use crate::parallel;
    use crate::session::Limits;

    const OUTPUT: &str = "\
Locked tcp connection: ::1:8880 -> ::1:40000 (2 rules of ip6tables-nft; to be removed)
Link remap: /d.test/link_remap.9 -> /d.test/subdir/file (gone: with the tree's own tmpfs)
Network lock table: inet CRIU-1 -> /run/netns/blue (drops every packet; to be removed)
3 objects: 2 to be removed, 1 gone.
";

    fn missing(flavour: Flavour, dictionary: Value) -> usize {
        Expectation::of(dictionary).unwrap().missing(flavour, OUTPUT).len()
    }

    #[test]
    fn lines_of_2016_with_more_behind() {
        let links = |right: &str| json!({"lremaps": [[r"/d\.test/link_remap\.\d+", right]]});
        assert_eq!(missing(Flavour::Own, links("/d.test/subdir/file")), 0);
        assert_eq!(missing(Flavour::Own, links("/d.test/subdir")), 1);
        assert_eq!(missing(Flavour::Own, links("subdir/file|other")), 1);
        assert_eq!(missing(Flavour::Own, json!({"locks": [["CRIU-.*", "/run/netns/blue"]]})), 0);
        assert_eq!(missing(Flavour::Own, json!({"locks": [["CRIU-.*", "/run/netns/red"]]})), 1);
        let plain = Expectation::of(json!({"lremaps": [["/a", "/b"]]})).unwrap();
        assert_eq!(plain.missing(Flavour::Own, "Link remap: /a -> /b\n"), [""; 0]);
        let wanted = r"no line is ^Link remap: (?:/a) -> (?:/b)(?: \(.*\))?$";
        assert_eq!(plain.missing(Flavour::Own, "Link remap: /a -> /bc\n"), [wanted]);
    }

    #[test]
    fn what_is_gone_is_not_found() {
        let expected = Expectation::of(json!({"lremaps": [["/a", "/b"]]})).unwrap();
        let missing = |output: &str| expected.missing(Flavour::Host, output).len();
        assert_eq!(missing("Link remap: /a -> /b (gone)\n"), 1);
        assert_eq!(missing("Link remap: /a -> /b (gone: with the tree's own tmpfs)\n"), 0);
        assert_eq!(missing("Link remap: /a -> /b (9 bytes, its last name; removed)\n"), 0);
    }

    #[test]
    fn connections_are_compared_on_the_host_only() {
        let wrong = json!({"tcps": [["::1:8881", r"::1:\d+"]]});
        assert_eq!(missing(Flavour::Host, json!({"tcps": [["::1:8880", r"::1:\d+"]]})), 0);
        assert_eq!(missing(Flavour::Host, wrong.clone()), 1);
        assert_eq!((missing(Flavour::Own, wrong.clone()), missing(Flavour::User, wrong)), (0, 0));
    }

    fn ask(hook: &Path) -> Result<Expectation, String> {
        let interrupt = Interrupt::default();
        Expectation::of_hook(hook, &mut Session::new(Limits::default(), &interrupt))
    }

    #[test]
    fn every_hook_of_the_project_answers() {
        let directories = ["own", "hooks/static", "hooks/transition"].map(|name| Path::new("tests/zdtm").join(name));
        let read = |directory| std::fs::read_dir(Path::new("../..").join(directory)).unwrap();
        let paths = directories.iter().flat_map(read).map(|entry| entry.unwrap().path());
        let is_hook = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "hook");
        let hooks: Vec<_> = paths.filter(|path| is_hook(path) && !path.is_symlink()).collect();
        assert!(hooks.len() > 25, "{hooks:?}");
        let ask = |hook: &PathBuf| ask(hook).map(drop);
        assert_eq!(parallel::map(&hooks, ask, Result::is_err), vec![Ok(()); hooks.len()]);
    }

    #[test]
    fn what_is_no_hook() {
        let problem = |hook: &str| ask(hook.as_ref()).unwrap_err();
        let said = problem("/bin/false");
        assert_eq!(said, "the hook /bin/false does not say what it expects: exit status: 1");
        assert!(
            problem("/bin/true").contains("true does not say what it expects: SyntaxError"),
            "{}",
            problem("/bin/true")
        );
    }

    #[test]
    fn what_is_no_expectation() {
        for (value, problem) in [
            (json!({}), "nothing would be compared"),
            (json!({"options": ["--netns", "/n"]}), "nothing would be compared"),
            (json!({"lremap": [["a", "b"]]}), "unknown field `lremap`"),
            (json!({"lremaps": [["a"]]}), "expected a tuple of size 2"),
            (json!({"lremaps": [["(a", "b)"]]}), "unclosed group"),
            (json!([["a", "b"]]), "it is no dictionary"),
        ] {
            let found = Expectation::of(value).unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
    }
}
