// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The archive's mirror, as the machine's own apt sources name it.
//!
//! No host name is written anywhere in the project: a machine behind a proxy or with a mirror of its
//! own has that in its sources already, with the keyring that signs it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::tree::file;

/// Where a suite can be had.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Mirror {
    /// Its address.
    pub(crate) uri: String,
    /// The value of `Signed-By`, which may be a keyring's path or a key; apt's own keys without.
    pub(crate) signed_by: Option<String>,
}

/// One source of packages, of either format.
#[derive(Debug, Default)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// The code name of this machine's release.
pub(crate) fn release() -> Result<String, Error> {
    codename(&read(Path::new("/etc/os-release"))?).ok_or(Error::NoCodename)
}

/// The mirror that this machine's release comes from.
pub(crate) fn mirror() -> Result<Mirror, Error> {
    let codename = release()?;
    let files = files()?;
    for file in &files {
        let text = read(file)?;
        let found = match file.extension().is_some_and(|extension| extension == "sources") {
            true => find(&stanzas(&text), &codename),
            false => find(&lines(&text), &codename),
        };
        if let Some(mirror) = found {
            return Ok(mirror);
        }
    }
    Err(Error::NoMirror { codename, files })
}

fn files() -> Result<Vec<PathBuf>, Error> {
    let directory = Path::new("/etc/apt/sources.list.d");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_source = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("list" | "sources"))
    };
    let mut files: Vec<_> = entries.filter(is_source).collect();
    files.sort();
    let main = PathBuf::from("/etc/apt/sources.list");
    Ok(main.exists().then_some(main).into_iter().chain(files).collect())
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(file("read", path))
}

fn codename(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

fn find(sources: &[Source], codename: &str) -> Option<Mirror> {
    let fits = |source: &&Source| {
        let has = |words: &[String], wanted: &str| words.iter().any(|word| word == wanted);
        has(&source.suites, codename) && has(&source.components, "main")
    };
    let source = sources.iter().find(fits)?;
    let is_remote = |uri: &&String| !uri.starts_with("cdrom:");
    let uri = source.uris.iter().find(is_remote)?.clone();
    Some(Mirror { uri, signed_by: source.signed_by.clone() })
}

/// The one-line format: `deb [options] URI SUITE COMPONENT…`
fn lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(|line| one_line(line.split('#').next()?.trim())).collect()
}

fn one_line(line: &str) -> Option<Source> {
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t', '['].as_slice()).map(|_| rest.trim_start())?;
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// The format of stanzas with fields, where a field goes on in lines that start with a space.
fn stanzas(text: &str) -> Vec<Source> {
    let mut sources = vec![Vec::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.trim().is_empty() {
            true => sources.push(Vec::new()),
            false => sources.last_mut().expect("never empty").push(line),
        }
    }
    sources.iter().filter_map(|lines| stanza(lines)).collect()
}

fn stanza(lines: &[&str]) -> Option<Source> {
    let words = |name| field(lines, name).map(|value| value.split_whitespace().map(str::to_owned).collect());
    let is_enabled = field(lines, "enabled").is_none_or(|value| value.trim() != "no");
    let is_binary = field(lines, "types")?.split_whitespace().any(|kind| kind == "deb");
    (is_enabled && is_binary).then_some(())?;
    Some(Source {
        uris: words("uris")?,
        suites: words("suites")?,
        components: words("components")?,
        signed_by: field(lines, "signed-by"),
    })
}

fn field(lines: &[&str], name: &str) -> Option<String> {
    let is_it = |line: &&str| {
        line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name)) && !line.starts_with(' ')
    };
    let start = lines.iter().position(is_it)?;
    let more = lines[start + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
    let first = lines[start].split_once(':')?.1.trim();
    Some(more.fold(first.to_owned(), |value, line| value + "\n" + line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sources: &[Source], expected: Option<(&str, Option<&str>)>) {
        let expected =
            expected.map(|(uri, signed_by)| Mirror { uri: uri.to_owned(), signed_by: signed_by.map(str::to_owned) });
        assert_eq!(find(sources, "bookworm"), expected);
    }

    #[test]
    fn one_line_format() {
        check(&lines("deb http://m/debian bookworm main"), Some(("http://m/debian", None)));
        check(
            &lines("deb-src http://s bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://m bookworm main # mine"),
            Some(("http://m", Some("/k.gpg"))),
        );
        check(&lines("deb http://m bookworm-security main\n# deb http://n bookworm main"), None);
        check(&lines("deb http://m bookworm contrib\ndebx http://m bookworm main"), None);
        check(&lines("deb cdrom:[Debian]/ bookworm main"), None);
    }

    #[test]
    fn stanza_format() {
        let text = "# comment\nTypes: deb\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\nSigned-By: /k.gpg\n";
        check(&stanzas(text), Some(("http://m/debian", Some("/k.gpg"))));
        check(&stanzas(&text.replace("Types: deb", "Types: deb-src")), None);
        check(&stanzas(&text.replace("Types: deb", "Enabled: no\nTypes: deb")), None);
        check(
            &stanzas(&format!("{}\n\n{text}", text.replace("bookworm", "nodistro").replace("//m", "//n"))),
            Some(("http://m/debian", Some("/k.gpg"))),
        );
    }

    #[test]
    fn a_key_may_take_several_lines() {
        let text =
            "Types: deb\nURIs: http://m\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n";
        check(&stanzas(text), Some(("http://m", Some("\n -----BEGIN\n .\n abc"))));
    }
}
