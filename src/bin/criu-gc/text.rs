// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report as text: one line for each object, then a summary.
//!
//! The lines for link remaps and locked connections begin, to the letter, as the `criu gc` series of 2016 printed them;
//! further facts follow in parentheses on the same line. Other kinds have lines in the same style.

use std::collections::BTreeMap;

use criu_gc::report::{
    Act, CheckpointReport, Description, Drops, GhostReport, Location, MetadataReport, Mode, NamedReport, Object,
    Outcome, ProcessReport, RecordAnswer, RuleReport, State, Target, Verdict,
};

use crate::terminal::Line;

/// How much to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// The objects and what they come to.
    Plain,
    /// Also the entries of the images behind each object.
    Evidence,
    /// Also where was looked.
    Search,
}

impl Detail {
    /// As many steps as the user gave `-v`.
    pub(crate) fn of_verbosity(verbosity: u8) -> Self {
        match verbosity {
            0 => Detail::Plain,
            1 => Detail::Evidence,
            _ => Detail::Search,
        }
    }
}

/// What `--only` leaves out, and what that means for a restore.
pub(crate) fn consequences(report: &CheckpointReport) -> Vec<Line> {
    let sentences = report.only.iter().flat_map(|only| &only.consequences);
    sentences.map(|text| Line::new().say("Note: ").say(text)).collect()
}

/// All lines about a checkpoint. Of a removal what `--only` means was printed before it.
pub(crate) fn lines(report: &CheckpointReport, mode: Mode, detail: Detail) -> Vec<Line> {
    let mut lines: Vec<Line> = report.metadata.iter().map(origin_line).collect();
    if mode == Mode::Show {
        lines.extend(consequences(report));
    }
    let is_listed = |object: &&Object| object.verdict != Verdict::LeftOut || detail >= Detail::Evidence;
    for object in report.objects.iter().filter(is_listed) {
        lines.push(object_line(object));
        if detail >= Detail::Evidence {
            lines.extend(object.evidence.iter().map(|entry| {
                let text = format!("    named by {} record {} at offset {}", entry.image, entry.record, entry.offset);
                Line::new().say(&text)
            }));
            let shape = object.subject.recognised;
            lines.extend(shape.map(|shape| Line::new().say("    recognised by ").say(shape)));
            lines.extend(object.record.map(|answer| Line::new().say(record_line(answer))));
        }
    }
    if detail >= Detail::Evidence {
        lines.extend(report.ghost_files.iter().map(ghost_line));
    }
    if detail >= Detail::Search {
        lines.extend(
            report
                .network_namespaces
                .iter()
                .map(|namespace| Line::new().say("Looked in network namespace ").quote(namespace.as_bytes())),
        );
    }
    lines.extend(tree_lines(report));
    lines.extend(report.notes.iter().map(|text| Line::new().say("Note: ").quote(text.as_bytes())));
    lines.extend(report.cannot_be_known.iter().map(|text| Line::new().say("Not known: ").quote(text.as_bytes())));
    lines.extend(summary_lines(report, mode));
    lines
}

fn record_line(answer: RecordAnswer) -> &'static str {
    match answer {
        RecordAnswer::Same => "    the dump's record identifies this object",
        RecordAnswer::Other => "    the dump's record does not contain this object",
        RecordAnswer::Unclear => "    the dump's record cannot tell whether it was re-created since",
    }
}

/// How the images are held, and whose they are. Ids are cut as engines cut them.
fn origin_line(metadata: &MetadataReport) -> Line {
    let short = |id: &String| id.chars().take(12).collect::<String>();
    let named = |what: &str, named: &NamedReport| match (&named.name, &named.id) {
        (Some(name), Some(id)) => Some(format!("{what} {name} ({})", short(id))),
        (Some(name), None) => Some(format!("{what} {name}")),
        (None, Some(id)) => Some(format!("{what} {}", short(id))),
        (None, None) => None,
    };
    let engine = metadata.engine.name.as_ref().map(|name| match &metadata.engine.id {
        Some(version) => format!("{name} {version}"),
        None => name.clone(),
    });
    let criu = metadata.criu_version.as_ref().map(|version| format!("criu {version}"));
    let namespace = metadata.pod_namespace.as_ref().map(|namespace| format!("namespace {namespace}"));
    let image = metadata.image.as_ref().map(|image| format!("image {image}"));
    let (container, pod) = (named("container", &metadata.container), named("pod", &metadata.pod));
    let facts: Vec<String> = [container, pod, namespace, image, engine, criu].into_iter().flatten().collect();
    let line = Line::new().say("Layout: ").say(&metadata.words);
    if facts.is_empty() {
        return line;
    }
    let time = metadata.written.as_ref().map(|time| format!(", {time}")).unwrap_or_default();
    line.say(": ").quote(facts.join(", ").as_bytes()).say(&time)
}

