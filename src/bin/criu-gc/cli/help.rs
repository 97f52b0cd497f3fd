// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What follows the options in `--help`: examples, reasons and exit statuses.
//!
//! Reasons, options and exit statuses have one sentence each, in one place each: `KeepReason::explanation`, the doc
//! comments of `Arguments`, `ExitStatus::explanation`. The help and README.md come from there.

use criu_gc::KeepReason;

use crate::exit::ExitStatus;

/// A command, and what it does.
pub(super) const EXAMPLES: [(&str, &str); 16] = [
    ("criu-gc -D /var/lib/dumps/42 --show", "list what this dump left"),
    ("criu-gc -D /var/lib/dumps/42", "remove it"),
    ("criu-gc -D DIR --save /root/saved", "save the files of link remaps, then remove"),
    ("criu-gc -D DIR --netns pod", "unlock a pod that lost its network at the checkpoint"),
    ("criu-gc -D DIR --only network", "free the network, and keep the checkpoint restorable"),
    ("criu-gc -D DIR --json --show | jq", "list it for programs"),
    ("criu-gc docker:web --show", "list what Docker's checkpoints of this container left"),
    ("criu-gc k8s:shop/web --show", "list what checkpoints of this pod left"),
    ("criu-gc web.tar.zst --show", "list what this exported checkpoint left"),
    ("criu-gc --host -D DIR --show", "list the same from a container with --pid=host"),
    ("criu-gc restorable -D DIR --show", "list what a killed restore left in the way of the next one"),
    ("criu-gc heal --pid 4711 --show", "list what a killed dump damaged in a process that runs on"),
    ("criu-gc scan", "list what CRIU left on this host, whose it is, and what to type"),
    ("criu-gc rm /dev/shm/link_remap.4", "remove what a scan names"),
    ("criu-gc gc -D DIR -v4 -o gc.log", "in place of criu restore, with its options"),
    ("ssh host cat web.tar | criu-gc --show -", "read the archive from a pipe"),
];

pub(super) const COMMAND_WORDS: &str = "\
Command words: gc and clean may come first and mean nothing more; show means --show; restorable undoes what a \
killed restore left, so that the checkpoint can be restored; heal gives the processes back what a killed dump took; scan and rm start from the host and have options of their own \
(criu-gc scan --help). \
After another word, criu-gc accepts all options of criu restore, so that a script can replace the word of a line that works; \
-v names those that have no effect. \
Without -D it is the current directory then. A directory called like a word is ./gc, ./clean, \
./show, ./restorable, ./heal, ./scan or ./rm.";

pub(super) const REASONS: &str = "\
criu-gc removes nothing while a process of the dumped tree is alive or a criu works on the images. It keeps an object \
that does not match the images, and prints the reason. --allow accepts these reasons:";

pub(super) const OTHER_REASONS: &str = "These have another remedy:";

pub(super) const SIGNALS: &str = "A second signal ends it at once. The next run finishes the rest.";

/// The whole text.
pub(crate) fn after() -> String {
    let example = |(command, meaning): (&str, &str)| format!("  {command:39} {meaning}\n");
    let examples: String = EXAMPLES.into_iter().map(example).collect();
    let mut text = format!("Examples:\n{examples}\n{COMMAND_WORDS}\n\n{REASONS}\n");
    let width = KeepReason::ALL.into_iter().map(|reason| reason.name().len()).max().unwrap_or_default();
    let (allowed, others): (Vec<KeepReason>, Vec<KeepReason>) =
        KeepReason::ALL.into_iter().partition(|reason| reason.can_be_allowed());
    for reason in allowed {
        text += &row(reason.name(), reason.explanation(), width);
    }
    text += &format!("\n{OTHER_REASONS}\n");
    for reason in others {
        text += &row(reason.name(), &format!("{} ({})", reason.explanation(), reason.remedy()), width);
    }
    text += "\nExit status:\n";
    for status in ExitStatus::ALL {
        text += &row(&(status as u8).to_string(), status.explanation(), 3);
    }
    text + SIGNALS
}

/// The columns of the text: the shortest width of a terminal.
const COLUMNS: usize = 98;

/// A name and its sentence, which is broken into lines below itself.
fn row(name: &str, sentence: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let is_full = |line: &String| !line.is_empty() && width + 4 + line.len() + 1 + word.len() > COLUMNS;
        if lines.last().is_some_and(is_full) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            *line = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        }
    }
    let indent = format!("\n  {:width$}  ", "");
    format!("  {name:width$}  {}\n", lines.join(&indent))
}
