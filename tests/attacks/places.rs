// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Something else where the link, its directories, or an image should be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use criu_images::Framing;
use handmade::{Checkpoint, image};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::attack::{Attack, Attacks, Fate};

const NO_WAY: Fate = Fate::NotKnown("(not known: cannot be reached: cannot open directory ");

/// Puts a symbolic link into the place of this directory on the way, to where it is now.
fn turn(directory: &Path) {
    let away = directory.with_file_name("away");
    fs::rename(directory, &away).expect("another name");
    symlink(&away, directory).expect("a symbolic link");
}

/// Later than the images, by the clock of the filesystem, which may tick a hundred times a second.
fn replace(checkpoint: &Checkpoint, make: impl FnOnce(&Path)) {
    std::thread::sleep(std::time::Duration::from_millis(30));
    fs::remove_file(checkpoint.link()).expect("the link");
    make(&checkpoint.link());
}

fn replace_image(checkpoint: &Checkpoint, name: &str, make: impl FnOnce(&Path)) {
    let path = checkpoint.images().join(name);
    let _ = fs::remove_file(&path);
    make(&path);
}

fn make_fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o644)).expect("a FIFO");
}

fn make_socket(path: &Path) {
    drop(UnixListener::bind(path).expect("a socket"));
}

inventory::submit!(Attacks(attacks));

fn attacks() -> Vec<Attack> {
    let attack = Attack::of_place;
    vec![
        attack("a symbolic link in the place of the link's directory", NO_WAY, |c| turn(&c.data())),
        attack("a symbolic link that leads to a directory of victims", NO_WAY, |c| {
            fs::remove_dir_all(c.data()).expect("a directory");
            symlink(c.data().with_file_name("elsewhere"), c.data()).expect("a symbolic link");
        }),
        attack("a symbolic link that leads through /proc", NO_WAY, |c| {
            fs::remove_dir_all(c.data()).expect("a directory");
            symlink(format!("/proc/self/root{}", c.data().with_file_name("elsewhere").display()), c.data())
                .expect("a symbolic link");
        }),
        attack("a symbolic link to a user's file in the place of the link", Fate::Kept("other-type"), |c| {
            replace(c, |link| symlink("precious", link).expect("a symbolic link"));
        }),
        attack("a symbolic link to nothing in the place of the link", Fate::Kept("other-type"), |c| {
            replace(c, |link| symlink("nothing", link).expect("a symbolic link"));
        }),
        attack("a FIFO in the place of the link", Fate::Kept("other-type"), |c| replace(c, make_fifo)),
        attack("a socket in the place of the link", Fate::Kept("other-type"), |c| replace(c, make_socket)),
        attack("a directory in the place of the link", Fate::Kept("directory"), |c| {
            replace(c, |link| fs::create_dir_all(link.join("deep")).expect("a new directory"));
        }),
        attack("a user's own file with the name of the link", Fate::Kept("changed-since"), |c| {
            replace(c, |link| fs::write(link, "1234").expect("a new file"));
        }),
        attack("a larger file with the name of the link", Fate::Kept("other-size"), |c| {
            replace(c, |link| fs::write(link, "12345").expect("a new file"));
        }),
        attack("a hard link of a victim's with the name of the link", Fate::Kept("changed-since"), |c| {
            replace(c, |link| fs::hard_link(c.data().join("precious"), link).expect("a new link"));
        }),
        attack("a program with the name of the link", Fate::Kept("other-mode"), |c| {
            replace(c, |link| {
                fs::write(link, "1234").expect("a new file");
                fs::set_permissions(link, fs::Permissions::from_mode(0o755)).expect("a mode");
            });
        }),
        attack("a file in the place of the link's directory", Fate::NotKnown("cannot be reached: "), |c| {
            fs::remove_dir_all(c.data()).expect("a directory");
            fs::write(c.data(), "1234").expect("a new file");
        }),
        attack("a FIFO in the place of files.img", Fate::Refused("because it is not a regular file"), |c| {
            replace_image(c, "files.img", make_fifo);
        }),
        attack("a FIFO in the place of the inventory", Fate::Refused("because it is not a regular file"), |c| {
            replace_image(c, "inventory.img", make_fifo);
        }),
        attack("a socket in the place of files.img", Fate::Refused("cannot open "), |c| {
            replace_image(c, "files.img", make_socket);
        })
        .without_archive(),
        attack("a directory in the place of remap-fpath.img", Fate::Refused("because it is not a regular file"), |c| {
            replace_image(c, "remap-fpath.img", |path| fs::create_dir(path).expect("a new directory"));
        }),
        attack("a symbolic link in the place of files.img", Fate::Refused("/files.img: "), |c| {
            let image = c.images().join("files.img");
            fs::rename(&image, c.images().join("away")).expect("another name");
            symlink("away", image).expect("a symbolic link");
        }),
        attack("a symbolic link to a device in the place of an image", Fate::Refused("/remap-fpath.img: "), |c| {
            replace_image(c, "remap-fpath.img", |path| symlink("/dev/zero", path).expect("a symbolic link"));
        }),
        attack("a symbolic link to a secret in the place of the log", Fate::Refused("/dump.log: "), |c| {
            replace_image(c, "dump.log", |path| symlink("/etc/shadow", path).expect("a symbolic link"));
        }),
        attack(
            "a FIFO in the place of the statistics of a restore",
            Fate::Refused("because it is not a regular file"),
            |c| {
                replace_image(c, "stats-restore", make_fifo);
            },
        ),
        attack("statistics of a restore that somebody has made up", Fate::Kept("restored-since"), |c| {
            // RESTORE_STATS with no more than an empty message for the restore.
            let head = [0x5510_5940_u32, 0x5709_3306].into_iter().flat_map(u32::to_le_bytes);
            let bytes: Vec<u8> = head.chain(2_u32.to_le_bytes()).chain([0x12, 0x00]).collect();
            replace_image(c, "stats-restore", |path| fs::write(path, bytes).expect("an image"));
        }),
        attack("a log of another run than the images", Fate::NotKnown("is from another run than the images"), |c| {
            let mut inventory = c.inventory.clone();
            inventory.dump_criu_run_id = Some(b"01234567-89ab-cdef-0123-456789abcdef".to_vec());
            c.write_bytes("inventory.img", &image(Framing::TwoMagics, &[inventory]));
            fs::remove_file(c.link()).expect("the link");
            let text = "(00.1) CRIU run id = 76543210-89ab-cdef-0123-456789abcdef\n(00.2) Unfreezing tasks into 2\n";
            replace_image(c, "dump.log", |path| fs::write(path, text).expect("a log"));
        }),
    ]
}
