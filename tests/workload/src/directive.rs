// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The language of the command line: a keyword, then its fixed number of arguments, and so on.
//!
//! Paths may hold any bytes; keywords and addresses are UTF-8.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Outcome;

#[derive(Debug)]
pub(crate) enum Directive {
    /// `session`: become the leader of a session of one's own.
    NewSession,
    /// `enter ROOT … end ARGUMENTS`: see [`Entry`].
    Enter(Entry),
    /// `remove PATH`
    Remove(PathBuf),
    /// `remove-old PATH`: the same, if the file is there.
    RemoveOld(PathBuf),
    /// `open PATH`
    Open(PathBuf),
    /// `link PATH NAME`: give a file one more name.
    Link(PathBuf, PathBuf),
    /// `deleted PATH`
    Deleted(PathBuf),
    /// `deleted-twice PATH`
    DeletedTwice(PathBuf),
    /// `fifo-deleted PATH`
    DeletedFifo(PathBuf),
    /// `socket-deleted PATH`
    DeletedSocket(PathBuf),
    /// `symlink-deleted PATH`
    DeletedSymlink(PathBuf),
    /// `deleted-dir PATH`
    DeletedDirectory(PathBuf),
    /// `deleted-program PATH`, with all that follows on the command line. Only `session` may
    /// come before it.
    DeletedProgram(PathBuf, Vec<OsString>),
    /// `semaphore NAME`
    Semaphore(OsString),
    /// `listen-connect ADDRESS`
    ListenConnect(SocketAddr),
    /// `half-closed ADDRESS`
    HalfClosed(SocketAddr),
    /// `connect ADDRESS`
    Connect(SocketAddr),
    /// `echo ADDRESS`: connect, and send back what comes.
    Echo(SocketAddr),
    /// `listen ADDRESS`
    Listen(SocketAddr),
    /// `serve ADDRESS`
    Serve(SocketAddr),
    /// `own-mounts SOURCE TARGET`: take a mount namespace of one's own, and bind one directory to another in it.
    OwnMounts(PathBuf, PathBuf),
    /// `waits FILE`: begin three threads that wait again and again, each by another system call, and write to the file how
    /// long each time.
    Waits(PathBuf),
    /// `child DIRECTIVES … end`
    Child(Vec<OsString>),
    /// `ready FILE`
    Ready(PathBuf),
}

/// A container's root to enter, and what to run in it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) root: PathBuf,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) arguments: Vec<OsString>,
}

/// A mount to make below a container's root, before it is entered.
#[derive(Debug)]
pub(crate) enum Mount {
    /// `bind SOURCE TARGET`
    Bind(PathBuf, PathBuf),
    /// `bind-ro SOURCE TARGET`
    ReadOnlyBind(PathBuf, PathBuf),
    /// `tmpfs TARGET`
    Tmpfs(PathBuf),
}

struct Words<'a>(std::slice::Iter<'a, OsString>);

pub(crate) fn parse(arguments: &[OsString]) -> Outcome<Vec<Directive>> {
    let mut words = Words(arguments.iter());
    let mut directives = Vec::new();
    while let Some(keyword) = words.0.next() {
        let directive = words.directive(keyword)?;
        let is_first = directives.iter().all(|earlier| matches!(earlier, Directive::NewSession));
        if matches!(directive, Directive::DeletedProgram(..)) && !is_first {
            return Err("deleted-program must come first: descriptors do not survive it".into());
        }
        directives.push(directive);
    }
    Ok(directives)
}

impl Words<'_> {
    fn directive(&mut self, keyword: &OsStr) -> Outcome<Directive> {
        Ok(match keyword.to_str().unwrap_or_default() {
            "session" => Directive::NewSession,
            "enter" => Directive::Enter(self.entry()?),
            "remove" => Directive::Remove(self.path()?),
            "remove-old" => Directive::RemoveOld(self.path()?),
            "open" => Directive::Open(self.path()?),
            "link" => Directive::Link(self.path()?, self.path()?),
            "deleted" => Directive::Deleted(self.path()?),
            "deleted-twice" => Directive::DeletedTwice(self.path()?),
            "fifo-deleted" => Directive::DeletedFifo(self.path()?),
            "socket-deleted" => Directive::DeletedSocket(self.path()?),
            "symlink-deleted" => Directive::DeletedSymlink(self.path()?),
            "deleted-dir" => Directive::DeletedDirectory(self.path()?),
            "deleted-program" => Directive::DeletedProgram(self.path()?, self.remaining()),
            "semaphore" => Directive::Semaphore(self.word()?),
            "listen-connect" => Directive::ListenConnect(self.address()?),
            "half-closed" => Directive::HalfClosed(self.address()?),
            "connect" => Directive::Connect(self.address()?),
            "echo" => Directive::Echo(self.address()?),
            "listen" => Directive::Listen(self.address()?),
            "serve" => Directive::Serve(self.address()?),
            "own-mounts" => Directive::OwnMounts(self.path()?, self.path()?),
            "waits" => Directive::Waits(self.path()?),
            "child" => Directive::Child(self.until_end()?),
            "ready" => Directive::Ready(self.path()?),
            _ => return Err(format!("{keyword:?} is no directive").into()),
        })
    }

    fn entry(&mut self) -> Outcome<Entry> {
        let root = self.path()?;
        let mut mounts = Vec::new();
        loop {
            let word = self.word()?;
            match word.to_str().unwrap_or_default() {
                "bind" => mounts.push(Mount::Bind(self.path()?, self.path()?)),
                "bind-ro" => mounts.push(Mount::ReadOnlyBind(self.path()?, self.path()?)),
                "tmpfs" => mounts.push(Mount::Tmpfs(self.path()?)),
                "end" => break,
                _ => return Err(format!("{word:?} is no mount of a container").into()),
            }
        }
        Ok(Entry { root, mounts, arguments: self.remaining() })
    }

    fn until_end(&mut self) -> Outcome<Vec<OsString>> {
        let mut depth = 0;
        let mut inner = Vec::new();
        loop {
            let word = self.word()?;
            match word.to_str() {
                Some("child") => depth += 1,
                Some("end") if depth == 0 => return Ok(inner),
                Some("end") => depth -= 1,
                _ => {}
            }
            inner.push(word);
        }
    }

    fn word(&mut self) -> Outcome<OsString> {
        self.0.next().cloned().ok_or_else(|| "the command line ends too early".into())
    }

    fn path(&mut self) -> Outcome<PathBuf> {
        self.word().map(PathBuf::from)
    }

    fn address(&mut self) -> Outcome<SocketAddr> {
        let word = self.word()?;
        let text = word.to_str().unwrap_or_default();
        text.parse().map_err(|error| format!("address {word:?}: {error}").into())
    }

    fn remaining(&mut self) -> Vec<OsString> {
        self.0.by_ref().cloned().collect()
    }
}
