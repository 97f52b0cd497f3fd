// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What ARCHITECTURE.md promises and no compiler checks, read from the sources. The promises that clippy can check are
//! in clippy.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file of the tool.
struct Source {
    /// Its path below `src`.
    path: String,
    text: String,
}

/// Modules that do not ask the system, and what they may know of it all the same: plain data.
const PURE: [&str; 4] = ["kind", "mounts", "plan", "firewall/rule_shape"];
const PLAIN_DATA: [&str; 8] = [
    "nft::Expression",
    "nft::{Expression, Verdict}",
    "xtables::IpVersion",
    "mountinfo::",
    "dir::InodeId",
    "filesystem::FilesystemId",
    "author::Author",
    "netns::NetworkId",
];
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::io",
    "std::thread",
    "std::os::unix::net",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "rustix",
];

/// Invariant 2.
fn impure_lines(source: &Source) -> Vec<String> {
    let is_pure = |module: &str| source.path.strip_prefix(module).is_some_and(|rest| rest.starts_with(['/', '.']));
    if !PURE.into_iter().any(is_pure) {
        return Vec::new();
    }
    let is_impure = |line: &&str| {
        let system = line.split("crate::system::").skip(1);
        IMPURE.iter().any(|word| line.contains(word))
            || line.replace("filesystem::", "").contains("system::{")
            || system.into_iter().any(|rest| !PLAIN_DATA.iter().any(|data| rest.starts_with(data)))
    };
    source.code().filter(is_impure).map(|line| format!("{}: {line}", source.path)).collect()
}

/// What is below `/proc` and is about no other process and no namespace: this process's own descriptors and settings,
/// its thread's network namespace, and facts of the kernel.
const OWN: [&str; 10] = [
    "/proc/thread-self/fd/",
    "/proc/self/fd/",
    "/proc/self/status",
    "/proc/self/ns/net",
    "/proc/thread-self/ns/net",
    "/proc/thread-self/net/",
    "/proc/filesystems",
    "/proc/modules",
    "/proc/kallsyms",
    "/proc/sys/kernel/random/boot_id",
];

/// What of a path below `/proc` a file may read all the same: whose word an owner is stands in the mount tables; the
/// program is a child of itself, and waits for its child and its parent; the namespace to record is that of the task
/// that CRIU holds; the memory to write code back to is that of the process; and a user may name a network namespace by a pid, as for CRIU.
const EXCEPTIONS: [(&str, &str); 9] = [
    ("system/origin.rs", "/proc/self/mountinfo"),
    ("system/origin.rs", "/proc/1/mountinfo"),
    ("recorder.rs", "/proc/{pid}/ns/net"),
    ("system/living.rs", "/proc/{pid}/mem"),
    ("bin/criu-gc/cli/resource.rs", "/proc/{pid}/ns/net"),
    ("bin/criu-gc/process.rs", "/proc/self/exe"),
    ("bin/criu-gc/process.rs", "/proc/{child}/status"),
    ("bin/criu-gc/process.rs", "/proc/{child}/stat"),
    ("bin/criu-gc/process.rs", "/proc/{}/ns/net"),
];

/// Invariant 9.
fn reads_proc(source: &Source) -> Vec<String> {
    if source.path.starts_with("host") {
        return Vec::new();
    }
    let is_excepted = |path: &str| EXCEPTIONS.contains(&(source.path.as_str(), path));
    let is_about_others = |line: &&str| {
        let paths =
            line.split("\"/proc").skip(1).map(|rest| format!("/proc{}", rest.split('"').next().unwrap_or_default()));
        let is_test_of_prefix = line.contains("starts_with(");
        let is_own = |path: &str| OWN.iter().any(|own| path.starts_with(own));
        !is_test_of_prefix && paths.into_iter().any(|path| !is_own(&path) && !is_excepted(&path))
    };
    source.code().filter(is_about_others).map(|line| format!("{}: {line}", source.path)).collect()
}

/// Modules that tell kinds, things that were found, verdicts and outcomes apart.
const DECIDING: [&str; 6] = ["kind", "carrier", "probe", "plan", "execute", "report"];

/// Invariant 12: the arms for all the rest of a match over a tuple, which clippy does not see. A new kind would fall there.
fn wildcards_over_tuples(source: &Source) -> Vec<String> {
    let decides = |module: &str| source.path.strip_prefix(module).is_some_and(|rest| rest.starts_with(['/', '.']));
    if !DECIDING.into_iter().any(decides) {
        return Vec::new();
    }
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = source.code().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| line.contains("match (") && line.ends_with('{'));
    let wildcards = starts.flat_map(|(at, start)| {
        let depth = indentation(start);
        let body = lines[at + 1..].iter().take_while(move |line| indentation(line) > depth || line.is_empty());
        body.filter(move |line| indentation(line) == depth + 4)
    });
    let is_wildcard = |line: &&&str| ["_ =>", "_ if ", "(_, _) "].iter().any(|arm| line.trim_start().starts_with(arm));
    wildcards.filter(is_wildcard).map(|line| format!("{}: {line}", source.path)).collect()
}

