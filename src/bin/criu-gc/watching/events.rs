// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is new in a pass, compared with the one before it. Pure.
//!
//! An object that a pass does not list is gone only if the pass could look at everything.

use std::collections::{BTreeMap, BTreeSet};

use criu_gc::scan::ScanSummary;
use serde::Serialize;

use super::seen::{Fate, Object, Seen};

/// An event, as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The watch begins.
    Started { version: &'static str, every_seconds: f64, clean: bool },
    /// An object was not there before.
    Appeared { object: Object },
    /// It belongs to another class now, or to other images.
    Changed { from: String, object: Object },
    /// It is no longer there.
    Went { object: Object },
    /// It was not found, and not everything could be looked at.
    OutOfSight { object: Object },
    /// It was removed.
    Cleaned { object: Object },
    /// It could not be removed.
    NotCleaned { why: String, object: Object },
    /// There are more events than are printed.
    More { number: usize },
    /// Something could not be looked at.
    Unknown { text: String },
    /// It could be looked at again, or is no longer there.
    Known { text: String },
    /// A pass came to its end: the first, and each that has something to tell.
    Looked { milliseconds: u64, checkpoints: usize, summary: ScanSummary },
    /// A pass did not come to its end, or could not do all that it was to do.
    Failed { why: String },
    /// The watch ends.
    Ended { signal: &'static str },
}

/// A class whose objects do not count.
const LOOK_ALIKE: &str = "look-alike";

/// More events of one pass are only counted: users can make as many names as they like.
const MOST: usize = 1000;

/// What was there in the last pass.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The objects by their ids, and why they could not be removed.
    objects: BTreeMap<String, (Object, Option<String>)>,
    unknown: BTreeSet<String>,
    /// Whether there was one.
    has_looked: bool,
}

impl Memory {
    /// What is new in this pass.
    pub(crate) fn compare(&mut self, seen: &Seen) -> Vec<Event> {
        let mut events = self.objects(seen);
        let more = events.len().saturating_sub(MOST);
        events.truncate(MOST);
        events.extend((more > 0).then_some(Event::More { number: more }));
        events.extend(self.places(seen));
        if !events.is_empty() || !self.has_looked {
            let (milliseconds, checkpoints) = (seen.milliseconds, seen.checkpoints.len());
            events.push(Event::Looked { milliseconds, checkpoints, summary: seen.summary });
        }
        self.has_looked = true;
        events
    }

    fn objects(&mut self, seen: &Seen) -> Vec<Event> {
        let mut before = std::mem::take(&mut self.objects);
        let mut events = Vec::new();
        for object in &seen.objects {
            let id = object.id.to_string();
            let known = before.remove(&id);
            let object = object.clone();
            let failure = match object.fate() {
                Fate::There => None,
                Fate::Failed(why) => Some(why.to_owned()),
                Fate::Cleaned => {
                    events.push(Event::Cleaned { object });
                    continue;
                }
                Fate::Gone => {
                    events.extend(known.map(|_| Event::Went { object }));
                    continue;
                }
            };
            match &known {
                None if object.class == LOOK_ALIKE => continue,
                None => events.push(Event::Appeared { object: object.clone() }),
                Some((known, _)) if (&known.class, &known.checkpoint) != (&object.class, &object.checkpoint) => {
                    events.push(Event::Changed { from: known.class.clone(), object: object.clone() });
                }
                Some(_) => {}
            }
            let told = known.and_then(|(_, failure)| failure);
            if let Some(why) = failure.as_ref().filter(|why| told.as_ref() != Some(*why)) {
                events.push(Event::NotCleaned { why: why.clone(), object: object.clone() });
            }
            self.objects.insert(id, (object, failure));
        }
        let is_whole = seen.cannot_be_known.is_empty();
        let missing = before.into_values().map(|(object, _)| match is_whole {
            true => Event::Went { object },
            false => Event::OutOfSight { object },
        });
        events.extend(missing);
        events
    }

