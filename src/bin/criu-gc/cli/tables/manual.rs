// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The manual pages in packaging/man. Options, reasons and exit statuses have the sentences that the help has; what only
//! a manual says is here.

mod record;
mod roff;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use criu_gc::KeepReason;

use self::roff::Page;
use super::super::help::{COMMAND_WORDS, EXAMPLES, OTHER_REASONS, REASONS, SIGNALS};
use super::super::{Arguments, RemoveArguments, ScanArguments, WatchArguments};
use super::assert_snapshot;
use crate::exit::ExitStatus;

const SYNOPSIS: [&str; 5] = [
    "criu-gc [gc|clean|show|restorable] [OPTION]... [-D] DIR...",
    "criu-gc heal [OPTION]... --pid PID | -D DIR",
    "criu-gc scan [OPTION]...",
    "criu-gc watch [OPTION]...",
    "criu-gc rm [OPTION]... OBJECT...",
];

const FILES: [(&str, &str); 4] = [
    (
        "/var/lib/criu-gc/records/RUNID.json",
        "What criu-gc-record(8) stored about a dump. It can be named in place of the images after these are gone. criu-gc \
         removes it when nothing of the dump is left.",
    ),
    ("criu-gc-record.json", "The same, in the images directory. criu-gc never removes it."),
    (
        "dump.log, restore.log, stats-dump, stats-restore",
        "CRIU's logs and statistics, in the images directory or in that of --work-dir. They tell interrupted and failed \
         dumps, and restores.",
    ),
    (
        "manifest.jsonl",
        "In the directory of --save: one line of JSON for each saved file, synced before the link is removed.",
    ),
];

const SECURITY: [&str; 5] = [
    "criu-gc runs as root on images that other users may have written. It removes nothing that the images alone name: \
     each object must match them on the live system.",
    "No path from images, archives or metadata follows a symbolic link. Archives are read, not unpacked. Memory is limited to \
     256 MiB for what images name.",
    "Images can cause no removal that their author could not perform. If somebody else than root may have written them, \
     what that user could not remove is kept (foreign-images).",
    "There is no --force. Each --allow ignores one reason, for the objects that this run found.",
    "In a container criu-gc --host needs --pid=host and the capabilities CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_CHROOT, \
     CAP_NET_ADMIN and CAP_DAC_OVERRIDE.",
];

#[test]
fn criu_gc_has_a_manual_page() {
    let mut page = Page::new();
    let man = man(Arguments::command().display_name("criu-gc"));
    page.clap(|out| man.render_title(out));
    page.clap(|out| man.render_name_section(out));
    page.synopsis(&SYNOPSIS);
    page.section("EXAMPLES");
    for (command, meaning) in EXAMPLES {
        page.example(command, meaning);
    }
    page.clap(|out| man.render_description_section(out));
    page.options("", &man);
    page.options(" OF CRIU-GC SCAN", &self::man(ScanArguments::command()));
    page.options(" OF CRIU-GC RM", &self::man(RemoveArguments::command()));
    page.options(" OF CRIU-GC WATCH", &self::man(WatchArguments::command()));
    command_words(&mut page);
    reasons(&mut page);
    page.section("FILES");
    FILES.iter().for_each(|(name, meaning)| page.entry(name, meaning));
    page.section("SECURITY");
    SECURITY.iter().for_each(|text| page.paragraph(text));
    page.section("EXIT STATUS");
    for status in ExitStatus::ALL {
        page.entry(&(status as u8).to_string(), status.explanation());
    }
    page.paragraph(SIGNALS);
    page.section("SEE ALSO");
    page.paragraph("criu(8), criu-gc-record(8), nft(8), iptables(8), checkpointctl(1), and /usr/share/doc/criu-gc");
    assert_snapshot("packaging/man/criu-gc.8", &page.text());
}

fn command_words(page: &mut Page) {
    page.section("COMMAND WORDS");
    let (_, words) = COMMAND_WORDS.split_once(": ").expect("a heading");
    page.paragraph(words);
}

fn reasons(page: &mut Page) {
    let (allowed, others): (Vec<KeepReason>, Vec<KeepReason>) =
        KeepReason::ALL.into_iter().partition(|reason| reason.can_be_allowed());
    page.section("WHAT IT KEEPS");
    page.paragraph(REASONS);
    allowed.iter().for_each(|reason| page.entry(reason.name(), reason.explanation()));
    page.paragraph(OTHER_REASONS);
    for reason in others {
        page.entry(reason.name(), &format!("{} ({})", reason.explanation(), reason.remedy()));
    }
}

/// A page of section 8. It has no date: two builds of one version are the same.
fn man(mut command: Command) -> Man {
    command.build();
    let version = concat!("criu-gc ", env!("CARGO_PKG_VERSION"));
    Man::new(command.version(env!("CARGO_PKG_VERSION")))
        .section("8")
        .date("")
        .source(version)
        .manual("System Manager's Manual")
}
