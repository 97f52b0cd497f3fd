// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What keeps everything, and what the user can set aside.

use super::objects::{
    chain, control_group, link, link_finding, living, newer_link, rules, signed, survey, table_finding, task,
};
use super::*;

#[test]
fn while_the_tree_may_live_nothing_at_all_is_removed() {
    for (tree, expected) in [
        (living(true, false, false), "keep: tree-alive"),
        (living(false, true, false), "keep: criu-at-work"),
        (living(false, false, true), "keep: tree-unknown"),
        (living(true, true, true), "keep: criu-at-work, tree-alive, tree-unknown"),
    ] {
        let all = vec![rules(), table_finding(signed()), chain(Some(Tie::Named), &[]), link_finding(link())];
        assert_eq!(decide_with(&checkpoint(), Survey { tree, ..survey(all) }, &[]), [expected; 4]);
    }
}

#[test]
fn a_tree_that_came_back_while_a_question_was_asked_keeps_everything() {
    let gone = || Finding { residue: link().0.into(), presence: Presence::Gone(Looked::in_test()) };
    let findings = || vec![rules(), gone(), chain(None, &[])];
    let plan = decide(&checkpoint(), survey(findings()), &Policy::default());
    assert!(plan.removes_anything());
    let allowed = Policy { allowed: BTreeSet::from([KeepReason::TreeAlive]), ..Policy::default() };
    let guarded = |policy: &Policy| -> Vec<String> {
        let plan = decide(&checkpoint(), survey(findings()), &Policy::default());
        let items = plan.guarded(&living(true, false, false), policy).into_items();
        items.iter().map(|item| text(&item.verdict)).collect()
    };
    assert_eq!(guarded(&allowed), ["Remove", "Nothing", "keep: untied-namespace"]);
    assert_eq!(guarded(&Policy::default()), ["keep: tree-alive", "Nothing", "keep: untied-namespace"]);
}

/// A chain that two dumps have closed the namespace by.
fn shared_chain() -> Finding {
    let Finding { residue, presence: Presence::Chain(mut found) } = chain(Some(Tie::Named), &[]) else {
        panic!("no chain")
    };
    found.view.jumps = (0..2).map(|handle| (Direction::Input, RuleId::Handle(handle))).collect();
    Finding { residue, presence: Presence::Chain(found) }
}

/// An object with every objection that it can have, all at once.
fn everything() -> (Checkpoint, Survey) {
    let mut checkpoint = checkpoint();
    let written = Timestamp::new(1001, 0);
    checkpoint.restores.succeeded = Some(RestoreEvidence { file: "restore.log".to_owned(), written });
    let Finding { residue, presence: Presence::File(mut file) } = newer_link() else { panic!("no file") };
    (file.identity.mode, file.identity.size) = (0o100_600, 0);
    let newer = Finding { residue, presence: Presence::File(file) };
    let findings = vec![newer, chain(None, &["rule 2"])];
    (checkpoint, Survey { tree: living(true, true, true), ..survey(findings) })
}

#[test]
fn each_reason_is_set_aside_by_its_own_name_and_no_other() {
    let (checkpoint, with_all) = everything();
    let all = [
        "keep: criu-at-work, tree-alive, tree-unknown, other-mode, other-size, changed-since, restored-since",
        "keep: criu-at-work, tree-alive, tree-unknown, restored-since, newer-dump, foreign-content, untied-namespace",
    ];
    assert_eq!(decide_with(&checkpoint, with_all, &[]), all);
    for reason in KeepReason::ALL {
        let without = |line: &str| {
            let listed = line.strip_prefix("keep: ").unwrap().split(", ");
            let left: Vec<&str> = listed.filter(|name| !reason.can_be_allowed() || *name != reason.name()).collect();
            format!("keep: {}", left.join(", "))
        };
        assert_eq!(decide_with(&checkpoint, everything().1, &[reason]), all.map(without), "{reason}");
    }
}

