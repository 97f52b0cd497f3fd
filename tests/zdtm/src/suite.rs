// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tests that there are: the project's own, and those of a source tree of CRIU that the user has.
//!
//! The tree is only ever read; its programs are the user's to build.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::description::Description;
use crate::error::Error;
use crate::expectation::QUESTION;
use crate::literal;

/// The directories of CRIU's suite that hold tests.
const GROUPS: [&str; 2] = ["static", "transition"];

/// One test.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    /// `static/socket-tcp`; `own/…` for the project's.
    pub(crate) name: String,
    /// What its description says, or why that cannot be read.
    pub(crate) description: Result<Description, String>,
    /// The hook that says what it leaves.
    pub(crate) hook: Option<PathBuf>,
    /// The `test` directory of the tree that it is from; the project's own have none.
    pub(crate) tree: Option<PathBuf>,
}

/// A test whose description is yet to be read.
struct Place {
    name: String,
    /// What its files are called, without extension.
    program: PathBuf,
    hook: Option<PathBuf>,
    tree: Option<PathBuf>,
}

/// The project's own tests.
pub(crate) fn own(project: &Path) -> Result<Vec<Test>, Error> {
    let directory = project.join("tests/zdtm/own");
    let names = names(&directory, |path| path.extension().is_some_and(|extension| extension == "desc"))?;
    let place = |name: &str| {
        let program = directory.join(name);
        Place { name: format!("own/{name}"), hook: answering(with_extension(&program, "hook")), program, tree: None }
    };
    described(names.iter().filter_map(|name| name.strip_suffix(".desc")).map(place).collect())
}

/// The built tests of CRIU's source tree.
pub(crate) fn of_criu(source: &Path, project: &Path) -> Result<Vec<Test>, Error> {
    let tree = source.join("test");
    let place = |name: String| {
        let program = tree.join("zdtm").join(&name);
        // A branch of CRIU may bring hooks of its own for this; the project's come first.
        let ours = with_extension(&project.join("tests/zdtm/hooks").join(&name), "hook");
        let hook = answering(ours).or_else(|| answering(with_extension(&program, "hook")));
        Place { name, program, hook, tree: Some(tree.clone()) }
    };
    let mut places = Vec::new();
    for group in GROUPS {
        let directory = tree.join("zdtm").join(group);
        if !directory.join("Makefile").exists() {
            return Err(Error::NoSource(source.to_owned()));
        }
        places.extend(names(&directory, is_test)?.into_iter().map(|name| place(format!("{group}/{name}"))));
    }
    if places.is_empty() {
        return Err(Error::NotBuilt { source_tree: source.to_owned(), tests: "no test".to_owned() });
    }
    described(places)
}

/// The tests with what the descriptions beside their programs say. None, or an empty one, says nothing.
fn described(places: Vec<Place>) -> Result<Vec<Test>, Error> {
    let text = |place: &Place| match fs::read_to_string(with_extension(&place.program, "desc")) {
        Ok(text) if !text.trim().is_empty() => text,
        _ => "{}".to_owned(),
    };
    let values = literal::values(&places.iter().map(text).collect::<Vec<_>>())?;
    let test = |(place, value): (Place, Result<Value, String>)| {
        let description = value.and_then(Description::of);
        let description = description.map_err(|problem| format!("its description cannot be read: {problem}"));
        Test { name: place.name, description, hook: place.hook, tree: place.tree }
    };
    Ok(places.into_iter().zip(values).map(test).collect())
}

/// The tests that the names ask for, each by its whole name or without `static/`.
pub(crate) fn chosen(tests: Vec<Test>, names: &[String], source: Option<&Path>) -> Result<Vec<Test>, Error> {
    let is_meant = |test: &Test, name: &String| test.name == *name || test.name == format!("static/{name}");
    if let Some(name) = names.iter().find(|name| !tests.iter().any(|test| is_meant(test, name))) {
        return Err(match source {
            Some(source) if source_of(source, name).exists() => {
                Error::NotBuilt { source_tree: source.to_owned(), tests: format!("no program of {name}") }
            }
            _ => Error::NoTest(name.clone()),
        });
    }
    Ok(tests.into_iter().filter(|test| names.iter().any(|name| is_meant(test, name))).collect())
}

/// `PATH.extension`, whatever dots the name has.
pub(crate) fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Whether the file is a program.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn source_of(source: &Path, name: &str) -> PathBuf {
    let name = if name.contains('/') { name.to_owned() } else { format!("static/{name}") };
    with_extension(&source.join("test/zdtm").join(name), "c")
}

/// A test is a program with a source beside it.
fn is_test(path: &Path) -> bool {
    is_executable(path) && with_extension(path, "c").exists()
}

fn answering(hook: PathBuf) -> Option<PathBuf> {
    let answers = is_executable(&hook) && fs::read_to_string(&hook).is_ok_and(|text| text.contains(QUESTION));
    answers.then_some(hook)
}

/// The names in the directory, sorted, of what passes.
fn names(directory: &Path, passes: impl Fn(&Path) -> bool) -> Result<Vec<String>, Error> {
    let file = |source| Error::File { action: "read", path: directory.to_owned(), source };
    let paths = fs::read_dir(directory).map_err(file)?.flatten().map(|entry| entry.path());
    let passing = paths.filter(|path| passes(path));
    let mut names: Vec<_> = passing.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source tree with two programs that are built, one that is not, and things that are no tests.
    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = tree.path().join("test/zdtm").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for (name, description, hook) in
            [("a.b", "{'flavor': 'h'}", "a --gc hook"), ("code", "os.getenv('A') or {}", "another hook")]
        {
            file(&format!("static/{name}"), "", 0o755);
            file(&format!("static/{name}.c"), "", 0o644);
            file(&format!("static/{name}.desc"), description, 0o644);
            file(&format!("static/{name}.hook"), hook, 0o755);
        }
        file("static/script.sh", "", 0o755);
        for name in ["static/Makefile", "transition/Makefile", "static/unbuilt.c"] {
            file(name, "", 0o644);
        }
        tree
    }

    #[test]
    fn tests_of_a_tree() {
        let tree = tree();
        let tests = of_criu(tree.path(), tree.path()).unwrap();
        let names: Vec<_> = tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["static/a.b", "static/code"]);
        assert_eq!(tests[0].description.as_ref().unwrap().flavours.len(), 1);
        assert!(tests[1].description.as_ref().unwrap_err().contains("cannot be read: ValueError"));
        assert!(tests[0].hook.is_some() && tests[1].hook.is_none());
        let choose = |name: &str| chosen(tests.clone(), &[name.to_owned()], Some(tree.path()));
        assert_eq!((choose("a.b").unwrap().len(), choose("static/code").unwrap().len()), (1, 1));
        assert!(choose("unbuilt").unwrap_err().to_string().contains("no program of unbuilt"));
        assert!(choose("nonsense").unwrap_err().to_string().contains("there is no test nonsense"));
    }

    #[test]
    fn what_is_no_tree_and_what_is_not_built() {
        let tree = tree();
        for program in ["static/a.b", "static/code"] {
            fs::remove_file(tree.path().join("test/zdtm").join(program)).unwrap();
        }
        let problem = |path: &Path| of_criu(path, path).unwrap_err().to_string();
        let said = problem(tree.path());
        assert!(said.contains("no test") && said.contains("make -C"), "{said}");
        let said = problem(&tree.path().join("test"));
        assert!(said.contains("is no source tree of CRIU"), "{said}");
    }
}
