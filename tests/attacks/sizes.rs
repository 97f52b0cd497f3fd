// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Images that are made to cost memory or time. The tool runs within 512 MiB of address space here.

use std::fs;

use criu_images::{Framing, ImageKind, InetSkEntry, PstreeEntry};
use handmade::{Checkpoint, LINK, ORIGINAL, image, named, regular, remap, socket};

use crate::attack::{Attack, Attacks, Fate};

const MILLION: u32 = 1_000_000;

/// The length of a record, and what stands for its content.
fn write_record(checkpoint: &Checkpoint, length: u32, content: &[u8]) {
    let kind = ImageKind::Files;
    let head = kind.head_magic().into_iter().chain([kind.magic(), length]).flat_map(u32::to_le_bytes);
    let bytes: Vec<u8> = head.chain(content.iter().copied()).collect();
    checkpoint.write_bytes("files.img", &bytes);
}

inventory::submit!(Attacks(attacks));

fn attacks() -> Vec<Attack> {
    vec![
        Attack::of_images("a million remaps to one link", Fate::Refused("in 256 MiB of memory"), |c| {
            c.remaps = vec![remap(ORIGINAL, LINK); MILLION as usize];
        }),
        Attack::of_images("a tenth of that", Fate::NotKnown("uses file 9 for a second remap"), |c| {
            c.remaps = vec![remap(ORIGINAL, LINK); MILLION as usize / 10];
        }),
        Attack::of_images("tens of thousands of links of one file that are not there", Fate::Nothing, |c| {
            // As many as the budget allows, nearly: each is looked for.
            let directory = c.data().join("no directory");
            let links = 100..100 + 80_000;
            c.files = links.clone().map(|id| regular(named(id, &directory.join(format!("link_remap.{id}"))))).collect();
            c.files.push(regular(named(ORIGINAL, &directory.join("data")).with(|file| file.size = Some(4))));
            c.remaps = links.map(|id| remap(ORIGINAL, id)).collect();
        }),
        Attack::of_place("a million tasks", Fate::Refused("in 256 MiB of memory"), |c| {
            let task = |pid| {
                PstreeEntry::default().with(|task| {
                    task.pid = pid;
                    task.pgid = pid;
                    task.sid = pid;
                })
            };
            let tasks: Vec<PstreeEntry> = (1..=MILLION).map(task).collect();
            c.write_bytes("pstree.img", &image(Framing::TwoMagics, &tasks));
        }),
        Attack::of_images("half a million connections", Fate::Refused("in 256 MiB of memory"), |c| {
            const ESTABLISHED: u32 = 1;
            let connection = |id: u32| {
                InetSkEntry::default().with(|socket| {
                    socket.id = id;
                    socket.family = 2;
                    socket.sock_type = 1;
                    socket.proto = 6;
                    socket.state = ESTABLISHED;
                    socket.src_port = 1000 + id % 60_000;
                    socket.dst_port = 80;
                    socket.src_addr = vec![0x0100_007f];
                    socket.dst_addr = vec![id];
                })
            };
            c.files.extend((100..100 + MILLION / 2).map(connection).map(socket));
        }),
        Attack::of_place("a record that says it is four gigabytes long", Fate::Refused("bytes long"), |c| {
            write_record(c, u32::MAX, b"");
        }),
        Attack::of_place("a record as long as may be, and cut", Fate::NotKnown("is truncated"), |c| {
            write_record(c, 1024 * 1024, b"\x08\x01");
        }),
        Attack::of_place(
            "a field that says it is longer than its record",
            Fate::NotKnown("files.img has 1 record that CRIU does not write"),
            |c| {
                write_record(c, 7, b"\x1a\xff\xff\xff\xff\x0f\x00");
            },
        ),
        Attack::of_place(
            "messages within messages without end",
            Fate::NotKnown("files.img has 1 record that CRIU does not write"),
            |c| {
                // Groups, which nest without a length.
                let nested = [0x1b; 4096];
                write_record(c, 4096, &nested);
            },
        ),
        Attack::of_place(
            "an image of a container that repeats its annotations for each layer",
            Fate::Refused("no CRIU image in"),
            |c| {
                let layer = |number| {
                    format!(r#"{{"mediaType": "x.criu.checkpoint.criu.tar", "digest": "sha256:{number:064x}"}}"#)
                };
                let layers: Vec<String> = (0..1000).map(layer).collect();
                let annotations = format!(r#"{{"org.criu.checkpoint.pod.name": "{}"}}"#, "x".repeat(2 * 1024 * 1024));
                let index = format!(r#"{{"annotations": {annotations}, "manifests": [{}]}}"#, layers.join(","));
                // Images that lie there plainly would come first.
                fs::remove_dir_all(c.images()).expect("the images");
                fs::create_dir_all(c.images().join("blobs")).expect("a new directory");
                fs::write(c.images().join("index.json"), index).expect("a new file");
            },
        ),
        Attack::of_place("a log of one endless line", Fate::NotKnown("cannot be reached"), |c| {
            fs::write(c.images().join("dump.log"), vec![b'x'; 64 * 1024 * 1024]).expect("a log");
            fs::rename(c.data(), c.data().with_file_name("away")).expect("another name");
            std::os::unix::fs::symlink("away", c.data()).expect("a symbolic link");
        }),
    ]
}
