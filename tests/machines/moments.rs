// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Power cuts at random moments of a removal, of `--save`, and of a dump that is recorded.
//!
//! `CRIU_GC_MOMENTS` sets how many in all, by default one of each kind. `target/machine/cuts.log` gets a line for
//! each: its seed, and how many links the cut left. A failure names the seed too; with `CRIU_GC_SEED` the delays are the
//! same again, though not what the machine has done by then.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use machine::{Disk, Kernel};

use crate::case::{Case, Cases, Today};
use crate::scene::{Scene, is_clean, note};

inventory::submit!(Cases(&[Case {
    name: "a power cut at any moment costs nothing innocent and nothing saved, and the next run goes on",
    test: moments,
    today: Today::Passes,
}]));

/// What is going on when the power is cut.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A removal.
    Remove,
    /// A removal with `--save` to the same file system: hard links.
    SaveLinks,
    /// The same to another disk: copies.
    SaveCopies,
    /// A dump, with the action script that records it.
    Record,
}

impl Act {
    /// How many links the dump leaves. To save a file takes long: each is on disk before the next.
    fn links(self) -> u32 {
        match self {
            Self::Remove | Self::Record => 200,
            Self::SaveLinks | Self::SaveCopies => 50,
        }
    }
}

const ACTS: [Act; 4] = [Act::Remove, Act::SaveLinks, Act::SaveCopies, Act::Record];

/// A cut.
struct Moment {
    seed: u64,
    number: usize,
    act: Act,
    /// Whether something else writes everything to the disks all the time.
    syncs: bool,
    /// When, in thousandths of the time that the act is thought to take.
    delay: u32,
}

