// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The open files of a checkpoint: regular files and TCP sockets, from either generation of images.

use std::collections::{HashMap, HashSet};

use criu_images::{ByteOrder, FdType, FileEntry, InetSkEntry, RegFileEntry, Remap, UnixSkEntry};

use super::super::problem::ReadError;
use super::Reader;
use super::pair::{self, Pairs};
use crate::checkpoint::budget::{Budget, Fact};
use crate::checkpoint::{FileRecord, Layout, Oddity, Record, RemapRecord, SocketRecord, UnixSocketRecord};
use crate::connection::Connection;
use crate::evidence::Evidence;

/// What is kept of them.
#[derive(Default)]
pub(super) struct Files {
    pub(super) files: HashMap<u32, FileRecord>,
    pub(super) sockets: Vec<SocketRecord>,
    /// The Unix sockets whose path was deleted.
    pub(super) deleted_sockets: Vec<UnixSocketRecord>,
    pub(super) layout: Layout,
    /// The ids of files that look like the link of a link remap.
    pub(super) link_remaps: Vec<u32>,
    /// Link remaps that no remap entry names, by the shape of the entries of their files.
    pub(super) shaped: Vec<RemapRecord>,
    pairs: Pairs,
    /// The inode numbers of the TCP sockets.
    pub(super) socket_inodes: HashSet<u32>,
    /// Whether there is any record at all.
    pub(super) is_empty: bool,
    /// The ids of files with entries that CRIU would not have written so.
    pub(super) odd_ids: HashSet<u32>,
    /// These entries, and those of sockets.
    odd: Vec<(Oddity, Evidence)>,
}

impl Reader<'_> {
    /// The wanted regular files and the TCP sockets: from `files.img`, or where that has no records from the images
    /// before 3.4, as restore does (`files_collected` in `criu/cr-restore.c`).
    pub(super) fn files(&mut self, wanted: &HashSet<u32>, remaps: &[RemapRecord]) -> Result<Files, ReadError> {
        let files = HashMap::with_capacity(wanted.len());
        let mut found = Files { files, pairs: Pairs::new(remaps), ..Files::default() };
        let mut is_empty = true;
        self.records(0, |entry: FileEntry, evidence, order, budget| {
            is_empty = false;
            match (entry.fd_type(), entry.reg, entry.isk) {
                (FdType::Reg, Some(file), _) => found.add_file(Some(entry.id), *file, wanted, evidence, budget),
                (FdType::InetSk, _, Some(socket)) => found.add_socket(&socket, evidence, order, budget),
                (FdType::UnixSk, _, _) => found.add_unix_socket(entry.usk, evidence, budget),
                (FdType::Reg, None, _) => found.add_odd(Oddity::NoFile, &[entry.id], evidence, budget),
                (FdType::InetSk, _, None) => found.add_odd(Oddity::NoSocket, &[], evidence, budget),
                _ => Ok(()),
            }
        })?;
        if !is_empty {
            return Ok(self.without_odd(found));
        }
        let mut has_old_images = false;
        self.records(0, |file: RegFileEntry, evidence, _, budget| {
            has_old_images = true;
            found.add_file(None, file, wanted, evidence, budget)
        })?;
        self.records(0, |socket: InetSkEntry, evidence, order, budget| {
            has_old_images = true;
            found.add_socket(&socket, evidence, order, budget)
        })?;
        found.is_empty = !has_old_images;
        if has_old_images {
            found.layout = Layout::OnePerKind;
        }
        Ok(self.without_odd(found))
    }

    /// Notes the odd entries. No file with the id of one is used.
    fn without_odd(&mut self, mut found: Files) -> Files {
        for (oddity, evidence) in found.odd.drain(..) {
            self.note_odd(oddity, evidence);
        }
        found.files.retain(|id, _| !found.odd_ids.contains(id));
        found
            .shaped
            .retain(|remap| ![remap.entry.orig_id, remap.entry.remap_id].iter().any(|id| found.odd_ids.contains(id)));
        found
    }
}

impl Files {
    fn add_file(
        &mut self,
        id: Option<u32>,
        entry: RegFileEntry,
        wanted: &HashSet<u32>,
        evidence: Evidence,
        budget: &mut Budget,
    ) -> Result<(), ReadError> {
        if let Some(id) = id.filter(|id| *id != entry.id) {
            return self.add_odd(Oddity::TwoIds, &[id, entry.id], evidence, budget);
        }
        if pair::is_link(&entry) {
            budget.charge(Fact::Id, 0)?;
            self.link_remaps.push(entry.id);
        }
        let file = Record { entry, evidence };
        let link = self.pairs.note(&file);
        let is_wanted = wanted.contains(&file.entry.id) || self.files.contains_key(&file.entry.id);
        if let Some(link) = link {
            budget.charge(Fact::Remap, 0)?;
            self.shaped.push(pair::remap(&link, &file));
            self.keep(link, budget)?;
            self.keep(file, budget)
        } else if is_wanted {
            self.keep(file, budget)
        } else {
            Ok(())
        }
    }

    fn keep(&mut self, file: FileRecord, budget: &mut Budget) -> Result<(), ReadError> {
        budget.charge(Fact::Id, file.entry.name.len())?;
        let (id, evidence) = (file.entry.id, file.evidence.clone());
        match self.files.insert(id, file) {
            None => Ok(()),
            Some(_) => self.add_odd(Oddity::SameFileId, &[id], evidence, budget),
        }
    }

    /// Only of a path that was deleted can a restore find another file there.
    fn add_unix_socket(
        &mut self,
        entry: Option<Box<UnixSkEntry>>,
        evidence: Evidence,
        budget: &mut Budget,
    ) -> Result<(), ReadError> {
        let deleted = entry.filter(|socket| socket.deleted == Some(true) && socket.path().is_some());
        if let Some(entry) = deleted {
            budget.charge(Fact::UnixSocket, entry.name.len())?;
            self.deleted_sockets.push(Record { entry: *entry, evidence });
        }
        Ok(())
    }

    fn add_odd(
        &mut self,
        oddity: Oddity,
        ids: &[u32],
        evidence: Evidence,
        budget: &mut Budget,
    ) -> Result<(), ReadError> {
        budget.charge(Fact::Odd, 0)?;
        self.odd_ids.extend(ids);
        self.odd.push((oddity, evidence));
        Ok(())
    }

    fn add_socket(
        &mut self,
        socket: &InetSkEntry,
        evidence: Evidence,
        order: ByteOrder,
        budget: &mut Budget,
    ) -> Result<(), ReadError> {
        if !socket.is_tcp_connection() {
            return Ok(());
        }
        budget.charge(Fact::Connection, 0)?;
        self.socket_inodes.insert(socket.ino);
        let (Some(local), Some(peer)) = (socket.local(order), socket.peer(order)) else {
            return self.add_odd(Oddity::NoAddresses, &[], evidence, budget);
        };
        self.sockets.push(SocketRecord { connection: Connection { local, peer }, evidence });
        Ok(())
    }
}

/// The ids of the files to keep.
pub(super) fn wanted_files(remaps: &[RemapRecord], programs: &HashMap<u32, u32>) -> HashSet<u32> {
    let mut wanted: HashSet<u32> = programs.values().copied().collect();
    for remap in remaps {
        match remap.entry.remap() {
            Remap::Linked { file_id } => wanted.extend([file_id, remap.entry.orig_id]),
            Remap::Ghost { .. } => wanted.extend([remap.entry.orig_id]),
            Remap::Procfs { .. } | Remap::Unknown { .. } | _ => {}
        }
    }
    wanted
}