fn object_line(object: &Object) -> Line {
    let line = headline(object).say(" (");
    let line = match facts(object) {
        Some(facts) => line.quote(&facts).say("; "),
        None => line,
    };
    let line = match &object.saved_as {
        Some(path) => line.say("saved as ").quote(&path.0).say("; "),
        None => line,
    };
    let line = match fate(object) {
        (words, None) => line.say(words),
        (words, Some(why)) => line.say(words).say(": ").quote(why.as_bytes()),
    };
    line.say(")")
}

fn ghost_line(ghost: &GhostReport) -> Line {
    let line = Line::new().say("Ghost file: ");
    let line = match &ghost.name {
        Some(name) => line.quote(&name.0),
        None => line.say("?"),
    };
    line.say(&format!(" (its content is in {}; the dump left no file)", ghost.image))
}

fn headline(object: &Object) -> Line {
    let Description { label, name, target, .. } = &object.subject;
    let line = Line::new().say(label).say(": ").quote(name);
    match target {
        Target::Is(target) => line.say(" -> ").quote(target),
        Target::NotTold => line.say(" -> ?"),
        Target::None => line,
        Target::Namespace => match network_namespace(object) {
            Some(namespace) => line.say(" -> ").quote(namespace.as_bytes()),
            None => line,
        },
    }
}

/// The network namespace in which the object was found.
fn network_namespace(object: &Object) -> Option<&str> {
    match &object.location {
        Some(
            Location::Rules { namespace, .. } | Location::Table { namespace, .. } | Location::Chain { namespace, .. },
        ) => Some(namespace),
        Some(Location::File { .. } | Location::Entry { .. } | Location::Process { .. }) | None => None,
    }
}

/// What is known of a present object, beyond its headline.
fn facts(object: &Object) -> Option<Vec<u8>> {
    let mut facts: Vec<Vec<u8>> = Vec::new();
    match &object.location {
        Some(Location::File { path, links, size, .. }) => {
            if path.0 != object.subject.name {
                facts.push([b"at ".as_slice(), &path.0].concat());
            }
            facts.push(count(*size, "byte").into_bytes());
            facts.push(match links {
                // Some filesystems do not count names.
                0 | 1 => b"its last name".to_vec(),
                _ => count(u64::from(*links - 1), "other name").into_bytes(),
            });
            facts.extend(object.subject.remark.map(|remark| remark.as_bytes().to_vec()));
        }
        Some(Location::Rules { rules, .. }) => facts.push(rule_counts(rules).into_bytes()),
        Some(Location::Table { drops, .. }) => facts.push(match drops {
            Drops::Everything => b"drops every packet".to_vec(),
            Drops::Flows(flows) => format!("drops {}", count(*flows as u64, "flow")).into_bytes(),
        }),
        Some(Location::Chain { command, jumps, tie, .. }) => {
            facts.push(format!("{command}, {}", count(*jumps as u64, "jump")).into_bytes());
            facts.extend(tie.map(|tie| tie.as_bytes().to_vec()));
        }
        Some(Location::Entry { path, mounts: 0 }) if path.0 != object.subject.name => {
            facts.push([b"at ".as_slice(), &path.0].concat());
        }
        Some(Location::Entry { mounts: 0, .. }) | None => {}
        Some(Location::Entry { mounts, .. }) => facts.push(count(*mounts as u64, "mount").into_bytes()),
        Some(Location::Process { pid, state }) => facts.push(format!("pid {pid}, state {state}").into_bytes()),
    }
    if object.state == State::Present {
        facts.extend(object.detail.clone().map(String::into_bytes));
    }
    (!facts.is_empty()).then(|| facts.join(b", ".as_slice()))
}

fn rule_counts(rules: &[RuleReport]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for rule in rules {
        *counts.entry(&rule.command).or_default() += 1;
    }
    let parts: Vec<String> =
        counts.into_iter().map(|(command, rules)| format!("{} of {command}", count(rules, "rule"))).collect();
    parts.join(", ")
}

/// What happened or is to happen, and why.
fn fate(object: &Object) -> (&'static str, Option<String>) {
    let reasons = || object.reasons.iter().map(|reason| reason.name).collect::<Vec<_>>().join(", ");
    match (object.outcome, object.verdict) {
        (Some(Outcome::Removed), _) => (
            match object.act {
                Act::Remove => "removed",
                Act::Unmount => "unmounted and removed",
                Act::Kill => "killed",
                Act::RenameBack => "renamed back",
            },
            None,
        ),
        (Some(Outcome::AlreadyGone), _) | (None, Verdict::Nothing) => gone(object),
        (Some(Outcome::LeftOut), _) | (_, Verdict::LeftOut) => ("left out", None),
        (_, Verdict::CannotTell) => ("not known", object.detail.clone()),
        (Some(Outcome::Failed), _) => ("NOT removed", object.failure.clone()),
        (Some(Outcome::Kept), _) | (None, Verdict::Keep) => ("kept", Some(reasons())),
        (None, Verdict::Remove) => (
            match object.act {
                Act::Remove => "to be removed",
                Act::Unmount => "to be unmounted and removed",
                Act::Kill => "to be killed",
                Act::RenameBack => "to be renamed back",
            },
            None,
        ),
    }
}

