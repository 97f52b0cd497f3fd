// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line. The doc comment of each option is its one sentence, in the help and in README.md. Parsing does not
//! touch the system.

pub(crate) mod config;
mod criu;
mod help;
mod line;
mod resource;
mod scan;
mod suggest;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod tests;
mod watch;
mod words;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};
use criu_gc::{KeepReason, Part, STANDARD_INPUT};

pub(crate) use self::line::CommandWord;
pub(crate) use self::resource::{Resource, named_namespace};
pub(crate) use self::scan::{HostLine, RemoveArguments, ScanArguments};
pub(crate) use self::suggest::is_word;
pub(crate) use self::watch::{Removal, WatchArguments};

use self::config::Statement;
use self::resource::Expected;
use crate::terminal::{Messages, Terminal, escaped};

/// Show and remove exactly what a CRIU checkpoint left on this host.
///
/// CRIU leaves objects on the host for a later restore: hard links named link_remap.N, and netfilter rules and tables
/// that drop the packets of the dumped connections. If no restore follows, they stay. criu-gc reads the images of the
/// dump, finds exactly what they name, and removes it.
///
/// AFTERWARDS THE DUMP CANNOT BE RESTORED ON THIS HOST, and the peer of each unlocked connection gets a reset.
/// --show lists everything and changes nothing. If a checkpoint or an option cannot be used, criu-gc touches nothing at
/// all.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "criu-gc",
    version,
    disable_version_flag = true,
    after_long_help = help::after(),
)]
pub(crate) struct Arguments {
    /// The checkpoint, which may be given several times: an images directory, a runtime's checkpoint directory, an
    /// archive of either (tar, tar.gz, tar.zst, a container image), a directory of these, - for an archive on standard input,
    /// a container as podman:NAME, docker:NAME, cri:ID, ctr:ID, lxc:NAME, incus:NAME, runc:ID or k8s:POD, or the stored
    /// record of a dump whose images are gone
    #[arg(short = 'D', long, value_name = "DIR")]
    pub(crate) images_dir: Vec<PathBuf>,

    /// Same as -D
    #[arg(value_name = "DIR")]
    pub(crate) directories: Vec<PathBuf>,

    /// List what is left, what would happen to it and why, and remove nothing (also --dry-run)
    #[arg(short = 'n', long, alias = "dry-run")]
    pub(crate) show: bool,

    /// With --show, exit with status 1 if anything is left
    #[arg(long, requires = "show")]
    pub(crate) exit_code: bool,

    /// In a container with --pid=host, work in the mount and network namespaces of the host's process 1, where all paths
    /// are paths on the host
    #[arg(long)]
    pub(crate) host: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Kill the processes that a killed restore left, which never run again; without this they stay, and so does what
    /// depends on their end
    #[arg(long)]
    pub(crate) kill: bool,

    /// Show and remove only one part of what the dump left, network (rules, tables and chains) or files (link remaps and
    /// ghost files); the other part stays, and does not count for the exit status
    #[arg(long, value_name = "PART", value_parser = parse_part)]
    pub(crate) only: Option<Part>,

    /// Save the file of each link remap in this directory before removing the link, as a hard link if possible, otherwise
    /// as a copy
    #[arg(long, value_name = "DIR", conflicts_with = "show")]
    pub(crate) save: Option<PathBuf>,

    /// Ignore this reason for keeping an object; may be given several times, or as a list with commas
    #[arg(long, value_name = "REASON", value_parser = parse_reason, value_delimiter = ',')]
    pub(crate) allow: Vec<KeepReason>,

    /// Also remove link remaps of an interrupted dump to which only its log leads, and the open files of the tree or another
    /// name of the file
    #[arg(long)]
    pub(crate) from_log: bool,

    /// The log of the dump, if it is in neither the images nor the work directory
    #[arg(long, value_name = "FILE")]
    pub(crate) dump_log: Option<PathBuf>,

    /// A network namespace that the dump locked, as a path or by its name in ip netns; without a checkpoint, one to ask about;
    /// may be given several times
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Vec<PathBuf>,

    /// After the word heal, a process that is healed together with its descendants; without a word and a checkpoint, a process
    /// to ask about; may be given several times
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pid: Vec<u32>,

