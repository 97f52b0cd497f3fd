// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report of a scan as text, for a tired reader: what is damaged first, with its cure; then what belongs to images; then
//! the rest. Each object has a line, and below it the one command that is right; a command for several stands once.

use criu_gc::scan::{ScanMode, ScanObject, ScanOutcome, ScanReport, ScanSummary, ScanVerdict};

use crate::terminal::Line;

/// The groups in their order: class, heading, and whether they are listed without `-v`.
const GROUPS: [(&str, &str); 6] = [
    ("damage", "Damage to what is running:"),
    ("litter", "Left by a crash, and no restore needs it:"),
    ("orphan", "No images of these are known on this host; they may be in an archive or elsewhere:"),
    ("undecided", "Whose these are was not found out in time:"),
    ("in-use", "A criu at work may be using these:"),
    ("look-alike", "These only look like something of CRIU:"),
];
const OF_IMAGES: [&str; 4] = ["restorable", "incomplete", "restored", "undecided"];

/// All lines of a report.
pub(crate) fn lines(report: &ScanReport, verbosity: u8) -> Vec<Line> {
    let mut lines = Vec::new();
    for (class, heading) in GROUPS {
        if class == "litter" {
            add_checkpoints(report, verbosity, &mut lines);
        }
        if class == "look-alike" && verbosity == 0 {
            continue;
        }
        let is_of_group =
            |object: &&ScanObject| object.class == class && !(class == "undecided" && object.checkpoint.is_some());
        let objects: Vec<&ScanObject> = report.objects.iter().filter(is_of_group).collect();
        if !objects.is_empty() {
            lines.push(Line::new().say(heading));
            add_objects(&objects, report.mode, verbosity, &mut lines);
        }
    }
    lines.extend(sentences("Note: ", &report.notes, verbosity));
    lines.extend(sentences("Not known: ", &report.cannot_be_known, verbosity));
    if verbosity > 0 {
        let looked = report.looked_at;
        lines.push(Line::new().say(&format!(
            "Looked at {} processes, {} network namespaces, {} mount namespaces and {} names in {} ms.",
            looked.processes, looked.network_namespaces, looked.mount_namespaces, looked.names, report.milliseconds
        )));
    }
    lines.push(Line::new().say(&summary(report)));
    lines
}

/// The first of many sentences of one kind.
pub(crate) fn sentences(start: &str, sentences: &[String], verbosity: u8) -> Vec<Line> {
    const FEW: usize = 20;
    let shown = if verbosity > 0 { usize::MAX } else { FEW };
    let lines = sentences.iter().take(shown).map(|text| Line::new().say(start).quote(text.as_bytes()));
    let more = sentences.len().saturating_sub(shown);
    lines.chain((more > 0).then(|| Line::new().say(&format!("{start}{more} more (-v lists them)")))).collect()
}

fn add_checkpoints(report: &ScanReport, verbosity: u8, lines: &mut Vec<Line>) {
    let is_of_images = |object: &&ScanObject| OF_IMAGES.contains(&object.class);
    let mut directories: Vec<&[u8]> = report
        .objects
        .iter()
        .filter(is_of_images)
        .filter_map(|object| object.checkpoint.as_ref())
        .map(|directory| directory.0.as_slice())
        .collect();
    directories.dedup();
    for directory in directories {
        let objects: Vec<&ScanObject> = report
            .objects
            .iter()
            .filter(is_of_images)
            .filter(|object| object.checkpoint.as_ref().is_some_and(|of| of.0 == directory))
            .collect();
        let state = match objects.first().map(|object| object.class) {
            Some("restorable") => "can be restored: a restore needs these",
            Some("incomplete") => "cannot be restored",
            Some("restored") => "was restored since",
            Some(_) | None => "may be restorable",
        };
        lines.push(Line::new().say("Checkpoint ").quote(directory).say(&format!(" ({state}):")));
        add_objects(&objects, report.mode, verbosity, lines);
    }
}

fn add_objects(objects: &[&ScanObject], mode: ScanMode, verbosity: u8, lines: &mut Vec<Line>) {
    const FEW: usize = 100;
    let shown = if verbosity > 0 { usize::MAX } else { FEW };
    for (at, object) in objects.iter().enumerate().take(shown) {
        lines.push(object_line(object, mode));
        lines.extend(detail_lines(object, verbosity));
        if verbosity > 0 || object.class == "undecided" {
            lines.extend(object.remarks.iter().map(|remark| Line::new().say("    ").quote(remark.as_bytes())));
        }
        let next = objects.get(at + 1).filter(|_| at + 1 < shown).and_then(|next| next.command.as_ref());
        let is_there = object.outcome.is_none_or(|outcome| outcome != ScanOutcome::Removed);
        if let Some(command) = object.command.as_ref().filter(|command| is_there && Some(*command) != next) {
            lines.push(Line::new().say("    # ").quote(&command.0));
        }
    }
    let more = objects.len().saturating_sub(shown);
    lines.extend((more > 0).then(|| Line::new().say(&format!("  and {more} more (-v lists them)"))));
}

