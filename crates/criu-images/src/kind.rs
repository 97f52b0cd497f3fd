// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kinds of image: their names and magic numbers.
//!
//! Names are matched as CRIU writes them and no other way: CRIU never names an image `ids-07.img`.
//! The facts are in `criu/image-desc.c` and `criu/include/magic.h`.

use std::ffi::OsStr;

/// Which image a file is, among those that this crate reads.
///
/// ```
/// use criu_images::ImageKind;
///
/// assert_eq!(ImageKind::GhostFile.file_name(31), "ghost-file-1f.img");
/// assert_eq!(ImageKind::from_file_name("ghost-file-1f.img"), Some((ImageKind::GhostFile, Some(31))));
/// assert_eq!(ImageKind::from_file_name("pages-1.img"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageKind {
    /// `inventory.img`: one [`Inventory`](crate::Inventory). Written last since CRIU 2.0.
    Inventory,
    /// `pstree.img`: a [`PstreeEntry`](crate::PstreeEntry) for each process, the root of the tree first.
    Pstree,
    /// `ids-<pid>.img`: one [`TaskKobjIds`](crate::TaskKobjIds).
    Ids,
    /// `core-<pid>.img`: one [`CoreEntry`](crate::CoreEntry).
    Core,
    /// `mm-<pid>.img`: one [`MmEntry`](crate::MmEntry).
    Mm,
    /// `files.img`: a [`FileEntry`](crate::FileEntry) for each open file. Since CRIU 3.4.
    Files,
    /// `reg-files.img`: a [`RegFileEntry`](crate::RegFileEntry) for each regular file. Until CRIU 3.3.
    RegFiles,
    /// `inetsk.img`: an [`InetSkEntry`](crate::InetSkEntry) for each IP socket. Until CRIU 3.3.
    InetSockets,
    /// `remap-fpath.img`: a [`RemapFilePathEntry`](crate::RemapFilePathEntry) for each file whose name was gone.
    RemapFilePath,
    /// `ghost-file-<id>.img`: one [`GhostFileEntry`](crate::GhostFileEntry), then the content of the file.
    GhostFile,
    /// `mountpoints-<mount namespace id>.img`: an [`MntEntry`](crate::MntEntry) for each mount.
    Mountpoints,
    /// `netns-<network namespace id>.img`: one [`NetNsEntry`](crate::NetNsEntry). Since CRIU 1.6.
    NetNs,
    /// `netdev-<network namespace id>.img`: a [`NetDeviceEntry`](crate::NetDeviceEntry) for each interface.
    NetDevices,
    /// `stats-dump` and `stats-restore`, in the work directory: one [`StatsEntry`](crate::StatsEntry).
    Stats,
    /// `tcp-stream-<socket inode>.img`: one [`TcpStreamEntry`](crate::TcpStreamEntry), then the content of the queues.
    TcpStream,
    /// `pidns-<pid namespace id>.img`: one [`PidNsEntry`](crate::PidNsEntry). Since CRIU 3.15.
    PidNs,
}

/// The form of the number in a file's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbering {
    None,
    Decimal,
    Hexadecimal,
}

const COMMON_MAGIC: u32 = 0x5456_4319;
const SERVICE_MAGIC: u32 = 0x5510_5940;

