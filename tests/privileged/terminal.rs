// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc at a terminal, which script(1) makes.

use testkit::{CommandExt, Criu, DumpOptions, Finished, IptablesFlavour, TestHost};

use crate::case::{Case, Cases};
use crate::closed::{Closed, PROGRAMS};
use crate::filters::Filters;
use crate::places::images_of;
use crate::tool::{NOTHING, Tool, make_tables};

inventory::submit!(Cases::with_each_criu(&[
    Case { name: "at a terminal only a yes removes, and only once is asked", test: asks_once },
    Case { name: "a chain that got a second lock while a person was asked is not removed", test: locked_meanwhile },
    Case { name: "how far the reading of an archive has come is told while it lasts", test: progress },
    Case { name: "how far a long scan has come is told while it lasts", test: scan_progress },
    Case { name: "names cannot move the cursor or deceive the eye at a terminal", test: escapes },
]));

fn asks_once(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let images = images_of(&host);
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let dumped = tool.snapshot();
    for answer in ["n", "", "yesterday"] {
        let refused = run_at_terminal(&host, &format!("-D {}", images.display()), answer);
        assert_eq!(refused.code(), 1, "{}", refused.stdout);
        assert_eq!(refused.stdout.matches("[y/N]").count(), 1);
        assert!(refused.stdout.contains("to be removed"), "the list comes before the question");
        assert_eq!(tool.difference_to(&dumped), NOTHING, "removed after {answer:?}");
    }
    let agreed = run_at_terminal(&host, &format!("-D {}", images.display()), "y");
    assert_eq!((agreed.code(), agreed.stdout.matches("[y/N]").count()), (0, 1), "{}", agreed.stdout);
    assert_eq!(tool.difference_to(&before), NOTHING);
    let again = run_at_terminal(&host, &format!("-D {}", images.display()), "");
    assert_eq!((again.code(), again.stdout.contains("[y/N]")), (0, false), "asked about nothing: {}", again.stdout);
}

/// Another dump in the namespace, as in a pod, uses the same chain and jumps to it once more.
fn locked_meanwhile(criu: &Criu) {
    for flavour in IptablesFlavour::ALL {
        let host = TestHost::new();
        let closed = Closed::new(&host, flavour);
        closed.dump(criu, &closed.start_tree(), "images", flavour);
        let path = closed.namespace.path();
        let filters = Filters::of_namespace(&host, &path, flavour);
        let locked = PROGRAMS.map(|program| filters.lines(program));
        let jumps = ["INPUT", "OUTPUT"].map(|chain| format!("-I {chain} -j CRIU"));
        let enter = format!("nsenter --net={} --", path.display());
        let add = PROGRAMS.iter().flat_map(|program| jumps.iter().map(|jump| (filters.command(program), jump)));
        let add: Vec<String> = add.map(|(program, jump)| format!("{enter} {program} {jump}")).collect();
        let arguments = format!("-D {} --netns {}", images_of(&host).display(), path.display());
        let answered = run_at_terminal_after(&host, &arguments, &add.join("; "), "y");
        let refused = "; NOT removed: the chain changed since it was examined; not removed)";
        assert_eq!((answered.code(), answered.stdout.matches(refused).count()), (1, 2), "{answered}");
        for (program, before) in PROGRAMS.iter().zip(locked) {
            let without_new = filters.lines(program).len() - jumps.len();
            assert_eq!(without_new, before.len(), "{answered}");
        }
        assert!(!closed.lets_packets_pass());
    }
}

fn escapes(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("a\u{202e}b\u{1b}[2Jc");
    let tree = host.start_workload(&[&"deleted", &file]);
    let images = images_of(&host);
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let shown = run_at_terminal(&host, &format!("-D {} --show", images.display()), "");
    assert!(shown.stdout.contains("/a\\u{202e}b\\u{1b}[2Jc ("), "{:?}", shown.stdout);
    assert!(!shown.stdout.contains(['\u{1b}', '\u{202e}']), "{:?}", shown.stdout);
    let shown = Tool::new(&host, &images).show();
    // Whoever looks at a file that the output went to has it at a terminal too.
    assert!(shown.iter().any(|line| line.contains("/a\\u{202e}b\\u{1b}[2Jc (")), "{shown:?}");
}

fn progress(criu: &Criu) {
    let host = TestHost::new();
    let tree = host.start_workload(&[&"deleted", &host.dir().join("data")]);
    let images = images_of(&host);
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let archive = images.with_extension("tar");
    host.run("tar", &[&"-C", &images, &"-cf", &archive, &"."]);
    let (tool, archive) = (crate::tool::binary(), archive.display().to_string());
    let shown = |pause: &str| {
        let slow = format!("{{ head -c 5000 {archive}; sleep {pause}; tail -c +5001 {archive}; }}");
        let command = format!("{slow} | {} --show -", tool.display());
        host.command("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]).finish()
    };
    let line = "\r\u{1b}[Kcriu-gc: reading standard input: 0 MiB";
    let slow = shown("1.5");
    assert!(slow.stdout.starts_with(line) && slow.stdout.contains("\r\u{1b}[KLayout: "), "{:?}", slow.stdout);
    let fast = shown("0");
    assert!(fast.stdout.starts_with("Layout: "), "{:?}", fast.stdout);
}

/// Each directory that is read takes a moment.
fn scan_progress(_: &Criu) {
    let host = TestHost::new();
    let shown = |wrapper: &str| {
        let command = format!("{wrapper} {} scan", crate::tool::binary().display());
        host.command("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]).finish()
    };
    let slow = shown("strace -f -qq -o /dev/null -e inject=getdents64:delay_enter=40000");
    assert!(slow.stdout.contains("\r\u{1b}[Kcriu-gc: looking at names in directories ("), "{:?}", slow.stdout);
    let is_gone = slow.stdout.contains(" s)\r\u{1b}[KNote: ");
    assert!(is_gone && slow.stdout.ends_with("Nothing of CRIU is left on this host.\r\n"), "{:?}", slow.stdout);
    let fast = shown("");
    assert!(fast.stdout.starts_with("Note: ") && !fast.stdout.contains("looking at"), "{:?}", fast.stdout);
}

/// The same, where the answer is typed when the question has been put and these commands have been run.
pub(crate) fn run_at_terminal_after(host: &TestHost, arguments: &str, commands: &str, answer: &str) -> Finished {
    let shown = host.dir().with_file_name("shown");
    let (command, shown) = (format!("{} {arguments}", crate::tool::binary().display()), shown.display());
    let asked = format!("until grep -qs '\\[y/N\\]' {shown}; do sleep 0.01; done");
    let typed = format!(
        "{{ {asked}; {commands}; echo {answer}; }} | script --quiet --flush --return --command '{command}' {shown}"
    );
    host.command("sh").args(["-c", &typed]).finish()
}

/// Runs criu-gc with a terminal on its streams, on which a line is typed.
fn run_at_terminal(host: &TestHost, arguments: &str, answer: &str) -> Finished {
    let command = format!("{} {arguments}", crate::tool::binary().display());
    let typed = format!("printf '%s\\n' '{answer}' | script --quiet --return --command '{command}' /dev/null");
    host.command("sh").args(["-c", &typed]).finish()
}
