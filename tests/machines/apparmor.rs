// SPDX-License-Identifier: Apache-2.0 OR MIT
//! AppArmor policies that CRIU suspends for a dump and does not bring back (docs/apparmor.md).

use machine::Kernel;

use crate::case::{Case, Cases, Today};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case {
        name: "a profile that confines the dumped tree directly is never suspended, and the tree is cleaned up",
        test: without_namespace,
        today: Today::Passes,
    },
    Case {
        name: "while a policy that the dump suspended stays so, criu-gc does not say that nothing is left",
        test: suspended,
        today: Today::Fails {
            because: "AppArmor policies are not looked for yet (issue 15)",
            message: "Nothing is left, it says, while the policy is suspended",
        },
    },
    Case {
        name: "a CRIU that is killed leaves the policy suspended under the living tree, whose link is kept until it dies",
        test: killed,
        today: Today::Passes,
    },
    Case {
        name: "a CRIU that is killed while it compiles a policy leaves a directory, and criu-gc says that it cannot tell",
        test: killed_early,
        today: Today::Passes,
    },
]));

/// Functions of bash for policies.
const POLICIES: &str = include_str!("apparmor.sh");

/// Debian's own CRIU for this kernel, and the newest.
const CRIUS: [&str; 2] = ["3.17.1", "4.3"];

/// A machine with a policy namespace, and the directory of the files to dump.
fn boot() -> Scene {
    let mut scene = Scene::booted(Kernel::V6_1);
    run(&mut scene, "mkdir /srv/data; load_policy");
    assert_eq!(run(&mut scene, "policy"), "enforced\n");
    scene
}

#[track_caller]
fn run(scene: &mut Scene, script: &str) -> String {
    scene.run(&format!("{POLICIES}\n{script}"))
}

fn without_namespace() {
    let mut scene = boot();
    for criu in CRIUS {
        let script = "apparmor_parser --replace /run/guard
             label='exec guard'
             dump CRIU $(start_confined deleted /srv/data/file) /srv/images
             policy
             $gc /srv/images
             ls /srv/data
             rm -r /srv/images /srv/data/*";
        let output = run(&mut scene, &script.replace("CRIU", criu));
        assert!(output.starts_with("enforced\nLink remap: /srv/data/link_remap."), "{criu}: {output}");
        assert!(output.ends_with("1 object: 1 removed.\nfile.keep\n"), "{criu}: {output}");
    }
}

/// A dump that succeeds suspends for good, also one that lets the tree run.
fn suspended() {
    let mut scene = boot();
    let mut wrong = String::new();
    for (criu, option) in [("3.17.1", ""), ("4.3", ""), ("3.17.1", "--leave-running"), ("4.3", "--leave-running")] {
        let script = "load_policy
             dump CRIU $(start_confined deleted /srv/data/file) /srv/images OPTION";
        run(&mut scene, &script.replace("CRIU", criu).replace("OPTION", option));
        assert_eq!(run(&mut scene, "policy"), "suspended\n", "{criu} {option}");
        let says = scene.finish("$gc /srv/images; $gc --show /srv/images").stdout;
        assert_eq!(run(&mut scene, "policy"), "suspended\n", "{criu} {option}: the removal does not touch policies");
        if says.contains("Nothing is left") {
            wrong += &format!("{criu} {option}: {says}");
        }
        run(&mut scene, "rm -rf /srv/images /srv/data/*");
    }
    assert!(wrong.is_empty(), "Nothing is left, it says, while the policy is suspended:\n{wrong}");
}

fn killed() {
    let mut scene = boot();
    for criu in CRIUS {
        let script = "load_policy
             tree=$(start_confined deleted /srv/data/file)
             echo $tree > /run/tree
             ! dump CRIU $tree /srv/images --action-script $(killer post-dump) 2> /dev/null
             policy
             cat /proc/$tree/attr/current";
        let output = run(&mut scene, &script.replace("CRIU", criu));
        assert_eq!(output, "suspended\n:box:guard (enforce)\n", "{criu}");
        let shown = scene.run("$gc --show /srv/images");
        assert!(shown.contains("kept: tree-alive"), "{criu}: {shown}");
        let removed = scene.run("kill -9 $(cat /run/tree); sleep 0.2; $gc /srv/images; ls /srv/data");
        assert!(removed.ends_with("1 object: 1 removed.\nfile.keep\n"), "{criu}: {removed}");
        // Loading the profile again brings it back; criu-gc has not changed it.
        assert_eq!(run(&mut scene, "policy; load_policy; policy"), "suspended\nenforced\n", "{criu}");
        run(&mut scene, "rm -r /srv/images /srv/data/*");
    }
}

fn killed_early() {
    let mut scene = boot();
    for criu in CRIUS {
        let script = "tree=$(start_confined deleted /srv/data/file)
             mkdir -p /run/bin
             printf '#!/bin/bash\\ncase $* in *.criu.temp-aa-policy.*) kill -9 $PPID; exit 1; esac\\nexec /sbin/apparmor_parser \"$@\"\\n' \\
                 > /run/bin/apparmor_parser
             chmod 755 /run/bin/apparmor_parser
             ! PATH=/run/bin:$PATH dump CRIU $tree /srv/images 2> /dev/null
             kill -9 $tree
             policy
             (cd /srv/images && ls -d .criu.temp-aa-policy.??????)";
        let output = run(&mut scene, &script.replace("CRIU", criu));
        assert!(output.starts_with("enforced\n.criu.temp-aa-policy."), "{criu}: {output}");
        let ended = scene.finish("$gc --show /srv/images");
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{criu}");
        assert!(ended.stderr.contains("no CRIU image in /srv/images"), "{criu}: {}", ended.stderr);
        run(&mut scene, "rm -r /srv/images /srv/data/*");
    }
}
