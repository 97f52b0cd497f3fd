// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What somebody may have meant by a word or an option that does not exist.

/// Words with which people and other tools ask for a list that changes nothing.
const LOOKS: [&str; 21] = [
    "check",
    "dry",
    "dry-run",
    "dryrun",
    "find",
    "info",
    "inspect",
    "just-print",
    "list",
    "ls",
    "no-act",
    "noop",
    "plan",
    "preview",
    "pretend",
    "print",
    "query",
    "scan",
    "simulate",
    "status",
    "test",
];

/// The option that was probably meant by `typed`, both without dashes.
pub(crate) fn option<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    if is_look(&typed) {
        return names.iter().find(|name| **name == "show").copied();
    }
    let limit = 1 + typed.len() / 5;
    let near = names.into_iter().map(|name| (distance(&typed, name), name)).filter(|(distance, _)| *distance <= limit);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Whether a word that names no checkpoint may have been meant as a command or an option.
pub(crate) fn is_word(operand: &str) -> bool {
    let word = operand.trim_start_matches('-');
    let is_letter = |character: char| character.is_ascii_alphabetic() || matches!(character, '-' | '_');
    !word.is_empty() && word.len() <= 20 && word.chars().all(is_letter)
}

fn is_look(typed: &str) -> bool {
    LOOKS.contains(&typed.replace('_', "-").as_str())
}

/// How many letters have to be changed, added, taken away or exchanged with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, with) in other.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(letter != with);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == other[j - 1] && one[i - 1] == *with {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["show", "save", "images-dir", "log-file", "host"];

    #[test]
    fn a_near_name_is_suggested() {
        for (typed, expected) in [
            ("shwo", Some("show")),
            ("Show", Some("show")),
            ("image-dir", Some("images-dir")),
            ("logfile", Some("log-file")),
            ("list", Some("show")),
            ("dry_run", Some("show")),
            ("force", None),
            ("x", None),
        ] {
            assert_eq!(option(typed, NAMES.into_iter()), expected, "{typed}");
        }
    }

    #[test]
    fn a_path_is_no_word() {
        for word in ["list", "--dry-run", "Status", "restore"] {
            assert!(is_word(word), "{word}");
        }
        for path in ["/srv/images", "./list", "dump.tar", "42", "img2", "", "-", "podman:web"] {
            assert!(!is_word(path), "{path}");
        }
    }
}
