// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Entries of images made from arbitrary bytes: hostile, but of the right form, and few enough values that they meet.

use arbitrary::Arbitrary;
use criu_images::{
    ByteOrder, Entry, FileEntry, Framing, ImageWriter, InetSkEntry, Inventory, MntEntry, PstreeEntry, RegFileEntry,
    RemapFilePathEntry, TaskKobjIds,
};

/// Parts of which names are made.
const PARTS: [&[u8]; 24] = [
    b"/",
    b"link_remap.",
    b"1",
    b"2",
    b"3",
    b"..",
    b".",
    b"",
    b"dev",
    b"shm",
    b"etc",
    b"data",
    b"srv",
    b"upper",
    b"\0",
    b"\\012",
    b"\\043",
    b"\\040",
    b" (deleted)",
    b"//deleted",
    b"\xff",
    b"\n",
    b"abcdef",
    b"link_remap.1",
];

/// Device numbers: those of the host's mounts (see `law`), and others.
const DEVICES: [(u32, u32); 5] = [(254, 1), (0, 25), (0, 40), (7, 7), (0, 99)];

/// The entries of a checkpoint.
#[derive(Debug, Arbitrary)]
pub struct Entries {
    inventory: Option<(Option<Ids>, u8, u8, bool)>,
    ids: Ids,
    tasks: Vec<u8>,
    files: Vec<(u8, u8, File)>,
    remaps: Vec<(u8, u8, Option<i8>)>,
    sockets: Vec<(u8, u8, [u32; 2], [u16; 2])>,
    mounts: Vec<(u8, Mount)>,
    is_old: bool,
    cut: Option<(u8, u8)>,
}

#[derive(Debug, Arbitrary)]
struct Ids([u8; 3]);

#[derive(Debug, Arbitrary)]
struct Name(Vec<u8>);

#[derive(Debug, Arbitrary)]
struct File {
    name: Name,
    /// Where it is right: a name in a directory of the host.
    is_link: bool,
    mount: Option<u8>,
    size: Option<u8>,
    mode: Option<u16>,
    is_external: bool,
}

#[derive(Debug, Arbitrary)]
struct Mount {
    id: u8,
    kind: u8,
    device: u8,
    root: Name,
    mountpoint: Name,
    source: u8,
    options: u8,
    upper: Name,
    is_external: bool,
    key: Option<Name>,
    is_deleted: bool,
}

impl Entries {
    /// The images.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut images = Vec::new();
        let ids = self.ids.entry();
        if let Some((root_ids, version, lock, has_run_id)) = &self.inventory {
            let run_id = has_run_id.then(|| b"01234567-89ab-cdef-0123-456789abcdef".to_vec());
            let inventory = Inventory::default().with(|inventory| {
                inventory.img_version = u32::from(version % 4);
                inventory.root_ids = root_ids.as_ref().map(Ids::entry);
                inventory.network_lock_method = Some(u32::from(lock % 4));
                inventory.dump_criu_run_id = run_id;
            });
            images.push(image(0, &[inventory]));
        }
        let pids: Vec<u32> = self.tasks.iter().map(|pid| 4_194_305 + u32::from(pid % 4)).collect();
        images.push(image(0, &pids.iter().map(|pid| task(*pid)).collect::<Vec<_>>()));
        images.extend(pids.iter().map(|pid| image(*pid, &[ids])));
        self.add_files(&mut images);
        let remaps = self.remaps.iter().map(|(original, link, kind)| {
            RemapFilePathEntry::default().with(|remap| {
                remap.orig_id = small(*original);
                remap.remap_id = small(*link);
                remap.remap_type = kind.map(|kind| i32::from(kind % 5));
            })
        });
        images.push(image(0, &remaps.collect::<Vec<_>>()));
        for namespace in 0..4 {
            let mounts: Vec<MntEntry> =
                self.mounts.iter().filter(|(at, _)| at % 4 == namespace).map(|(_, mount)| mount.entry()).collect();
            images.push(image(u32::from(namespace), &mounts));
        }
        if let Some((at, length)) = self.cut {
            let at = usize::from(at) % images.len();
            images[at].1.truncate(usize::from(length));
        }
        images
    }

    fn add_files(&self, images: &mut Vec<(String, Vec<u8>)>) {
        let regular = self.files.iter().map(|(outside, inside, file)| {
            // Mostly the same.
            let id = if outside % 8 == 0 { small(*inside) } else { small(*outside) };
            (small(*outside), file.entry(id))
        });
        let sockets = self.sockets.iter().map(|(id, state, addresses, ports)| {
            InetSkEntry::default().with(|socket| {
                socket.id = small(*id);
                socket.ino = u32::from(*state);
                socket.family = if state & 1 == 0 { 2 } else { 10 };
                socket.sock_type = 1;
                socket.proto = 6;
                socket.state = u32::from(state % 12);
                socket.src_port = u32::from(ports[0]);
                socket.dst_port = u32::from(ports[1]);
                socket.src_addr = vec![addresses[0]; if state & 1 == 0 { 1 } else { 4 }];
                socket.dst_addr = vec![addresses[1]; if state & 1 == 0 { 1 } else { 4 }];
            })
        });
        if self.is_old {
            images.push(image(0, &regular.map(|(_, file)| file).collect::<Vec<_>>()));
            images.push(image(0, &sockets.collect::<Vec<_>>()));
        } else {
            let regular = regular.map(|(id, file)| FileEntry::from(file).with(|entry| entry.id = id));
            let sockets = sockets.map(FileEntry::from);
            images.push(image(0, &regular.chain(sockets).collect::<Vec<_>>()));
        }
    }
}