#[test]
fn no_match_over_a_tuple_has_an_arm_for_all_the_rest() {
    let broken =
        |arm: &str| format!("fn f() {{\n    match (a, b) {{\n        (A, B) => 1,\n        {arm} => 2,\n    }}\n}}\n");
    let broken = ["_", "_ if c", "(_, _)"].map(broken);
    assert_rule(wildcards_over_tuples, "kind/new.rs", &broken.each_ref().map(String::as_str));
}

/// What changes files, mounts or processes.
const CHANGES: [&str; 22] = [
    "unlinkat",
    "renameat",
    "linkat",
    "mkdirat",
    "mknodat",
    "ftruncate",
    "fallocate",
    "fchmod",
    "fchown",
    "utimens",
    "setxattr",
    "kill_process",
    "rustix::mount",
    ".write(true)",
    ".append(true)",
    "File::create",
    "fs::write",
    "fs::remove",
    "fs::create_dir",
    "fs::rename",
    "fs::set_permissions",
    "fs::hard_link",
];

/// Invariant 13. The program writes its log and to its terminal.
fn changes_the_machine(source: &Source) -> Vec<String> {
    if ["system", "bin"].iter().any(|module| source.path.starts_with(module)) {
        return Vec::new();
    }
    let is_change = |line: &&str| CHANGES.iter().any(|change| line.contains(change));
    source.code().filter(is_change).map(|line| format!("{}: {line}", source.path)).collect()
}

#[test]
fn only_system_changes_the_machine() {
    let broken = CHANGES.map(|change| format!("    let x = {change}(y);"));
    assert_rule(changes_the_machine, "carrier/name.rs", &broken.each_ref().map(String::as_str));
}

/// Rust 1.85, which Debian 13 has, knows no chains of `let`; the compiler in use says nothing about them.
fn chains_lets(source: &Source) -> Vec<String> {
    let code: String = source.code().map(|line| format!("{} ", line.trim())).collect();
    let is_chain = |rest: &&str| {
        let value = rest.split_once(" = ").map_or("", |(_, value)| value);
        let mut depth = 0;
        for (place, each) in value.char_indices() {
            match each {
                '{' if depth == 0 => return false,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                '&' if depth == 0 && value[place..].starts_with("&& ") => return true,
                _ => {}
            }
        }
        false
    };
    let conditions = ["if let ", "while let "].into_iter().flat_map(|start| code.split(start).skip(1));
    let chains = conditions.filter(is_chain).chain(code.split("&& let ").skip(1));
    chains.map(|rest| format!("{}: {}", source.path, rest.chars().take(80).collect::<String>())).collect()
}

#[test]
fn the_oldest_compiler_understands_the_sources() {
    let broken = [
        "    if let Some(a) = b(c)\n        && d\n    {",
        "    while let Some(A { a, .. }) = b && c {",
        "    if a && let Some(b) = c {",
    ];
    assert_rule(chains_lets, "plan.rs", &broken);
}

/// House style: who may use a file, and what it is for, stands at its head.
fn headless(source: &Source) -> Vec<String> {
    let mut lines = source.text.lines();
    let has_licence = lines.next() == Some("// SPDX-License-Identifier: Apache-2.0 OR MIT");
    let says_purpose = source.is_test() || lines.next().is_some_and(|line| line.starts_with("//! "));
    if has_licence && says_purpose { Vec::new() } else { vec![source.path.clone()] }
}

impl Source {
    /// Whether it is one of the crate that has its modules there.
    fn is_below(&self, top: &str) -> bool {
        self.path.starts_with(top) && (top == PROGRAM || !self.path.starts_with("bin/"))
    }

    /// The lines that are compiled into the tool, without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let text = if self.is_test() { "" } else { self.text.as_str() };
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        text.lines().filter(|line| !line.trim_start().starts_with("//"))
    }

    fn is_test(&self) -> bool {
        ["/tests.rs", "/tests/", "/example.rs"].iter().any(|part| self.path.contains(part))
    }
}

fn sources() -> Vec<Source> {
    sources_below("src")
}

/// All source files of a crate.
fn sources_below(directory: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut paths = Vec::new();
    walk(&top, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("a source file"),
        path: path.strip_prefix(&top).expect("a path below the directory").display().to_string(),
    };
    paths.into_iter().map(read).collect()
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { walk(&path, paths) } else { paths.push(path) }
    }
}