#[test]
fn a_last_objection_set_aside_leads_to_the_removal() {
    let object = |reason: KeepReason| -> Option<(TreeState, Finding)> {
        let dead = TreeState::default();
        let changed = |change: fn(&mut FoundFile)| {
            let (link, mut file) = link();
            change(&mut file);
            Some((TreeState::default(), link_finding((link, file))))
        };
        match reason {
            KeepReason::TreeAlive => Some((living(true, false, false), rules())),
            KeepReason::TreeUnknown => Some((living(false, false, true), rules())),
            KeepReason::OtherType => changed(|file| file.identity.mode = 0o010_640),
            KeepReason::OtherMode => changed(|file| file.identity.mode = 0o100_600),
            KeepReason::OtherSize => changed(|file| file.identity.size = 0),
            KeepReason::ChangedSince => Some((dead, newer_link())),
            KeepReason::RestoredSince => Some((TreeState { restored: task(), ..dead }, rules())),
            KeepReason::OlderThanDump => changed(|file| {
                file.place.base = Base::Device { device: (7, 0), volume: None };
                file.identity.changed = Timestamp::new(980, 0);
                file.directory.changed = Timestamp::new(980, 0);
            }),
            KeepReason::SharedLock => Some((dead, shared_chain())),
            KeepReason::Unmarked => Some((dead, control_group())),
            KeepReason::ForeignContent => Some((dead, chain(Some(Tie::Named), &["rule 2"]))),
            KeepReason::ForeignImages
            | KeepReason::UnknownVersion
            | KeepReason::NotRecorded
            | KeepReason::NewerDump
            | KeepReason::CriuAtWork
            | KeepReason::TreeTraced
            | KeepReason::LogOnly
            | KeepReason::LikeAnyOther
            | KeepReason::CriuElsewhere
            | KeepReason::HalfRestored
            | KeepReason::InUse
            | KeepReason::NameTaken
            | KeepReason::Directory
            | KeepReason::UntiedNamespace => None,
        }
    };
    for reason in KeepReason::ALL {
        let Some((tree, finding)) = object(reason) else { continue };
        let with_tree = |findings| Survey { tree: tree.clone(), ..survey(findings) };
        let kept = decide_with(&checkpoint(), with_tree(vec![finding.clone()]), &[]);
        assert_eq!(kept, [format!("keep: {reason}")]);
        assert_eq!(decide_with(&checkpoint(), with_tree(vec![finding]), &[reason]), ["Remove"], "{reason}");
    }
    let newer = || survey(vec![rules(), newer_link()]);
    let removed = decide_with(&checkpoint(), newer(), &[KeepReason::NewerDump]);
    assert_eq!(removed, ["Remove", "keep: changed-since"]);
}

#[test]
fn a_reason_that_names_a_fact_to_be_changed_first_cannot_be_allowed() {
    let never = [
        KeepReason::CriuAtWork,
        KeepReason::TreeTraced,
        KeepReason::LogOnly,
        KeepReason::LikeAnyOther,
        KeepReason::HalfRestored,
        KeepReason::CriuElsewhere,
        KeepReason::InUse,
        KeepReason::NameTaken,
        KeepReason::Directory,
        KeepReason::UntiedNamespace,
    ];
    for reason in KeepReason::ALL {
        assert_eq!(reason.can_be_allowed(), !never.contains(&reason), "{reason}");
        assert_eq!(reason.name().parse(), reason.can_be_allowed().then_some(reason).ok_or(crate::reason::NotAReason));
        assert_eq!(reason.remedy() == format!("--allow {reason}"), reason.can_be_allowed(), "{reason}");
    }
    assert!(KeepReason::ALL.is_sorted());
}

#[test]
fn the_word_of_a_user_removes_what_that_user_could_have_removed() {
    let by = |author: Author| Checkpoint { author, ..checkpoint() };
    let owned_by = |file_owner: u32, directory_owner: u32| {
        let (link, mut file) = link();
        (file.identity.owner, file.directory.owner) = (file_owner, directory_owner);
        survey(vec![link_finding((link, file))])
    };
    let kept = ["keep: foreign-images"];
    for (author, file, directory, expected) in [
        (Author::Trusted, 0, 0, ["Remove"]),
        (Author::User(1000), 0, 0, kept),
        (Author::User(1000), 1001, 1001, kept),
        (Author::User(1000), 1000, 0, ["Remove"]),
        (Author::User(1000), 0, 1000, ["Remove"]),
        (Author::Anybody, 1000, 1000, kept),
    ] {
        assert_eq!(decide_with(&by(author), owned_by(file, directory), &[]), expected, "{author:?} {file} {directory}");
        let allowed = [KeepReason::ForeignImages];
        assert_eq!(decide_with(&by(author), owned_by(file, directory), &allowed), ["Remove"]);
    }
    for author in [Author::User(1000), Author::Anybody] {
        let locks = || survey(vec![rules(), table_finding(signed()), chain(Some(Tie::Named), &[])]);
        assert_eq!(decide_with(&by(author), locks(), &[]), ["keep: foreign-images"; 3]);
    }
}
