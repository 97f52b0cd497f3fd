// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line. Its doc comments are the help; it checks what the words mean, and never looks at the world.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};
use criu_gc::{KeepReason, STANDARD_INPUT};

use crate::terminal::{Terminal, escaped};

/// Show and remove exactly what a CRIU checkpoint left on this host.
///
/// A dump leaves things behind on purpose, for a restore: hard links named link_remap.N, and netfilter rules and
/// tables that drop the packets of the dumped connections. Where no restore follows, they stay. criu-gc reads the
/// images of the dump, looks for exactly what they name, and removes it.
///
/// AFTERWARDS THE DUMP CANNOT BE RESTORED ON THIS HOST, and the peer of each unlocked connection gets a reset.
/// --show lists everything and changes nothing.
///
/// The command words of the original series may come first: criu-gc gc …, criu-gc clean …
#[derive(Debug, Clone, Parser)]
#[command(name = "criu-gc", version, disable_version_flag = true, after_long_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The images directory of a dump, a container's directory as its runtime has it, or an archive of either: tar,
    /// also with gzip or zstd, or a container image; - is standard input, and podman:NAME a container of podman's, by name
    /// or id. May be given several times
    #[arg(short = 'D', long, value_name = "DIR")]
    pub(crate) images_dir: Vec<PathBuf>,

    /// The same as -D
    #[arg(value_name = "DIR")]
    pub(crate) directories: Vec<PathBuf>,

    /// List what is left, with what would happen to it and why, and remove nothing
    #[arg(long)]
    pub(crate) show: bool,

    /// With --show: exit with status 1 when something is left
    #[arg(long, requires = "show")]
    pub(crate) exit_code: bool,

    /// In a container: do everything as the host would, in the mount and network namespaces of its process 1. Every path
    /// is then one of the host, a relative one from its root directory. The container needs the host's pid namespace
    /// (--pid=host) and the capabilities SYS_ADMIN, SYS_PTRACE, SYS_CHROOT, NET_ADMIN and DAC_OVERRIDE
    #[arg(long)]
    pub(crate) host: bool,

    /// Do not ask before removing; without a terminal nothing is asked anyway
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Keep each link remap's file in this directory before the link is removed: as a hard link where possible, else
    /// a copy; manifest.jsonl in it says what each was
    #[arg(long, value_name = "DIR", conflicts_with = "show")]
    pub(crate) save: Option<PathBuf>,

    /// Remove in spite of this reason to keep; each reason has to be named (they are listed below)
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    pub(crate) allow: Vec<KeepReason>,

    /// The network namespace that the dump locked, where it is not the one that criu-gc runs in: a file such as
    /// /run/netns/NAME or /proc/PID/ns/net; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) netns: Vec<PathBuf>,

    /// Where the tree's root directory is on this host, as for criu restore
    #[arg(long, value_name = "PATH")]
    pub(crate) root: Option<PathBuf>,

    /// Where an external mount or network namespace of the dump is on this host: `mnt[KEY]:PATH` or `net[KEY]:PATH`
    #[arg(
        long,
        value_name = "RESOURCE",
        value_parser = OsStringValueParser::new().try_map(parse_external),
        help = "Where an external mount or network namespace of the dump is on this host: mnt[KEY]:PATH or net[KEY]:PATH"
    )]
    pub(crate) external: Vec<External>,

    /// The directory where CRIU put its log and statistics [default: the images directory]
    #[arg(short = 'W', long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// Say more: -v the entries of the images behind each object, -vv also where was looked
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write messages into this file instead of standard error; a relative path is one in the work directory (of an
    /// archive: in the current one)
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// What `--external` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum External {
    /// `mnt[KEY]:PATH`.
    Mount {
        /// The key, as the images hold it.
        key: Vec<u8>,
        /// Where it is.
        path: PathBuf,
    },
    /// `net[KEY]:PATH`.
    NetworkNamespace {
        /// The key, as the images hold it.
        key: Vec<u8>,
        /// Where it is.
        path: PathBuf,
    },
}

/// Words that may stand before the options, and mean nothing more: the tool has one job.
const COMMAND_WORDS: [&str; 2] = ["gc", "clean"];

impl Arguments {
    /// Parses the words of a command line, the program's own name first.
    pub(crate) fn of_command_line(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut words: Vec<OsString> = words.into_iter().collect();
        if words.get(1).is_some_and(|word| COMMAND_WORDS.iter().any(|command| word == command)) {
            words.remove(1);
        }
        let arguments = Arguments::try_parse_from(words)?;
        let is_input = |named: &&PathBuf| named.as_os_str() == STANDARD_INPUT;
        if arguments.all_directories().iter().filter(is_input).count() > 1 {
            let text = "standard input can be read once only, and is named twice";
            return Err(Arguments::command().error(ErrorKind::ArgumentConflict, text));
        }
        Ok(arguments)
    }

    /// Everything that was named, in order, `-D` first.
    pub(crate) fn all_directories(&self) -> Vec<PathBuf> {
        self.images_dir.iter().chain(&self.directories).cloned().collect()
    }
}

/// Prints what is wrong with the words, or the help, and ends the program. Messages repeat words, and those may come from
/// others (a directory's name in a loop of the shell): so the message is made for words that can be shown.
pub(crate) fn refuse(words: &[OsString], error: &clap::Error) -> ! {
    let shown = words.iter().map(|word| OsString::from(escaped(word.as_bytes())));
    match Arguments::of_command_line(shown) {
        Err(error) => error.exit(),
        Ok(_) => {
            Terminal::new(0, None).error(&error.kind().to_string());
            std::process::exit(error.exit_code())
        }
    }
}