/// The rule holds for all sources, and is broken by a file of this path and text: a rule that nothing can break holds
/// nothing.
#[track_caller]
fn assert_rule(rule: fn(&Source) -> Vec<String>, path: &str, broken: &[&str]) {
    let found: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(found.is_empty(), "{found:#?}");
    for text in broken {
        let source = Source { path: path.to_owned(), text: (*text).to_owned() };
        assert!(!rule(&source).is_empty(), "not noticed: {text}");
    }
}

#[test]
fn kinds_mounts_and_plan_do_not_ask_the_system() {
    let broken = [
        "use std::fs;",
        "use std::net::{IpAddr, TcpStream};",
        "    rustix::process::getpid()",
        "use crate::system::nft::Nft;",
        "use crate::system::{dir, nft};",
        "let x = crate::system::process::pids();",
        "    use crate::system;\n    system::{process};",
    ];
    assert_rule(impure_lines, "mounts/overlay.rs", &broken);
    assert_rule(impure_lines, "plan.rs", &["use std::env;"]);
}

/// The modules that each module of a crate uses, of those at the top of the crate.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Where the library and the program have their modules, below `src`.
const LIBRARY: &str = "";
const PROGRAM: &str = "bin/criu-gc/";

fn uses(sources: &[Source], top: &str) -> Uses {
    let mut uses = Uses::new();
    for source in sources.iter().filter(|source| source.is_below(top)) {
        let path = &source.path[top.len()..];
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let code: String = source.code().map(|line| format!("{line}\n")).collect();
        let mut names: BTreeSet<String> = code.split("crate::").skip(1).flat_map(named_first).collect();
        // From a file at the top this is the crate.
        if !path.contains('/') {
            names.extend(code.split("super::").skip(1).flat_map(named_first));
        }
        names.remove(module);
        uses.entry(module.to_owned()).or_default().extend(names);
    }
    // What declares the modules uses them all.
    uses.retain(|module, _| !["lib", "main", "internals"].contains(&module.as_str()));
    uses
}

/// The modules that follow `crate::`, be it one or a list in braces.
fn named_first(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        let is_part = |each: &char| each.is_ascii_alphanumeric() || *each == '_';
        text.trim_start().chars().take_while(is_part).collect::<String>()
    };
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 0;
    let mut names = vec![name(list)];
    for (place, each) in list.char_indices() {
        match each {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&list[place + 1..])),
            _ => {}
        }
    }
    names
}

/// A circle of modules: each uses the next, and the last one the first.
fn circle(uses: &Uses) -> Option<String> {
    fn go<'a>(uses: &'a Uses, way: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> Option<String> {
        let here = *way.last()?;
        for next in uses.get(here).into_iter().flatten() {
            if let Some(start) = way.iter().position(|module| module == next) {
                return Some([&way[start..], &[next]].concat().join(" uses "));
            }
            if done.insert(next) {
                way.push(next);
                let found = go(uses, way, done);
                if found.is_some() {
                    return found;
                }
                way.pop();
            }
        }
        None
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| go(uses, &mut vec![module], &mut done))
}

#[test]
fn modules_use_one_another_in_one_direction() {
    for (directory, top) in [("src", LIBRARY), ("src", PROGRAM), ("xtask/src", ""), ("tests/zdtm/src", "")] {
        assert_eq!(circle(&uses(&sources_below(directory), top)), None, "{directory}/{top}");
    }
    for (top, module, used) in [(LIBRARY, "probe", "kind"), (PROGRAM, "run", "terminal")] {
        let uses = uses(&sources(), top);
        assert!(uses[module].contains(used), "uses are not noticed");
        // A name of the crate itself would hide which module is used.
        let hidden: Vec<&String> = uses.values().flatten().filter(|name| !uses.contains_key(*name)).collect();
        assert!(hidden.is_empty(), "these are names of no module: {hidden:?}");
        let mut broken = uses.clone();
        broken.entry(used.to_owned()).or_default().insert(module.to_owned());
        assert!(circle(&broken).is_some_and(|circle| circle.contains(&format!("{used} uses {module}"))), "{top}");
    }
}

/// The library prints nothing, ends no process, and gives up nothing that its caller has.
fn acts_for_the_process(source: &Source) -> Vec<String> {
    const WORDS: [&str; 7] = [
        "process::exit",
        "process::abort",
        "io::stdout",
        "io::stderr",
        "set_capabilities",
        "set_no_new_privs",
        "remove_capability_from_bounding_set",
    ];
    if source.is_below(PROGRAM) {
        return Vec::new();
    }
    let acts = |line: &&str| WORDS.iter().any(|word| line.contains(word));
    source.code().filter(acts).map(|line| format!("{}: {line}", source.path)).collect()
}

