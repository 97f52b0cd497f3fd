// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line. Its doc comments are the help text. Parsing never touches the system.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};
use criu_gc::{KeepReason, Part, STANDARD_INPUT};

use crate::terminal::{Terminal, escaped};

/// Show and remove exactly what a CRIU checkpoint left on this host.
///
/// CRIU leaves objects on the host for a later restore: hard links named link_remap.N, and netfilter rules and tables
/// that drop the packets of the dumped connections. If no restore follows, they stay. criu-gc reads the images of the
/// dump, finds exactly what they name, and removes it.
///
/// AFTERWARDS THE DUMP CANNOT BE RESTORED ON THIS HOST, and the peer of each unlocked connection gets a reset.
/// --show lists everything and changes nothing.
#[derive(Debug, Clone, Parser)]
#[command(name = "criu-gc", version, disable_version_flag = true, after_long_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The checkpoint: an images directory, a runtime's checkpoint directory, or an archive of either (tar, tar.gz,
    /// tar.zst, or a container image); - reads an archive from standard input; podman:NAME is a podman container by name
    /// or ID. May be given several times
    #[arg(short = 'D', long, value_name = "DIR")]
    pub(crate) images_dir: Vec<PathBuf>,

    /// Same as -D
    #[arg(value_name = "DIR")]
    pub(crate) directories: Vec<PathBuf>,

    /// List what is left, what would happen to it and why; remove nothing
    #[arg(long)]
    pub(crate) show: bool,

    /// With --show: exit with status 1 if anything is left
    #[arg(long, requires = "show")]
    pub(crate) exit_code: bool,

    /// In a container: work in the mount and network namespaces of the host's process 1. All paths are then paths on the
    /// host; relative paths start at its root directory. The container needs the host's pid namespace (--pid=host) and
    /// the capabilities SYS_ADMIN, SYS_PTRACE, SYS_CHROOT, NET_ADMIN and DAC_OVERRIDE
    #[arg(long)]
    pub(crate) host: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show and remove only one part of what the dump left: network (rules, tables and chains) or files (link remaps and
    /// ghost files). The other part stays, and does not count for the exit status. After --only network the checkpoint
    /// can still be restored
    #[arg(long, value_name = "PART", value_parser = parse_part)]
    pub(crate) only: Option<Part>,

    /// Save the file of each link remap in this directory before removing the link: as a hard link if possible, otherwise
    /// as a copy; manifest.jsonl in the directory describes each file
    #[arg(long, value_name = "DIR", conflicts_with = "show")]
    pub(crate) save: Option<PathBuf>,

    /// Ignore this reason for keeping an object; may be given several times (reasons are listed below)
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    pub(crate) allow: Vec<KeepReason>,

    /// The network namespace that the dump locked, if it is not the one criu-gc runs in: /run/netns/NAME or
    /// /proc/PID/ns/net, for example. May be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) netns: Vec<PathBuf>,

    /// The root directory of the dumped tree on this host, as for criu restore
    #[arg(long, value_name = "PATH")]
    pub(crate) root: Option<PathBuf>,

    /// The location of an external mount or network namespace on this host: `mnt[KEY]:PATH` or `net[KEY]:PATH`
    #[arg(
        long,
        value_name = "RESOURCE",
        value_parser = OsStringValueParser::new().try_map(parse_external),
        help = "The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH"
    )]
    pub(crate) external: Vec<External>,

    /// The directory with CRIU's log and statistics [default: the images directory]
    #[arg(short = 'W', long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// Print more: -v shows the image entries behind each object; -vv also shows where criu-gc looked
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write messages to this file instead of standard error. A relative path starts at the work directory, or at the
    /// current directory if the checkpoint is an archive
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
            let text = "standard input (-) can be given only once";
            return Err(Arguments::command().error(ErrorKind::ArgumentConflict, text));
        }
        if arguments.only == Some(Part::Network) && arguments.save.is_some() {
            let text = "--save saves files, which --only network leaves out";
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
  criu-gc -D /var/lib/dumps/42 --show     list what this dump left
  criu-gc -D /var/lib/dumps/42            remove it
  criu-gc -D DIR --save /root/saved       save the files of link remaps, then remove
  criu-gc -D DIR --netns /run/netns/pod   unlock a pod that lost its network at the checkpoint
  criu-gc -D DIR --only network           free the network, and keep the checkpoint restorable
  criu-gc -D DIR --json --show | jq       list it for programs
  criu-gc podman:web --show               list what podman's checkpoint of this container left
  criu-gc web.tar.zst --show              list what this exported checkpoint left
  criu-gc --host -D DIR --show            list the same from a container with --pid=host
  ssh host cat web.tar | criu-gc --show - read the archive from a pipe

criu-gc removes nothing while a process of the dumped tree is alive or a criu works on the images. It keeps an object \
that does not match the images, and prints the reason. --allow accepts these reasons:
  tree-alive       a process of the dumped tree is alive
  tree-unknown     criu-gc cannot tell whether the tree is dead
  unknown-version  the images are of a version of the format that this criu-gc does not support
  other-type, other-mode, other-size
                   the link remap is not the file that was dumped
  foreign-images   the images may come from a user who could not remove it
  not-recorded     it, or part of it, was created after the dump, according to the dump's record
  older-than-dump  it was not created during the dump, and only a reusable device number, a
                   mount option or a path that may now lead elsewhere identifies it
  changed-since    the link remap changed after the images were written
  restored-since   the checkpoint was or may have been restored: it may belong to a newer dump
  newer-dump       a link remap changed after the dump, so rules may belong to a newer dump
  foreign-content  the table or chain contains something that CRIU did not write
  shared-lock      more than one dump locked the network namespace with this chain

Exit status (of the chosen part with --only):
  0  --show: the list was printed.
     Removal: nothing is left.
  1  --show --exit-code: something is left, or some checks could not be made.
     Removal: something was kept or could not be removed, or some checks could not be made.
  2  The command line is wrong, a checkpoint cannot be read, or another run has locked it: \
nothing of that checkpoint was touched.
SIGHUP, SIGINT and SIGTERM end a removal after the current step: the result is checked and reported, and then criu-gc \
ends by the signal (a shell shows 129, 130 or 143). A second signal ends it at once. The next run finishes the rest.";

fn parse_reason(name: &str) -> Result<KeepReason, String> {
    name.parse().map_err(|_| {
        let names: Vec<&str> =
            KeepReason::ALL.iter().filter(|reason| reason.can_be_allowed()).map(|reason| reason.name()).collect();
        format!("not a reason that can be allowed; choose one of {}", names.join(", "))
    })
}

fn parse_part(name: &str) -> Result<Part, String> {
    name.parse().map_err(|_| format!("choose one of {}", Part::ALL.map(Part::name).join(", ")))
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