/// What is damaged: a busy server has thousands of connections.
pub(crate) fn detail_lines(object: &ScanObject, verbosity: u8) -> Vec<Line> {
    const FEW: usize = 10;
    let shown = if verbosity > 0 { usize::MAX } else { FEW };
    let details = object.details.iter().take(shown).map(|detail| Line::new().say("    ").quote(&detail.0));
    let more = object.details.len().saturating_sub(shown);
    let rest = (more > 0).then(|| Line::new().say(&format!("    and {more} more (-v lists them)")));
    details.chain(rest).collect()
}

/// The line of an object that stands for itself.
pub(crate) fn named_line(object: &ScanObject, mode: ScanMode) -> Line {
    with_facts(Line::new(), object, mode)
}

/// The line of an object in a group.
fn object_line(object: &ScanObject, mode: ScanMode) -> Line {
    with_facts(Line::new().say("  "), object, mode)
}

/// Adds an object, and what is known of it beside what it is.
fn with_facts(line: Line, object: &ScanObject, mode: ScanMode) -> Line {
    let mut facts = Vec::new();
    facts.extend(object.since.as_ref().map(|since| format!("since {since}").into_bytes()));
    facts.extend(users(object));
    facts.extend(fate(object, mode).map(String::into_bytes));
    let line = line.quote(&object.text.0);
    if facts.is_empty() { line } else { line.say(" - ").quote(&facts.join(&b"; "[..])) }
}

/// The first few processes that use an object.
fn users(object: &ScanObject) -> Option<Vec<u8>> {
    const FEW: usize = 3;
    let named = |pid: u32, name: &[u8]| [pid.to_string().as_bytes(), b" (", name, b")"].concat();
    let few: Vec<Vec<u8>> = object.holders.iter().take(FEW).map(|holder| named(holder.pid, &holder.name.0)).collect();
    let more = match object.holders.len().saturating_sub(FEW) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let word: &[u8] = if object.holders.len() == 1 { b"used by process " } else { b"used by processes " };
    (!few.is_empty()).then(|| [word, &few.join(&b", "[..]), more.as_bytes()].concat())
}

fn fate(object: &ScanObject, mode: ScanMode) -> Option<String> {
    match (object.outcome, object.verdict, mode) {
        (Some(ScanOutcome::Removed), ..) => Some("removed".to_owned()),
        (Some(ScanOutcome::AlreadyGone), ..) => Some("gone".to_owned()),
        (Some(ScanOutcome::Failed), ..) => Some(format!("failed: {}", object.failure.as_deref().unwrap_or_default())),
        (None, ScanVerdict::Remove, _) => Some("to be removed".to_owned()),
        (Some(ScanOutcome::Kept) | None, ScanVerdict::Keep, ScanMode::Clean) if object.class == "litter" => {
            Some(format!("kept: {}", object.reason.unwrap_or_default()))
        }
        (Some(ScanOutcome::Kept) | None, _, _) => None,
    }
}

/// The last line, or the only one: at most 80 characters.
pub(crate) fn summary(report: &ScanReport) -> String {
    let counts = report.summary;
    let ScanSummary { damage, restorable, incomplete, restored, undecided, litter, orphan, in_use, unknown, .. } =
        counts;
    let of_checkpoints = restorable + incomplete + restored + undecided;
    let parts = [
        (counts.removed, "removed"),
        (counts.failed, "failed"),
        (damage, "damage"),
        (of_checkpoints, "of checkpoints"),
        (litter, "litter"),
        (orphan, "orphan"),
        (in_use, "in use"),
        (unknown, "not known"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    const LIMIT: usize = 80;
    let line = match parts.is_empty() {
        true => "Nothing of CRIU is left on this host.".to_owned(),
        false if parts.len() == 1 && unknown > 0 => format!("Nothing found, but {unknown} checks could not be made."),
        false => format!("CRIU: {}.", parts.join(", ")),
    };
    line.chars().take(LIMIT).collect()
}