    /// After the word heal, also set `SO_PEEK_OFF` to -1 where it is 0, which a program may have set itself
    #[arg(
        long,
        help = "After the word heal, also set SO_PEEK_OFF to -1 where it is 0, which a program may have set itself"
    )]
    pub(crate) peek_offsets: bool,

    /// After the word heal, also unmap the memory that a killed dump left in the processes, which harms nothing
    #[arg(long)]
    pub(crate) unmap: bool,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// Print more: -v shows the image entries behind each object, -vv also where criu-gc looked; -vN takes CRIU's levels,
    /// of which 3 is -v and 4 is -vv
    #[arg(short, long, alias = "verbosity", action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write messages to this file instead of standard error, or to standard output for -; a relative path starts at the
    /// work directory, or at the current directory for an archive
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// The directory with CRIU's log and statistics [default: the images directory]
    #[arg(short = 'W', long, value_name = "DIR", help_heading = CRIU_HEADING)]
    pub(crate) work_dir: Option<PathBuf>,

    /// The root directory of the dumped tree on this host
    #[arg(short, long, value_name = "PATH", help_heading = CRIU_HEADING)]
    pub(crate) root: Option<PathBuf>,

    /// The location of an external mount or network namespace on this host: `mnt[KEY]:PATH` or `net[KEY]:PATH`; other
    /// kinds have no effect
    #[arg(
        long,
        value_name = "RESOURCE",
        help_heading = CRIU_HEADING,
        value_parser = resource_parser(resource::external),
        help = "The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH; \
                other kinds have no effect"
    )]
    pub(crate) external: Vec<Resource>,

    /// Same as --external `mnt[KEY]:PATH`
    #[arg(
        short = 'M',
        long,
        value_name = "KEY:PATH",
        help_heading = CRIU_HEADING,
        value_parser = resource_parser(resource::mount_map),
        help = "Same as --external mnt[KEY]:PATH"
    )]
    pub(crate) ext_mount_map: Vec<Resource>,

    /// An open file that is the external network namespace of this key: `fd[NUMBER]:KEY`; others have no effect
    #[arg(
        long,
        value_name = "FD:KEY",
        help_heading = CRIU_HEADING,
        value_parser = resource_parser(resource::inherited),
        help = "An open file that is the external network namespace of this key, fd[NUMBER]:KEY; others have no effect"
    )]
    pub(crate) inherit_fd: Vec<Resource>,

    /// Same as --netns PATH for net:PATH; other namespaces have no effect
    #[arg(
        short = 'J',
        long,
        value_name = "net:PATH",
        help_heading = CRIU_HEADING,
        value_parser = resource_parser(resource::joined)
    )]
    pub(crate) join_ns: Vec<Resource>,

    /// How the dump locked the network, which has no effect: criu-gc reads it from the images
    #[arg(
        long,
        value_name = "METHOD",
        help_heading = CRIU_HEADING,
        value_parser = ["iptables", "nftables", "skip", "none"],
        hide_possible_values = true
    )]
    pub(crate) network_lock: Option<String>,

    /// Read these options from a CRIU configuration file, which may contain every option of criu restore
    #[arg(long, value_name = "FILE", help_heading = CRIU_HEADING)]
    pub(crate) config: Option<PathBuf>,

    /// Do not read CRIU's default configuration files, which criu-gc never does
    #[arg(long, help_heading = CRIU_HEADING)]
    pub(crate) no_default_config: bool,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,

    /// The word in place of `restore`.
    #[arg(skip)]
    pub(crate) command: Option<CommandWord>,

    /// The options of CRIU that change nothing, as they were typed.
    #[arg(skip)]
    pub(crate) without_effect: Vec<String>,
}

/// Above the options that mean what they mean to CRIU.
const CRIU_HEADING: &str = "Options of criu restore";

impl Arguments {
    /// Parses the words of a command line, the program's own name first.
    pub(crate) fn of_command_line(words: &[OsString]) -> Result<Self, clap::Error> {
        Self::with_config(words, &[])
    }

    /// The same, with what a CRIU configuration file says.
    pub(crate) fn with_config(words: &[OsString], config: &[Statement]) -> Result<Self, clap::Error> {
        let error = |kind, text| Arguments::command().error(kind, text);
        let mut command = Arguments::command();
        command.build();
        let line = line::interpret(words, config, &command)
            .map_err(|why| error(ErrorKind::UnknownArgument, why.to_string()))?;
        let mut arguments = Arguments::try_parse_from(line.words)?;
        arguments.command = line.command;
        arguments.without_effect = line.without_effect;
        arguments.note_without_effect();
        let is_input = |named: &&PathBuf| named.as_os_str() == STANDARD_INPUT;
        if arguments.all_directories().iter().filter(is_input).count() > 1 {
            return Err(error(ErrorKind::ArgumentConflict, "standard input (-) can be given only once".to_owned()));
        }
        arguments.check_word().map_err(|text| error(ErrorKind::ArgumentConflict, text))?;
        if arguments.only == Some(Part::Network) && arguments.save.is_some() {
            let text = "--save saves files, which --only network leaves out";
            return Err(Arguments::command().error(ErrorKind::ArgumentConflict, text));
        }
        Ok(arguments)
    }