/// What follows the options in `--help`.
const AFTER_HELP: &str = "\
Examples:
  criu-gc -D /var/lib/dumps/42 --show     what did this dump leave?
  criu-gc -D /var/lib/dumps/42            remove it
  criu-gc -D DIR --save /root/saved       remove it, but keep the files that had lost their names
  criu-gc -D DIR --netns /run/netns/pod   a pod's network is dead since its checkpoint
  criu-gc -D DIR --json --show | jq       the same list for programs
  criu-gc podman:web --show               what did podman's checkpoint of this container leave?
  criu-gc web.tar.zst --show              what did this exported checkpoint leave?
  criu-gc --host -D DIR --show            from a container with --pid=host: what is left on the host?
  ssh host cat web.tar | criu-gc --show - the same through a pipe

Nothing is removed while a process of the dumped tree is alive, or a criu is at work on the images. An object that is \
not what the images say is kept, with the reason. Reasons that --allow sets aside:
  tree-alive       a process of the dumped tree is alive
  tree-unknown     whether the tree is dead cannot be told
  other-type, other-mode, other-size
                   the link remap is not the file that was dumped
  foreign-images   others than root may have written the images, who could not have removed it
  not-recorded     by the record of the dump, it or a part of it was made since
  older-than-dump  only a reusable device number, a mount option or a path that may lead
                   elsewhere by now leads to it, and it was not made during the dump
  changed-since    the link remap was changed after the images were written
  restored-since   the checkpoint was restored, or perhaps so: it may be a newer dump's
  newer-dump       a link remap was changed since, so rules may be a newer dump's
  foreign-content  the table or chain holds something that CRIU did not write
  shared-lock      more than one dump closed the network namespace by this chain

Exit status:
  0  --show: the list was made.
     Removal: nothing is left.
  1  --show --exit-code: something is left, or cannot be known.
     Removal: something was kept, could not be removed, or cannot be known.
  2  The command line is wrong, or a checkpoint cannot be read, or another run has it locked: nothing of it was \
touched.
SIGHUP, SIGINT and SIGTERM end a removal after the step at hand; it is looked again and reported, and then the \
program ends by the signal (a shell shows 129, 130 or 143). A second signal ends it at once. In either case run it \
again.";

fn parse_reason(name: &str) -> Result<KeepReason, String> {
    name.parse().map_err(|_| {
        let names: Vec<&str> =
            KeepReason::ALL.iter().filter(|reason| reason.can_be_allowed()).map(|reason| reason.name()).collect();
        format!("not a reason that can be allowed; those are {}", names.join(", "))
    })
}

fn parse_external(text: OsString) -> Result<External, String> {
    let bytes = text.as_bytes();
    let expected = || "expected mnt[KEY]:PATH or net[KEY]:PATH".to_owned();
    let (kind, rest) = bytes.split_at_checked(4).ok_or_else(expected)?;
    // A key may hold anything; the path begins after the last "]:" that an absolute path can follow.
    let end =
        rest.windows(3).rposition(|window| window == b"]:/").or_else(|| find(rest, b"]:")).ok_or_else(expected)?;
    let key = rest[..end].to_vec();
    let path = PathBuf::from(OsString::from_vec(rest[end + 2..].to_vec()));
    if key.is_empty() || path.as_os_str().is_empty() {
        return Err(expected());
    }
    match kind {
        b"mnt[" => Ok(External::Mount { key, path }),
        b"net[" => Ok(External::NetworkNamespace { key, path }),
        _ => Err(expected()),
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    fn external(text: &str) -> Option<(bool, Vec<u8>, PathBuf)> {
        match parse_external(text.into()).ok()? {
            External::Mount { key, path } => Some((true, key, path)),
            External::NetworkNamespace { key, path } => Some((false, key, path)),
        }
    }

    #[test]
    fn external_resources_are_named_as_for_restore() {
        assert_eq!(external("mnt[/data]:/srv/x"), Some((true, b"/data".to_vec(), "/srv/x".into())));
        assert_eq!(external("net[extRootNetNS]:n"), Some((false, b"extRootNetNS".to_vec(), "n".into())));
        assert_eq!(external("mnt[a]:b]:/c"), Some((true, b"a]:b".to_vec(), "/c".into())));
        for wrong in ["", "mnt[]:/x", "mnt[a]:", "dev[a]:/x", "mnt[a]", "a:b"] {
            assert_eq!(external(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_reason_that_can_be_allowed_is_in_the_help() {
        for reason in KeepReason::ALL.into_iter().filter(|reason| reason.can_be_allowed()) {
            assert!(AFTER_HELP.contains(reason.name()), "{reason}");
            assert_eq!(reason.name().parse(), Ok(reason));
        }
    }

    #[test]
    fn all_ways_to_name_a_directory_mean_the_same() {
        for line in [
            &["criu-gc", "-D", "x"][..],
            &["criu-gc", "gc", "-D", "x"],
            &["criu-gc", "clean", "-D", "x"],
            &["criu-gc", "x"],
            &["criu-gc", "--images-dir", "x"],
        ] {
            let arguments = Arguments::of_command_line(line.iter().map(OsString::from)).unwrap();
            assert_eq!(arguments.all_directories(), [PathBuf::from("x")]);
        }
    }
}
