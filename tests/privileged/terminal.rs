// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc at a terminal, which script(1) makes.

use testkit::{CommandExt, Criu, DumpOptions, Finished, TestHost};

use crate::case::Case;
use crate::tool::{NOTHING, Tool, make_tables};

pub(crate) const CASES: &[Case] = &[
    Case { name: "at a terminal only a yes removes, and only once is asked", test: asks_once },
    Case { name: "names cannot move the cursor or deceive the eye at a terminal", test: escapes },
];

fn asks_once(criu: &Criu) {
    let host = TestHost::new();
    make_tables(&host, &[]);
    let tree = host.workload(&[&"deleted", &host.dir().join("data"), &"listen-connect", &"127.0.0.1:0"]);
    let images = host.dir().with_file_name("images");
    let tool = Tool::new(&host, &images);
    let before = tool.snapshot();
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let dumped = tool.snapshot();
    for answer in ["n", "", "yesterday"] {
        let refused = at_terminal(&host, &format!("-D {}", images.display()), answer);
        assert_eq!(refused.code(), 1, "{}", refused.stdout);
        assert_eq!(refused.stdout.matches("[y/N]").count(), 1);
        assert!(refused.stdout.contains("to be removed"), "the list comes before the question");
        assert_eq!(tool.difference_to(&dumped), NOTHING, "removed after {answer:?}");
    }
    let agreed = at_terminal(&host, &format!("-D {}", images.display()), "y");
    assert_eq!((agreed.code(), agreed.stdout.matches("[y/N]").count()), (0, 1), "{}", agreed.stdout);
    assert_eq!(tool.difference_to(&before), NOTHING);
    let again = at_terminal(&host, &format!("-D {}", images.display()), "");
    assert_eq!((again.code(), again.stdout.contains("[y/N]")), (0, false), "asked about nothing: {}", again.stdout);
}

fn escapes(criu: &Criu) {
    let host = TestHost::new();
    let file = host.dir().join("a\u{202e}b\u{1b}[2Jc");
    let tree = host.workload(&[&"deleted", &file]);
    let images = host.dir().with_file_name("images");
    criu.dump(&host, &tree, &images, &DumpOptions::default());
    let shown = at_terminal(&host, &format!("-D {} --show", images.display()), "");
    assert!(shown.stdout.contains("/a\\u{202e}b\\u{1b}[2Jc ("), "{:?}", shown.stdout);
    assert!(!shown.stdout.contains(['\u{1b}', '\u{202e}']), "{:?}", shown.stdout);
    let shown = Tool::new(&host, &images).show();
    assert!(shown.iter().any(|line| line.contains("a\u{202e}b\\u{1b}[2Jc")), "{shown:?}");
}

/// Runs criu-gc with a terminal on its streams, on which a line is typed.
fn at_terminal(host: &TestHost, arguments: &str, answer: &str) -> Finished {
    let command = format!("{} {arguments}", crate::tool::binary().display());
    let typed = format!("printf '%s\\n' '{answer}' | script --quiet --return --command '{command}' /dev/null");
    host.command("sh").args(["-c", &typed]).finish()
}
