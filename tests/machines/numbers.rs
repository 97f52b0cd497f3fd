// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Device numbers that are given out again after a reboot: disks under other letters, loop devices, device-mapper.
//!
//! There are two devices of each kind. A container has a directory of the first, and is dumped; the second holds files
//! of a user with all names that its link may have, of the same type, mode and size, older than the dump. After a reboot
//! the two have each other's number. The user's files must survive, and the link must be found and removed without an
//! option.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use machine::Kernel;

use crate::case::{Case, Cases, Today};
use crate::scene::Scene;

inventory::submit!(Cases(&[
    Case {
        name: "a user's files on a disk that has the letter of another one survive",
        test: || assert_survives("disk"),
        today: Today::Passes,
    },
    Case {
        name: "the link on a disk that has another letter is removed",
        test: || assert_removed("disk"),
        today: Today::Passes,
    },
    Case {
        name: "a user's files on a loop device that has the number of another one survive",
        test: || assert_survives("loop"),
        today: Today::Passes,
    },
    Case {
        name: "the link on a loop device that has another number is removed",
        test: || assert_removed("loop"),
        today: Today::Passes,
    },
    Case {
        name: "a user's files on a device of device-mapper that has the number of another one survive",
        test: || assert_survives("dm"),
        today: Today::Passes,
    },
    Case {
        name: "the link on a device of device-mapper that has another number is removed",
        test: || assert_removed("dm"),
        today: Today::Passes,
    },
    Case {
        name: "a user's files on a disk that is mounted in the place of another one survive",
        test: || assert!(KINDS["path"].survived, "removed: a user's file\n{}", KINDS["path"].first_answer),
        today: Today::Passes,
    },
    Case {
        name: "the link on a disk that has another letter and its own place is removed",
        test: || assert_removed("path"),
        today: Today::Passes,
    },
]));

/// What came of each kind.
static KINDS: LazyLock<BTreeMap<&str, Outcome>> = LazyLock::new(try_all);

struct Outcome {
    /// What criu-gc said while only the second device was mounted.
    first_answer: String,
    /// What it said when the first was mounted too, or in the other's place.
    answer: String,
    /// Whether the user's files on the second device are as they were, after both.
    survived: bool,
    /// How many links are left on the first device.
    left: u32,
}

fn assert_survives(kind: &str) {
    let Outcome { first_answer, answer, survived, .. } = &KINDS[kind];
    assert!(survived, "removed: a user's file\n{first_answer}{answer}");
}

fn assert_removed(kind: &str) {
    let Outcome { answer, left, .. } = &KINDS[kind];
    assert_eq!(*left, 0, "{left} links are left\n{answer}");
    assert!(answer.ends_with("status 0\n"), "{answer}");
}

/// Two devices of each kind, the first as `first KIND`. `$turn` is 1 before the reboot, and then 2: what is made first
/// then has the first number.
const DEVICES: &str = r#"
modprobe dm_mod
in_turn() { [ "$turn" = 1 ] && echo "$@" || echo "$2 $1"; }
make_devices() {
    local name number=0
    for name in $(in_turn first second); do
        losetup /dev/loop$number /var/loop.$name
        losetup /dev/loop$((number + 2)) /var/dm.$name
        dmsetup create --noudevsync $name --table "0 131072 linear /dev/loop$((number + 2)) 0"
        dmsetup mknodes
        number=$((number + 1))
    done
}
device() {
    case $1 in
    disk | path) disk "$1.$2" ;;
    loop) losetup --noheadings --output NAME --associated /var/loop.$2 ;;
    dm) readlink -f /dev/mapper/$2 ;;
    esac
}
kinds="disk loop dm path"
"#;

fn try_all() -> BTreeMap<&'static str, Outcome> {
    let mut scene = Scene::new(Kernel::V6_1);
    let disks = ["disk.first", "disk.second", "path.first", "path.second"]
        .map(|name| scene.hardware.add_disk(name, 64).expect("a disk"));
    scene.boot();
    scene.run(&format!(
        r#"{DEVICES}
        truncate --size 64M /var/loop.first /var/loop.second /var/dm.first /var/dm.second
        turn=1; make_devices
        for kind in $kinds; do
            mkdir -p /mnt/$kind.first /mnt/$kind.second
            for name in first second; do
                mkfs.ext4 -q $(device $kind $name)
                mount $(device $kind $name) /mnt/$kind.$name
                mkdir /mnt/$kind.$name/data
            done
            for number in $(seq 20); do
                printf '%-40s\n' "a user's own" > /mnt/$kind.second/data/link_remap.$number
                chmod 640 /mnt/$kind.second/data/link_remap.$number
            done
            sha256sum /mnt/$kind.second/data/* > /root/$kind.sums
            echo "$kind $(mountpoint -d /mnt/$kind.first) $(mountpoint -d /mnt/$kind.second)" >> /root/numbers.before
        done
        sync
        sleep 2
        for kind in disk loop dm; do
            container=$(start_container /srv/$kind bind /mnt/$kind.first /data end session deleted /data/data/file)
            dump 4.3 $container /srv/$kind.images --external mnt[/data]:/data
        done
        tree=$(start_tree deleted /mnt/path.first/data/file)
        dump 4.3 $tree /srv/path.images
        for kind in $kinds; do [ $(links /mnt/$kind.first/data) = 1 ]; done"#
    ));
    scene.power_off();
    let [first, second, path_first, path_second] = &disks;
    scene.hardware.attach(&[second, first, path_second, path_first]);
    scene.boot();
    scene.run(&format!("{DEVICES} turn=2; make_devices"));
    ["disk", "loop", "dm", "path"].into_iter().map(|kind| (kind, try_out(&mut scene, kind))).collect()
}

fn try_out(scene: &mut Scene, kind: &str) -> Outcome {
    // A tree without a mount namespace knows only the path.
    let place = if kind == "path" { "/mnt/path.first" } else { "/mnt/$kind.second" };
    let prelude = format!("{DEVICES} kind={kind}\n");
    let first_answer =
        scene.run(&format!("{prelude} mount $(device $kind second) {place}\n judge -v /srv/$kind.images"));
    scene.run(&format!(
        r#"{prelude} umount {place}
        for name in first second; do mount $(device $kind $name) /mnt/$kind.$name; done
        number=$(mountpoint -d /mnt/$kind.second)
        grep -q "^$kind $number " /root/numbers.before || {{ cat /root/numbers.before; echo "$number"; exit 3; }}"#
    ));
    let answer = scene.run(&format!("{prelude} judge -v /srv/$kind.images"));
    let survived = scene.finish(&format!("{prelude} sha256sum --check --quiet /root/$kind.sums")).code == 0;
    let left = scene.count(&format!("links /mnt/{kind}.first/data"));
    Outcome { first_answer, answer, survived, left }
}