fn gone(object: &Object) -> (&'static str, Option<String>) {
    ("gone", object.detail.clone().filter(|_| object.state == State::Vanished))
}

fn tree_lines(report: &CheckpointReport) -> Vec<Line> {
    let each = |processes: &[ProcessReport], predicate: &str| -> Vec<Line> {
        processes.iter().map(|process| process_line(process, predicate)).collect()
    };
    let mut lines: Vec<Line> = report.tree.criu.iter().map(criu_line).collect();
    lines.extend(match report.tree.state {
        "runs-on" => each(&report.tree.processes, "of the interrupted dump runs on"),
        "alive" if is_anything_to_remove(report) => each(&report.tree.processes, "of the dumped tree is alive"),
        "alive" => each(&report.tree.processes, "of the dumped tree is alive: nothing is removed while it lives"),
        "restored" => each(
            &report.tree.processes,
            "was restored from these images: the restore should have removed what is listed here",
        ),
        "perhaps-restored" => each(
            &report.tree.processes,
            "may have been restored from these images: this is a guess by its pid and name",
        ),
        _ => Vec::new(),
    });
    lines
}

fn process_line(process: &ProcessReport, predicate: &str) -> Line {
    Line::new()
        .say(&format!("Process {} (", process.pid))
        .quote(&process.name.0)
        .say(&format!(", state {}) {predicate}", process.state))
}

/// A criu that only a socket shows has no pid here.
fn criu_line(criu: &ProcessReport) -> Line {
    match criu.pid {
        0 => Line::new()
            .say("A criu, or a task of a killed restore, still uses this dump (socket @")
            .quote(&criu.name.0)
            .say("): nothing is removed while it runs"),
        _ => process_line(criu, "is a criu working on these images: nothing is removed while it runs"),
    }
}

/// Whether something is removed although the tree is alive: then --allow set that reason aside.
fn is_anything_to_remove(report: &CheckpointReport) -> bool {
    report.objects.iter().any(|object| object.verdict == Verdict::Remove)
}

fn summary_lines(report: &CheckpointReport, mode: Mode) -> Vec<Line> {
    let summary = &report.summary;
    let line = |text: &str| Line::new().say(text);
    if summary.removed + summary.kept + summary.failed + summary.unknown == 0 {
        let text = match (report.cannot_be_known.is_empty(), &report.only) {
            (false, _) => "Nothing found, but some checks could not be made.".to_owned(),
            (true, None) => "Nothing is left.".to_owned(),
            (true, Some(only)) => format!("Nothing is left ({} only).", only.part),
        };
        return vec![line(&text)];
    }
    let freed = match summary.freed_bytes {
        0 => String::new(),
        bytes => format!(" ({})", count(bytes, "byte")),
    };
    let removed = match mode {
        Mode::Show => "to be removed",
        Mode::Gc => "removed",
    };
    let parts = [
        (summary.removed, format!("{removed}{freed}")),
        (summary.kept, "kept".to_owned()),
        (summary.gone, "gone".to_owned()),
        (summary.failed, "not removed".to_owned()),
        (summary.unknown, "not known".to_owned()),
        (summary.left_out, "left out".to_owned()),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(objects, _)| *objects > 0).map(|(objects, what)| format!("{objects} {what}")).collect();
    let mut lines = vec![line(&format!("{}: {}.", count(summary.objects as u64, "object"), parts.join(", ")))];
    lines.extend(kept_lines(report));
    lines
}

/// For each reason: how many objects, what it means, and what would remove them.
fn kept_lines(report: &CheckpointReport) -> Vec<Line> {
    let mut kept: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for reason in report.objects.iter().filter(|object| is_kept(object)).flat_map(|object| &object.reasons) {
        *kept.entry((reason.name, reason.explanation, &reason.remedy)).or_default() += 1;
    }
    kept.into_iter()
        .map(|((name, explanation, remedy), objects)| {
            let text = format!("Kept, {name} ({}): {explanation}. To remove: ", count(objects, "object"));
            Line::new().say(&text).quote(remedy.as_bytes())
        })
        .collect()
}

/// Whether an object was kept, or is going to be.
pub(crate) fn is_kept(object: &Object) -> bool {
    matches!((object.outcome, object.verdict), (Some(Outcome::Kept), _) | (None, Verdict::Keep))
}

/// A number of things.
fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