fn moments() {
    let number =
        |name: &str| std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")));
    let count = number("CRIU_GC_MOMENTS").unwrap_or(ACTS.len() as u64);
    let seed = number("CRIU_GC_SEED").unwrap_or_else(seconds);
    let mut scene = Scene::new(Kernel::V6_1);
    let copies = scene.hardware.add_disk("copies", 128).expect("a disk");
    scene.boot();
    scene.run(&format!("mkfs.ext4 -q $(disk {}); sync", copies.name));
    for number in 0..usize::try_from(count).expect("a small number") {
        let moment = Moment::new(seed, number);
        let tried = catch_unwind(AssertUnwindSafe(|| moment.try_out(&mut scene, &copies)));
        if let Err(panic) = tried {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            resume_unwind(Box::new(format!("{moment}: {text}")));
        }
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Moment {
    fn new(seed: u64, number: usize) -> Self {
        let random = mix(seed.wrapping_add(number as u64));
        let act = ACTS[number % ACTS.len()];
        Self { seed, number, act, syncs: random & 1 == 1, delay: u32::try_from((random >> 1) % 1000).unwrap_or(0) }
    }

    /// From a machine that runs to one that has booted again and has nothing of this moment left.
    fn try_out(&self, scene: &mut Scene, copies: &Disk) {
        let prelude = format!(
            "at=/srv/{0} data=/srv/{0}/data images=/srv/{0}/images
             to=$at/saved; [ {1:?} != SaveCopies ] || to=/mnt/{0}
             copies() {{ mkdir -p /mnt; mount $(disk {2}) /mnt; }}\n",
            self.number, self.act, copies.name
        );
        let run = |scene: &mut Scene, script: &str| scene.run(&format!("{prelude}{script}"));
        run(scene, "mountpoint -q /mnt || copies; rm -f /root/innocents; with_innocents $data");
        let expected = self.prepare(scene, &prelude);
        self.cut(scene, &prelude, expected);
        scene.boot();
        run(scene, "copies; innocent");
        self.assert_not_called_clean(scene, &prelude);
        match self.act {
            Act::Remove => self.assert_after_removal(scene, &prelude),
            Act::SaveLinks | Act::SaveCopies => self.assert_after_saving(scene, &prelude),
            Act::Record => self.assert_after_recording(scene, &prelude),
        }
        run(scene, "innocent; rm -r $at");
    }

    /// Everything before the act, on disk; gives how long the act may take.
    fn prepare(&self, scene: &mut Scene, prelude: &str) -> Duration {
        let (setup, like_the_act, times) = match self.act {
            Act::Remove => ("dump 4.3 $(start_many $data $count) $images", "$gc --show $images", 3),
            Act::SaveLinks | Act::SaveCopies => {
                ("dump 4.3 $(start_many $data $count) $images", "$gc --show $images", 6)
            }
            Act::Record => (
                "ln -sf $gc /run/criu-gc-record
                 mkdir $at/trial
                 start_many $at/trial $count > /run/trial
                 start_many $data $count > /run/tree",
                "dump 4.3 $(cat /run/trial) $at/trial.images --action-script /run/criu-gc-record",
                1,
            ),
        };
        scene.run(&format!("{prelude} count={}\n{setup}\nsync", self.act.links()));
        let start = Instant::now();
        scene.run(&format!("{prelude}{like_the_act}"));
        start.elapsed() * times
    }

    fn cut(&self, scene: &mut Scene, prelude: &str, expected: Duration) {
        let beside = if self.syncs { "while sync; do :; done &\n" } else { "" };
        let act = match self.act {
            Act::Remove => "$gc $images",
            Act::SaveLinks | Act::SaveCopies => "$gc --save $to $images",
            Act::Record => "dump 4.3 $(cat /run/tree) $images --action-script /run/criu-gc-record",
        };
        scene.start_script(&format!("{prelude}{beside}{act}\nsync\nsleep 1000"));
        thread::sleep(expected * self.delay / 1000);
        scene.cut_power();
    }

    /// criu-gc does not call clean what has links.
    fn assert_not_called_clean(&self, scene: &mut Scene, prelude: &str) {
        let shown = scene.run(&format!("{prelude} judge --show --exit-code $images"));
        let links = scene.count(&format!("{prelude} links $data"));
        let last: Vec<&str> = shown.lines().rev().take(2).collect();
        note(&format!("{self}: {links} links; {}", last.join("; ")));
        assert!(links == 0 || !is_clean(&shown), "{links} links, but\n{shown}");
    }

    fn assert_after_removal(&self, scene: &mut Scene, prelude: &str) {
        let removed = scene.run(&format!("{prelude} judge $images"));
        assert!(removed.ends_with("status 0\n"), "{removed}");
        assert_eq!(
            scene.run(&format!("{prelude} links $data; $gc --show $images | tail -n 1")),
            "0\nNothing is left.\n"
        );
    }

    fn assert_after_saving(&self, scene: &mut Scene, prelude: &str) {
        let whole = r#"
            # What the manifest names is whole: its content is that of one of the files.
            saved() {
                python3 - "$to" <<'END'
import json, pathlib, sys
to = pathlib.Path(sys.argv[1])
manifest = to / "manifest.jsonl"
for line in manifest.read_bytes().splitlines() if manifest.exists() else []:
    try:
        name = json.loads(line)["file"]
    except ValueError:
        continue
    print(to / (name if isinstance(name, str) else name["text"]))
END
            }
            saved > /run/saved
            [ ! -s /run/saved ] || contents $(cat /run/saved) > /run/saved.sums
            [ ! -s /run/saved ] || [ -z "$(comm -23 /run/saved.sums $data.sums)" ] || { echo "not whole"; exit 4; }
            # Each file is saved, or has its link yet.
            contents $(find $data -name 'link_remap.*' ! -name link_remap.77) $(cat /run/saved) /dev/null > /run/all
            [ -z "$(comm -13 /run/all $data.sums)" ] || { echo "lost"; exit 5; }
        "#;
        scene.run(&format!("{prelude}{whole}"));
        let saved = scene.run(&format!("{prelude} judge --save $to $images"));
        // A hard link may be on disk without its line in the manifest: SECURITY.md, "What is not promised yet".
        if matches!(self.act, Act::SaveLinks) && saved.contains("1 kept") && saved.contains("changed-since") {
            scene.run(&format!("{prelude} $gc --allow changed-since --save $to $images"));
        } else {
            assert!(saved.ends_with("status 0\n"), "{saved}");
        }
        scene.run(&format!("{prelude}{whole}[ $(links $data) = 0 ]"));
    }

    /// No one has written the images to the disk.
    fn assert_after_recording(&self, scene: &mut Scene, prelude: &str) {
        let record =
            "[ ! -s $images/criu-gc-record.json ] || python3 -m json.tool $images/criu-gc-record.json > /dev/null";
        scene.run(&format!("{prelude}{record}"));
        let judged = scene.run(&format!("{prelude} judge $images"));
        let left = scene.count(&format!("{prelude} links $data"));
        assert!(left == 0 || !is_clean(&judged), "{left} links are left, but\n{judged}");
        let again = scene.run(&format!("{prelude} judge $images"));
        assert_eq!(scene.count(&format!("{prelude} links $data")), left, "{judged}{again}");
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, number, act, syncs, delay } = self;
        let beside = if *syncs { " beside sync" } else { "" };
        write!(f, "CRIU_GC_SEED={seed}, moment {number} ({act:?}{beside}, at {delay} of 1000)")
    }
}

/// The step of SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