impl ImageKind {
    /// Every kind.
    pub const ALL: &'static [ImageKind] = &[
        ImageKind::Inventory,
        ImageKind::Pstree,
        ImageKind::Ids,
        ImageKind::Core,
        ImageKind::Mm,
        ImageKind::Files,
        ImageKind::RegFiles,
        ImageKind::InetSockets,
        ImageKind::RemapFilePath,
        ImageKind::GhostFile,
        ImageKind::Mountpoints,
        ImageKind::NetNs,
        ImageKind::NetDevices,
        ImageKind::Stats,
        ImageKind::TcpStream,
        ImageKind::PidNs,
    ];

    /// The magic number of the kind, which comes second where [a common one](Self::head_magic) comes first.
    pub fn magic(self) -> u32 {
        match self {
            ImageKind::Inventory => 0x5831_3116,
            ImageKind::Pstree => 0x5027_3030,
            ImageKind::Ids => 0x5443_2030,
            ImageKind::Core => 0x5505_3847,
            ImageKind::Mm => 0x5749_2820,
            ImageKind::Files => 0x5630_3138,
            ImageKind::RegFiles => 0x5036_3636,
            ImageKind::InetSockets => 0x5644_3851,
            ImageKind::RemapFilePath => 0x5913_3954,
            ImageKind::GhostFile => 0x5258_3605,
            ImageKind::Mountpoints => 0x5556_3928,
            ImageKind::NetNs => 0x5593_3752,
            ImageKind::NetDevices => 0x5737_3951,
            ImageKind::Stats => 0x5709_3306,
            ImageKind::TcpStream => 0x5146_5506,
            ImageKind::PidNs => 0x6115_7326,
        }
    }

    /// The common magic number that comes first since CRIU 1.6; an inventory never has one.
    pub fn head_magic(self) -> Option<u32> {
        if self == ImageKind::Inventory {
            return None;
        }
        Some(if self == ImageKind::Stats { SERVICE_MAGIC } else { COMMON_MAGIC })
    }

    /// The name that CRIU gives the image with this number. The number is ignored for kinds of which there is one image.
    ///
    /// For [`ImageKind::Stats`] it is `stats-dump`, and never `stats-restore`.
    pub fn file_name(self, id: u32) -> String {
        let (stem, numbering) = self.name();
        match numbering {
            Numbering::None if self == ImageKind::Stats => stem.to_owned(),
            Numbering::None => format!("{stem}.img"),
            Numbering::Decimal => format!("{stem}-{id}.img"),
            Numbering::Hexadecimal => format!("{stem}-{id:x}.img"),
        }
    }

    /// The kind, and the number if there is one, of the image with this file name.
    ///
    /// Only a name is taken, no path.
    pub fn from_file_name(name: impl AsRef<OsStr>) -> Option<(ImageKind, Option<u32>)> {
        let name = name.as_ref().to_str()?;
        if matches!(name, "stats-dump" | "stats-restore") {
            return Some((ImageKind::Stats, None));
        }
        ImageKind::ALL.iter().find_map(|kind| Some((*kind, kind.number_in(name)?)))
    }

    /// The number in `name`, where it is the name of an image of this kind.
    fn number_in(self, name: &str) -> Option<Option<u32>> {
        let (stem, numbering) = self.name();
        let radix = match numbering {
            Numbering::None => return (name == self.file_name(0)).then_some(None),
            Numbering::Decimal => 10,
            Numbering::Hexadecimal => 16,
        };
        let digits = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".img")?;
        let id = u32::from_str_radix(digits, radix).ok()?;
        // The parser takes signs, leading zeros and capitals, none of which CRIU writes.
        (self.file_name(id) == name).then_some(Some(id))
    }

    fn name(self) -> (&'static str, Numbering) {
        match self {
            ImageKind::Inventory => ("inventory", Numbering::None),
            ImageKind::Pstree => ("pstree", Numbering::None),
            ImageKind::Ids => ("ids", Numbering::Decimal),
            ImageKind::Core => ("core", Numbering::Decimal),
            ImageKind::Mm => ("mm", Numbering::Decimal),
            ImageKind::Files => ("files", Numbering::None),
            ImageKind::RegFiles => ("reg-files", Numbering::None),
            ImageKind::InetSockets => ("inetsk", Numbering::None),
            ImageKind::RemapFilePath => ("remap-fpath", Numbering::None),
            ImageKind::GhostFile => ("ghost-file", Numbering::Hexadecimal),
            ImageKind::Mountpoints => ("mountpoints", Numbering::Decimal),
            ImageKind::NetNs => ("netns", Numbering::Decimal),
            ImageKind::NetDevices => ("netdev", Numbering::Decimal),
            ImageKind::Stats => ("stats-dump", Numbering::None),
            ImageKind::TcpStream => ("tcp-stream", Numbering::Hexadecimal),
            ImageKind::PidNs => ("pidns", Numbering::Decimal),
        }
    }

    /// Whether the content of a file or of a queue follows the first record. It can be as large as these were.
    pub fn has_payload(self) -> bool {
        matches!(self, ImageKind::GhostFile | ImageKind::TcpStream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<(ImageKind, Option<u32>)>) {
        assert_eq!(ImageKind::from_file_name(name), expected, "{name}");
        if let Some((kind, id)) = expected {
            assert_eq!(kind.file_name(id.unwrap_or(7)), name);
        }
    }

    #[test]
    fn names_are_those_that_criu_writes() {
        check("inventory.img", Some((ImageKind::Inventory, None)));
        check("pstree.img", Some((ImageKind::Pstree, None)));
        check("ids-7.img", Some((ImageKind::Ids, Some(7))));
        check("core-4194304.img", Some((ImageKind::Core, Some(4_194_304))));
        check("mm-1.img", Some((ImageKind::Mm, Some(1))));
        check("files.img", Some((ImageKind::Files, None)));
        check("reg-files.img", Some((ImageKind::RegFiles, None)));
        check("inetsk.img", Some((ImageKind::InetSockets, None)));
        check("remap-fpath.img", Some((ImageKind::RemapFilePath, None)));
        check("ghost-file-1f.img", Some((ImageKind::GhostFile, Some(0x1f))));
        check("mountpoints-12.img", Some((ImageKind::Mountpoints, Some(12))));
        check("netns-0.img", Some((ImageKind::NetNs, Some(0))));
        check("netdev-4294967295.img", Some((ImageKind::NetDevices, Some(u32::MAX))));
        check("stats-dump", Some((ImageKind::Stats, None)));
        check("tcp-stream-deadbeef.img", Some((ImageKind::TcpStream, Some(0xdead_beef))));
        check("pidns-3.img", Some((ImageKind::PidNs, Some(3))));
        assert_eq!(ImageKind::from_file_name("stats-restore"), Some((ImageKind::Stats, None)));
    }

    #[test]
    fn names_that_criu_does_not_write_are_none_of_its_images() {
        let names = [
            "",
            ".img",
            "inventory",
            "inventory-1.img",
            "Inventory.img",
            "inventory.img ",
            "./inventory.img",
            "stats-dump.img",
            "stats-",
            "ids.img",
            "ids-.img",
            "ids-07.img",
            "ids-00.img",
            "ids-+7.img",
            "ids--7.img",
            "ids- 7.img",
            "ids-1f.img",
            "ids-7.img.img",
            "ids-4294967296.img",
            "ids-99999999999999999999.img",
            "ids-\u{664}.img",
            "ghost-file-1F.img",
            "ghost-file-0x1f.img",
            "ghost-file-01f.img",
            "ghost-file-100000000.img",
            "netns-ct-1.img",
            "pages-1.img",
        ];
        for name in names {
            check(name, None);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_text_is_none_of_its_images() {
        use std::os::unix::ffi::OsStrExt;

        assert_eq!(ImageKind::from_file_name(OsStr::from_bytes(b"ids-7\xff.img")), None);
    }
}