    fn places(&mut self, seen: &Seen) -> Vec<Event> {
        let now: BTreeSet<String> = seen.cannot_be_known.iter().take(MOST).cloned().collect();
        let new = now.difference(&self.unknown).map(|text| Event::Unknown { text: text.clone() });
        let old = self.unknown.difference(&now).map(|text| Event::Known { text: text.clone() });
        let events = new.chain(old).collect();
        self.unknown = now;
        events
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(id: &str, class: &str) -> Value {
        json!({ "id": { "text": id }, "kind": "link-remap", "class": class, "text": { "text": "a link" } })
    }

    fn seen(objects: &[Value], unknown: &[&str]) -> Seen {
        let document = json!({
            "milliseconds": 7, "objects": objects, "checkpoints": [],
            "cannot_be_known": unknown, "exit_status": 0, "summary": ScanSummary::default(),
        });
        serde_json::from_value(document).unwrap()
    }

    /// The events, in short.
    fn names(memory: &mut Memory, objects: &[Value], unknown: &[&str]) -> Vec<String> {
        let short = |event: Event| {
            let event = serde_json::to_value(event).unwrap();
            let what =
                [&event["object"]["id"]["text"], &event["text"], &event["why"], &event["number"], &event["from"]];
            let what = what.iter().find(|what| !what.is_null()).map(|what| format!(" {what}")).unwrap_or_default();
            format!("{}{what}", event["event"].as_str().unwrap()).replace('"', "")
        };
        memory.compare(&seen(objects, unknown)).into_iter().map(short).collect()
    }

    #[test]
    fn what_comes_goes_and_changes_is_told_once() {
        let mut memory = Memory::default();
        assert_eq!(names(&mut memory, &[], &[]), ["looked"]);
        assert_eq!(names(&mut memory, &[], &[]), [""; 0]);
        assert_eq!(names(&mut memory, &[object("a", "restorable")], &[]), ["appeared a", "looked"]);
        assert_eq!(names(&mut memory, &[object("a", "restorable")], &[]), [""; 0]);
        assert_eq!(names(&mut memory, &[object("a", "orphan")], &[]), ["changed a", "looked"]);
        assert_eq!(names(&mut memory, &[], &[]), ["went a", "looked"]);
    }

    #[test]
    fn what_a_pass_could_not_see_has_not_gone() {
        let mut memory = Memory::default();
        names(&mut memory, &[object("a", "orphan")], &[]);
        assert_eq!(names(&mut memory, &[], &["/mnt"]), ["out-of-sight a", "unknown /mnt", "looked"]);
        assert_eq!(names(&mut memory, &[object("a", "orphan")], &["/mnt"]), ["appeared a", "looked"]);
        assert_eq!(names(&mut memory, &[object("a", "orphan")], &[]), ["known /mnt", "looked"]);
    }

    #[test]
    fn look_alikes_are_not_told() {
        let mut memory = Memory::default();
        names(&mut memory, &[], &[]);
        assert_eq!(names(&mut memory, &[object("a", "look-alike")], &[]), [""; 0]);
        assert_eq!(names(&mut memory, &[], &[]), [""; 0]);
        names(&mut memory, &[object("a", "orphan")], &[]);
        assert_eq!(names(&mut memory, &[object("a", "look-alike")], &[]), ["changed a", "looked"]);
    }

    #[test]
    fn a_removal_is_told_and_a_failed_one_once() {
        let with = |outcome: &str, why: &str| {
            let mut object = object("a", "litter");
            object["outcome"] = outcome.into();
            object["failure"] = why.into();
            object
        };
        let mut memory = Memory::default();
        let failed = with("failed", "busy");
        assert_eq!(names(&mut memory, std::slice::from_ref(&failed), &[]), ["appeared a", "not-cleaned a", "looked"]);
        assert_eq!(names(&mut memory, &[failed], &[]), [""; 0]);
        assert_eq!(names(&mut memory, &[with("failed", "gone mad")], &[]), ["not-cleaned a", "looked"]);
        assert_eq!(names(&mut memory, &[with("removed", "")], &[]), ["cleaned a", "looked"]);
        assert_eq!(names(&mut memory, &[], &[]), [""; 0]);
        assert_eq!(names(&mut memory, &[with("kept", "")], &[]), ["appeared a", "looked"]);
        assert_eq!(names(&mut memory, &[with("already-gone", "")], &[]), ["went a", "looked"]);
    }

    #[test]
    fn a_flood_is_counted() {
        let objects: Vec<Value> = (0..MOST + 5).map(|at| object(&at.to_string(), "orphan")).collect();
        let events = names(&mut Memory::default(), &objects, &[]);
        assert_eq!(events[MOST..], ["more 5", "looked"]);
    }
}
