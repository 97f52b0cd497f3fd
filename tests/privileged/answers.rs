// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers of the kernel that are lost, interrupted, cut or spoiled on the way: rules that could not be read whole are not
//! known, and what a run could not do the next one does.
//!
//! Each answer is received twice, first only to learn how long it is: those with even numbers are read.

use testkit::{Criu, IptablesFlavour, LockMethod};

use crate::case::{Case, Cases};
use crate::crash::Scene;
use crate::faults::{assert_removals_under_each, assert_words, tell};

inventory::submit!(Cases::with_newest_criu(&[
    Case { name: "answers of the kernel that are spoiled never say that nothing is left", test: shown },
    Case { name: "answers of the kernel that are spoiled end in a removal that the next completes", test: removed },
    Case { name: "answers of the kernel that are lost end in a removal that the next completes", test: lost },
    Case { name: "a removal that is interrupted at every other call makes these again", test: interrupted },
]));

/// What the first bytes of an answer become: its length, type and flags (`struct nlmsghdr`).
const SPOILED: [(&str, &str); 4] = [
    // NLMSG_DONE with NLM_F_MULTI and NLM_F_DUMP_INTR.
    ("1000000003001200", "a list that changed while it was read"),
    ("ffffffff", "a message that is longer than what came"),
    ("04000000", "a message that is shorter than its head"),
    ("1800000002000000", "a refusal for a reason that there is not"),
];

/// The answers that are spoiled: one of the first, or all.
const WHICH: [&str; 11] = ["2", "4", "6", "8", "10", "12", "14", "16", "18", "20", "2+2"];

fn spoiling(bytes: &str, which: &str) -> String {
    format!("recvfrom:poke_exit=@arg2={bytes}:when={which}")
}

fn shown(criu: &Criu) {
    let (mut runs, mut unknown) = (0, 0);
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        let scene = Scene::new(criu, lock, IptablesFlavour::Nft);
        for (bytes, what) in SPOILED {
            for which in WHICH {
                let injection = spoiling(bytes, which);
                let run = scene.tool().under_strace(&[&injection]).run(&["--show", "--exit-code"]);
                assert_words(&format!("{what}: {injection}"), &run);
                assert!(matches!(run.code(), 1 | 2), "{what}: {injection}: {run}");
                let is_unknown = run.stdout.contains("(not known: ") || run.code() == 2;
                assert!(is_unknown || which != "2+2", "void: nothing was spoiled: {what}: {run}");
                unknown += usize::from(is_unknown);
                runs += 1;
            }
        }
        scene.assert_scope();
        scene.assert_completes();
    }
    tell(&format!("{runs} runs of --show with a spoiled answer; in {unknown} something was not known"));
}

fn removed(criu: &Criu) {
    let of_each = |(bytes, _)| WHICH.map(|which| spoiling(bytes, which));
    let injections: Vec<String> = SPOILED.into_iter().flat_map(of_each).collect();
    let dumps = assert_removals_under_each(criu, &injections);
    tell(&format!("{} removals with a spoiled answer, of {dumps} dumps", injections.len()));
}

/// One after another: there is no room for it, or it does not come in time.
fn lost(criu: &Criu) {
    for lock in [LockMethod::Iptables, LockMethod::Nftables] {
        for error in ["ENOBUFS", "EAGAIN"] {
            let scene = Scene::new(criu, lock, IptablesFlavour::Nft);
            let runs = (1..200).find(|number| {
                let injection = format!("recvfrom:error={error}:when={number}");
                let run = scene.tool().under_strace(&[&injection]).run(&[]);
                assert_words(&injection, &run);
                assert!(matches!(run.code(), 0..=2), "{injection}: {run}");
                scene.assert_scope();
                let is_clean = scene.left().is_empty();
                assert!(run.code() != 0 || is_clean, "status 0, and something is left: {injection}: {run}");
                is_clean
            });
            let runs = runs.expect("void: no run gets through");
            assert!(runs > 1, "void: the first loss kept nothing");
            tell(&format!("{runs} removals until one did not lose an answer by {error}"));
            scene.assert_completes();
        }
    }
}

fn interrupted(criu: &Criu) {
    for call in ["recvfrom", "sendto", "flock", "unlinkat"] {
        let scene = Scene::new(criu, LockMethod::Iptables, IptablesFlavour::Nft);
        let run = scene.tool().under_strace(&[&format!("{call}:error=EINTR:when=1+2")]).run(&[]);
        assert_eq!(run.code(), 0, "{call}: {run}");
        scene.assert_completes();
    }
}
