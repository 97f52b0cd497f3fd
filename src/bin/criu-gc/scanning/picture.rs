// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--tree`: checkpoints, network namespaces and objects as a tree.

use std::collections::BTreeMap;

use criu_gc::scan::{ScanObject, ScanReport};

use crate::terminal::Line;

/// What the branches of the tree hold: objects by what they belong to.
type Branches<'a> = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<&'a ScanObject>>>;

/// The whole tree.
pub(crate) fn lines(report: &ScanReport, verbosity: u8) -> Vec<Line> {
    let mut branches = Branches::new();
    for object in report.objects.iter().filter(|object| verbosity > 0 || object.class != "look-alike") {
        branches.entry(root(object)).or_default().entry(branch(object)).or_default().push(object);
    }
    let mut lines = vec![Line::new().say("this host")];
    let count = branches.len();
    for (at, (name, within)) in branches.iter().enumerate() {
        let is_last = at + 1 == count;
        lines.push(Line::new().say(knot(is_last)).quote(name));
        add_branch(within, bar(is_last), &mut lines);
    }
    lines.extend(super::text::sentences("Not known: ", &report.cannot_be_known, verbosity));
    lines.push(Line::new().say(&super::text::summary(report)));
    lines
}

fn add_branch(within: &BTreeMap<Vec<u8>, Vec<&ScanObject>>, before: &str, lines: &mut Vec<Line>) {
    let count = within.len();
    for (at, (name, objects)) in within.iter().enumerate() {
        let is_last = at + 1 == count;
        lines.push(Line::new().say(before).say(knot(is_last)).quote(name));
        for (at, object) in objects.iter().enumerate() {
            let end = knot(at + 1 == objects.len());
            lines.push(Line::new().say(before).say(bar(is_last)).say(end).quote(&object.text.0));
        }
    }
}

fn root(object: &ScanObject) -> Vec<u8> {
    match &object.checkpoint {
        Some(directory) => [b"checkpoint ", directory.0.as_slice()].concat(),
        None => format!("no images known: {}", object.class).into_bytes(),
    }
}

fn branch(object: &ScanObject) -> Vec<u8> {
    match object.network_namespace {
        Some(number) => format!("network namespace net:[{number}]").into_bytes(),
        None if object.path.is_some() => b"files".to_vec(),
        None => b"processes".to_vec(),
    }
}

fn knot(is_last: bool) -> &'static str {
    if is_last { "`-- " } else { "|-- " }
}

fn bar(is_last: bool) -> &'static str {
    if is_last { "    " } else { "|   " }
}
