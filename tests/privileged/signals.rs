// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signals in the middle of a removal: the step at hand is finished, the report is true, the program ends by the
//! signal, and a second run does the rest.

use testkit::{Criu, DumpOptions, Snapshot, TestHost, Word};

use crate::case::{Case, Cases};
use crate::places::images_of;
use crate::tool::{NOTHING, Tool, make_tables};
use crate::trace::tampering;

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "SIGHUP, SIGINT and SIGTERM end a removal after the step at hand", test: between_links },
    Case {
        name: "a signal before the first step of a removal leaves everything, and one after the last is too late",
        test: around_the_steps,
    },
    Case { name: "a second signal ends a removal at once, and another run does the rest", test: second },
    Case { name: "a signal that was ignored from the start stays ignored", test: ignored },
    Case { name: "a signal does not part the two link remaps of one inode", test: one_inode },
]));

const SIGNALS: [(&str, i32); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];

fn between_links(criu: &Criu) {
    for (name, number) in SIGNALS {
        let host = TestHost::new();
        let before = dump_long(criu, &host);
        let tool = Tool::on(&host);
        let run = tool.under_strace(&[&format!("unlinkat:signal={name}:when=1")]).run(&[]);
        assert_eq!(run.code(), -number, "{run}");
        assert_eq!(run.stderr, format!("criu-gc: SIG{name}: stopped before the next step\n"));
        let told = |words: &str| {
            run.stdout.lines().filter(|line| line.starts_with("Link remap: ") && line.contains(words)).count()
        };
        assert_eq!(told("; removed)"), 1, "{run}");
        assert_eq!(told(&format!("SIG{name} ended the run before this step; run criu-gc again")), 3, "{run}");
        assert!(run.stdout.contains("Locked tcp connection: ") && !run.stdout.contains("Nothing is left"), "{run}");
        // Of rules and links what was said to be removed is gone, and the rest is there.
        assert_eq!(links_left(&Tool::on(&host), &before), 3);
        Tool::on(&host).assert_removes_everything_since(&before);
    }
}

/// Directories are read at the start, to look for the tree right before the first step, and to look again at the end.
fn around_the_steps(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let then = Tool::on(&host).snapshot();
    let (mut silent, mut told) = (0, 0);
    let last = (1..).find_map(|number| {
        let run = Tool::on(&host).under_strace(&[&format!("getdents64:signal=TERM:when={number}")]).run(&[]);
        assert_eq!(run.code(), -15, "{run}");
        match run.stdout.matches("SIGTERM ended the run before this step").count() {
            6 => told += 1,
            0 if run.stdout.is_empty() => silent += 1,
            _ => return Some(run),
        }
        assert_eq!(Tool::on(&host).difference_to(&then), NOTHING, "{run}");
        None
    });
    assert!(silent > 0 && told > 0, "void: {silent} runs ended before they waited for signals, {told} after it");
    let last = last.expect("a run");
    assert_eq!(last.stdout.lines().last(), Some("6 objects: 6 removed."), "{last}");
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

fn second(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    // The second comes with the first word of the report.
    let run = Tool::on(&host).under_strace(&["unlinkat:signal=TERM:when=1", "write:signal=INT:when=1"]).run(&[]);
    assert_eq!((run.code(), run.stdout.as_str()), (-2, ""), "{run}");
    assert_eq!(links_left(&Tool::on(&host), &before), 3);
    Tool::on(&host).assert_removes_everything_since(&before);
}

fn ignored(criu: &Criu) {
    let host = TestHost::new();
    let before = dump_long(criu, &host);
    let words = tampering(&["unlinkat:signal=TERM:when=1"]);
    let words: Vec<&str> =
        ["env", "--ignore-signal=TERM"].into_iter().chain(words.iter().map(String::as_str)).collect();
    let run = Tool::on(&host).under(&words).run(&[]);
    assert_eq!(run.code(), 0, "{run}");
    assert_eq!(Tool::on(&host).difference_to(&before), NOTHING);
}

/// Else the second would look like a newer dump's to the next run.
fn one_inode(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let (twice, once) = (host.dir().join("twice"), host.dir().join("once"));
    let tree = host.start_workload(&[&"deleted-twice", &twice, &"deleted", &once]);
    let before = Tool::on(&host).snapshot();
    criu.dump(&host, &tree, &images_of(&host), &DumpOptions::default());
    let run = Tool::on(&host).under_strace(&["unlinkat:signal=TERM:when=1"]).run(&[]);
    assert_eq!(run.code(), -15, "{run}");
    assert_eq!(run.stdout.matches("; removed)").count(), 2, "{run}");
    Tool::on(&host).assert_removes_everything_since(&before);
}

/// How many link remaps are there that were not before; of rules none is.
pub(crate) fn links_left(tool: &Tool<'_>, before: &Snapshot) -> usize {
    let difference = tool.difference_to(before);
    assert!(difference.iter().all(|line| line.starts_with("files of ")), "{difference:#?}");
    difference.iter().filter(|line| line.contains(": + link_remap.")).count()
}

/// Dumps a tree that leaves the rules of two connections and four link remaps, each of an inode of its own; gives what
/// the host was before.
pub(crate) fn dump_long(criu: &Criu, host: &TestHost) -> Snapshot {
    make_tables(host, &[]);
    let files = ["one", "two", "three"].map(|name| host.dir().join(name));
    let connection: [Word<'_>; 2] = [&"listen-connect", &"127.0.0.1:0"];
    let mut words: Vec<Word<'_>> = vec![&"semaphore", &"name"];
    words.extend(files.iter().flat_map(|file| [&"deleted" as Word<'_>, file]));
    words.extend(connection);
    let tree = host.start_workload(&words);
    let before = Tool::on(host).snapshot();
    criu.dump(host, &tree, &images_of(host), &DumpOptions::default());
    before
}