    /// Options that belong to one word only.
    fn check_word(&self) -> Result<(), String> {
        let is_heal = self.command == Some(CommandWord::Heal);
        let of_heal = [("--pid", !self.pid.is_empty()), ("--peek-offsets", self.peek_offsets), ("--unmap", self.unmap)];
        let of_others = [
            ("--only", self.only.is_some()),
            ("--save", self.save.is_some()),
            ("--allow", !self.allow.is_empty()),
            ("--netns", !self.netns.is_empty()),
        ];
        let wrong =
            |options: &[(&'static str, bool)]| options.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name);
        match (is_heal, wrong(&of_heal), wrong(&of_others)) {
            (false, Some("--pid"), _) if self.is_about_one() => Ok(()),
            (false, Some(name), _) => Err(format!("{name} belongs to the word heal: criu-gc heal {name}")),
            (true, _, Some(name)) => Err(format!("{name} has no meaning after the word heal")),
            (true, _, None) | (false, None, _) => Ok(()),
        }
    }

    /// Whether it asks what a process or a network namespace has of CRIU, without images.
    pub(crate) fn is_about_one(&self) -> bool {
        self.command.is_none()
            && self.all_directories().is_empty()
            && (!self.pid.is_empty() || !self.netns.is_empty())
            && !self.peek_offsets
            && !self.unmap
    }

    /// Everything that was named, in order, `-D` first.
    pub(crate) fn all_directories(&self) -> Vec<PathBuf> {
        self.images_dir.iter().chain(&self.directories).cloned().collect()
    }

    /// Everything that options of CRIU name outside the tree.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.external.iter().chain(&self.ext_mount_map).chain(&self.inherit_fd).chain(&self.join_ns)
    }

    /// The values that change nothing.
    fn note_without_effect(&mut self) {
        let lists = [
            ("--external", &self.external),
            ("--ext-mount-map", &self.ext_mount_map),
            ("--inherit-fd", &self.inherit_fd),
            ("--join-ns", &self.join_ns),
        ];
        for (name, resources) in lists {
            let count = resources.iter().filter(|resource| **resource == Resource::WithoutEffect).count();
            self.without_effect.extend((count > 0).then(|| name.to_owned()));
        }
        self.without_effect.extend(self.network_lock.is_some().then(|| "--network-lock".to_owned()));
        self.without_effect.dedup();
    }
}

/// Prints what is wrong with the words, or the help, and ends the program. Messages repeat words, and those may come from
/// others (a directory's name in a loop of the shell): so the message is made for words that can be shown.
pub(crate) fn refuse(words: &[OsString], error: &clap::Error) -> ! {
    let shown: Vec<OsString> = words.iter().map(|word| OsString::from(escaped(word.as_bytes()))).collect();
    match Arguments::of_command_line(&shown) {
        Err(error) => error.exit(),
        Ok(_) => {
            Terminal::new(0, Messages::StandardError).error(&error.kind().to_string());
            std::process::exit(error.exit_code())
        }
    }
}

/// The same for a line of another word, which is parsed in this way.
pub(crate) fn refuse_line<T>(
    words: &[OsString],
    error: &clap::Error,
    parse: impl Fn(&[OsString]) -> Option<Result<T, clap::Error>>,
) -> ! {
    let shown: Vec<OsString> = words.iter().map(|word| OsString::from(escaped(word.as_bytes()))).collect();
    match parse(&shown) {
        Some(Err(error)) => error.exit(),
        Some(Ok(_)) | None => {
            Terminal::new(0, Messages::StandardError).error(&error.kind().to_string());
            std::process::exit(error.exit_code())
        }
    }
}

fn parse_reason(name: &str) -> Result<KeepReason, String> {
    name.parse().map_err(|_| {
        if let Some(reason) = KeepReason::ALL.into_iter().find(|reason| reason.name() == name) {
            return format!("it cannot be allowed; to remove the object: {}", reason.remedy());
        }
        let names: Vec<&str> =
            KeepReason::ALL.iter().filter(|reason| reason.can_be_allowed()).map(|reason| reason.name()).collect();
        format!("not a reason that can be allowed; choose one of {}", names.join(", "))
    })
}

fn parse_part(name: &str) -> Result<Part, String> {
    name.parse().map_err(|_| format!("choose one of {}", Part::ALL.map(Part::name).join(", ")))
}

fn resource_parser(parse: fn(&OsStr) -> Result<Resource, Expected>) -> impl TypedValueParser<Value = Resource> {
    OsStringValueParser::new().try_map(move |text| parse(&text))
}

/// Whether the program is to move into the host's namespaces.
pub(crate) fn enters_host(words: &[OsString]) -> bool {
    // Most lines need no second look.
    let may_be = words.iter().any(|word| word.as_bytes().starts_with(b"--ho"));
    may_be
        && match HostLine::of(words) {
            Some(line) => line.is_ok_and(|line| line.enters_host()),
            None => Arguments::of_command_line(words).is_ok_and(|arguments| arguments.host),
        }
}

/// Where a network namespace is that somebody typed: a word is a name of `ip netns`.
pub(crate) fn namespace_path(named: &Path, exists: impl Fn(&Path) -> bool) -> PathBuf {
    match named_namespace(named) {
        Some([usual, other]) if !exists(&usual) && exists(&other) => other,
        Some([usual, _]) => usual,
        None => named.to_owned(),
    }
}
