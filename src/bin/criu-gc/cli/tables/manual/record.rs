// SPDX-License-Identifier: Apache-2.0 OR MIT
//! criu-gc-record(8). The action script has no options: CRIU runs it without arguments.

use clap::Command;

use super::super::assert_snapshot;
use super::man;
use super::roff::Page;

const ABOUT: &str = "Record what a CRIU dump leaves on this host, as CRIU's action script";

const DESCRIPTION: [&str; 4] = [
    "Images identify what a dump left only roughly: they have the path of a link remap but not its inode, and neither the \
     network namespace of a lock nor the handle of a rule. As a CRIU action script, criu-gc-record writes these numbers down \
     while the tree is still frozen. A later criu-gc(8) uses them.",
    "CRIU calls it at each of its actions. At post-dump it records the dump, at pre-resume it notes the restore, and at all \
     others it exits at once.",
    "criu-gc-record-or-fail is another link to the same program, for those who prefer no dump to a dump without a record. \
     The package does not install it.",
    "A copy of the record outlives the images: name it in their place.",
];

const EXAMPLES: [(&str, &str); 4] = [
    ("criu dump --action-script /usr/bin/criu-gc-record -t PID -D DIR", "record this dump"),
    (
        "echo 'action-script /usr/bin/criu-gc-record' >> /etc/criu/default.conf",
        "record every dump on this host, also those of engines, and note restores",
    ),
    ("criu-gc /var/lib/criu-gc/records/RUNID.json --show", "list what the dump left after its images were discarded"),
    ("ln -s /usr/bin/criu-gc /usr/local/bin/criu-gc-record-or-fail", "offer the strict variant too"),
];

const FILES: [(&str, &str); 3] = [
    ("DIR/criu-gc-record.json", "The record, in the images directory, with mode 0600."),
    (
        "/var/lib/criu-gc/records/RUNID.json",
        "Its copy; before CRIU 4.1, images-TIME-PID.json. At most 2,000 records and 256 MiB: a new record replaces the oldest.",
    ),
    ("/etc/criu/default.conf", "CRIU's configuration, which may name the script."),
];

const SECURITY: [&str; 2] = [
    "criu-gc uses a record only if nobody but root can have written it, and if it has the run id of the images and this \
     machine's id. A record can never make criu-gc remove something that the images do not name. Without images, it stands \
     for them in the same checks.",
    "The store has mode 0700. It is not used if others can write to it or to a directory above.",
];

const STATUSES: [(&str, &str); 3] = [
    (
        "0",
        "recorded, or there was nothing to do; criu-gc-record also exits with 0 if it failed, or took more than 10 seconds, and \
         CRIU's log has the reason",
    ),
    ("1", "criu-gc-record-or-fail failed, and CRIU undoes the dump"),
    ("2", "it was not called by CRIU"),
];

#[test]
fn the_action_script_has_a_manual_page() {
    let man = man(Command::new("criu-gc-record").about(ABOUT));
    let mut page = Page::new();
    page.clap(|out| man.render_title(out));
    page.clap(|out| man.render_name_section(out));
    page.synopsis(&["criu dump --action-script criu-gc-record ..."]);
    page.section("EXAMPLES");
    EXAMPLES.iter().for_each(|(command, meaning)| page.example(command, meaning));
    page.section("DESCRIPTION");
    DESCRIPTION.iter().for_each(|text| page.paragraph(text));
    page.section("FILES");
    FILES.iter().for_each(|(name, meaning)| page.entry(name, meaning));
    page.section("SECURITY");
    SECURITY.iter().for_each(|text| page.paragraph(text));
    page.section("EXIT STATUS");
    STATUSES.iter().for_each(|(status, meaning)| page.entry(status, meaning));
    page.section("SEE ALSO");
    page.paragraph("criu-gc(8), criu(8), and docs/record.md in /usr/share/doc/criu-gc");
    assert_snapshot("packaging/man/criu-gc-record.8", &page.text());
}