impl Ids {
    fn entry(&self) -> TaskKobjIds {
        let [pid, net, mnt] = self.0.map(|id| Some(u32::from(id % 3)));
        TaskKobjIds::default().with(|ids| {
            ids.pid_ns_id = pid;
            ids.net_ns_id = net;
            ids.mnt_ns_id = mnt;
        })
    }
}

impl Name {
    fn bytes(&self) -> Vec<u8> {
        self.0.iter().take(24).flat_map(|part| PARTS[usize::from(*part) % PARTS.len()]).copied().collect()
    }
}

impl File {
    fn entry(&self, id: u32) -> RegFileEntry {
        let mut name = self.name.bytes();
        let bare = RegFileEntry::default().with(|file| file.id = id);
        if self.is_link {
            name.extend(format!("/link_remap.{id}").as_bytes());
            return bare.with(|file| file.name = name);
        }
        bare.with(|file| {
            file.name = name;
            file.mnt_id = self.mount.map(|mount| i32::from(mount % 5) - 1);
            file.size = self.size.map(u64::from);
            file.ext = self.is_external;
            file.mode = self.mode.map(u32::from);
        })
    }
}

impl Mount {
    fn entry(&self) -> MntEntry {
        const SOURCES: [&[u8]; 3] = [b"/dev/vda1", b"tmpfs", b"overlay"];
        let (major, minor) = DEVICES[usize::from(self.device) % DEVICES.len()];
        let options = match self.options % 3 {
            0 => b"size=65536k".to_vec(),
            1 => [b"lowerdir=/l,upperdir=".as_slice(), &self.upper.bytes(), b",workdir=/w"].concat(),
            _ => b"lowerdir=/l,upperdir=/var/lib/c1/upper,workdir=/w".to_vec(),
        };
        MntEntry::default().with(|mount| {
            mount.fstype = u32::from(self.kind % 32);
            mount.mnt_id = u32::from(self.id % 4);
            mount.root_dev = (major << 20) | minor;
            mount.root = self.root.bytes();
            mount.mountpoint = self.mountpoint.bytes();
            mount.source = SOURCES[usize::from(self.source) % SOURCES.len()].to_vec();
            mount.options = options;
            mount.ext_mount = self.is_external;
            mount.ext_key = self.key.as_ref().map(Name::bytes);
            mount.deleted = self.is_deleted;
        })
    }
}

/// Ids are few, so that they meet.
fn small(id: u8) -> u32 {
    u32::from(id % 6)
}

fn task(pid: u32) -> PstreeEntry {
    PstreeEntry::default().with(|task| {
        task.pid = pid;
        task.pgid = pid;
        task.sid = pid;
    })
}

fn image<E: Entry>(id: u32, entries: &[E]) -> (String, Vec<u8>) {
    let mut writer = ImageWriter::with_format(Vec::new(), Framing::TwoMagics, ByteOrder::Little).expect("memory");
    for entry in entries {
        writer.write(entry).expect("memory");
    }
    (E::KIND.file_name(id), writer.into_inner())
}