#[test]
fn the_library_does_not_act_for_its_process() {
    let broken = ["    std::process::exit(1);", "use std::io::stdout;", "thread::set_no_new_privs(true)?;"];
    assert_rule(acts_for_the_process, "session.rs", &broken);
}

/// An error's message does not repeat its source: `with_causes` prints both.
fn repeats_source(source: &Source) -> Vec<String> {
    let repeats = |line: &&str| {
        let is_message = line.trim_start().starts_with("#[error(");
        is_message && (line.contains("{source}") || line.contains("to_string_with"))
    };
    source.code().filter(repeats).map(|line| format!("{}: {line}", source.path)).collect()
}

/// What crosses the border of a file is a type of error, not a sentence.
fn errs_with_a_sentence(source: &Source) -> Vec<String> {
    let is_shared = |line: &&str| {
        let line = line.trim_start();
        (line.starts_with("pub ") || line.starts_with("pub(")) && line.contains(", String>") && line.contains("Result<")
    };
    source.code().filter(is_shared).map(|line| format!("{}: {line}", source.path)).collect()
}

#[test]
fn errors_have_types_and_do_not_repeat_their_sources() {
    assert_rule(repeats_source, "save.rs", &["    #[error(\"cannot save: {source}\")]"]);
    assert_rule(errs_with_a_sentence, "save.rs", &["    pub(super) fn save(&self) -> Result<(), String> {"]);
}

#[test]
fn modules_are_noticed_in_braces_too() {
    assert_eq!(named_first("plan::Plan;\nuse std::fs;"), ["plan"]);
    assert_eq!(named_first("{\n    plan::{self, Plan},\n    probe};\n, residue"), ["plan", "probe"]);
}

#[test]
fn nothing_but_the_picture_of_the_host_reads_proc_about_others() {
    let broken = [
        "fs::read(\"/proc/1/stat\")",
        "let x = format!(\"/proc/{pid}/root\");",
        "read_dir(\"/proc\")",
        "open(\"/proc/locks\")",
    ];
    assert_rule(reads_proc, "probe.rs", &broken);
}

#[test]
fn every_file_has_its_licence_and_says_what_it_is_for() {
    let licence = "// SPDX-License-Identifier: Apache-2.0 OR MIT\n";
    assert_rule(headless, "new.rs", &["", "//! What for.\n", licence, &format!("{licence}use std::fs;\n")]);
    assert_rule(headless, "new/tests.rs", &["use super::*;\n"]);
}

/// The modules of test suites that no module declares. They are not compiled, and no compiler says so.
fn undeclared(sources: &[Source]) -> Vec<&str> {
    let is_root = |path: &Path| path.ends_with("main.rs") || path.ends_with("lib.rs");
    let is_declared = |path: &Path| {
        let module = path.file_stem().expect("a name").to_string_lossy();
        let directory = path.parent().expect("a directory");
        let parents = [directory.join("main.rs"), directory.join("lib.rs"), directory.with_extension("rs")];
        let mut parents =
            sources.iter().filter(|source| parents.iter().any(|parent| *parent == Path::new(&source.path)));
        let declarations = ["", "pub ", "pub(crate) "].map(|visibility| format!("{visibility}mod {module};"));
        parents.any(|source| source.text.lines().any(|line| declarations.iter().any(|declaration| line == declaration)))
    };
    // What lies directly in tests/, or in the tests/ or src/bin/ of a crate, is a program of its own.
    let is_program = |path: &Path| {
        let directory = path.parent().expect("a directory");
        is_root(path) || directory == Path::new("") || directory.ends_with("tests") || directory.ends_with("bin")
    };
    let paths = sources.iter().map(|source| source.path.as_str());
    paths.filter(|path| !is_program(Path::new(path)) && !is_declared(Path::new(path))).collect()
}

#[test]
fn every_file_of_a_test_suite_is_compiled() {
    let mut sources = sources_below("tests");
    assert_eq!(undeclared(&sources), Vec::<&str>::new());
    sources.push(Source { path: "privileged/forgotten.rs".to_owned(), text: String::new() });
    sources.push(Source { path: "privileged/reader/forgotten.rs".to_owned(), text: String::new() });
    assert_eq!(undeclared(&sources), ["privileged/forgotten.rs", "privileged/reader/forgotten.rs"]);
}

/// What two programs need is a crate: a file that is a module of both is compiled twice, and unused in part.
#[test]
fn no_module_has_a_path_of_its_own() {
    let attribute = format!("#[{}", "path");
    let programs = ["src", "tests", "benches", "xtask/src"];
    let found = programs.iter().flat_map(|directory| sources_below(directory));
    let found: Vec<String> =
        found.filter(|source| source.text.contains(&attribute)).map(|source| source.path).collect();
    assert_eq!(found, Vec::<String>::new());
}
